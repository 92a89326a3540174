import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serve } from "../../testing.ts";

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), "ptl-root-"));
  writeFileSync(join(directory, "db"), "@ 60 SOA ns admin 1 2 3 4 5\nwww 60 A 192.0.2.1\n");
});
after(() => rmSync(directory, { recursive: true }));

test("paths of a block begin at its root, wherever the directive stands", async () => {
  const server = await serve(`example {\n file db\n root ${directory}\n}`);
  assert.equal((await server.ask("www.example. A"))?.answer.length, 1);
  server.stop();
});

test("a root that is not there is warned of, one that is no directory is refused", async () => {
  const server = await serve(`example {\n root ${directory}/none\n whoami\n}`);
  assert.match(server.log.join(), /\[WARNING\] plugin\/root: Root path does not exist: .*none/);
  server.stop();
  await assert.rejects(serve(`example {\n root ${directory}/db\n}`), /is not a directory/);
  await assert.rejects(serve("example {\n root\n}"), /root/);
});
