import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serve } from "../../testing.ts";

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), "ptl-file-"));
});
after(() => rmSync(directory, { recursive: true }));

const zone = "@ 60 SOA ns admin 1 2 3 4 5\nwww 60 A 192.0.2.1\n";

test("a file that is not there is waited for, and its zone fails meanwhile", async () => {
  const path = join(directory, "later");
  const server = await serve(`. {\n file ${path} example {\n reload 10s\n }\n whoami\n}`);
  assert.match(server.log.join(), /\[WARNING\] plugin\/file: .*later is not there: looking again every 10s/);
  assert.equal(await server.text("www.example. A"), "SERVFAIL");
  assert.match(await server.text("other. A"), /^NOERROR/);
  writeFileSync(path, "nonsense");
  await server.clock.pass(10_000);
  assert.match(server.log.at(-1) ?? "", /\[ERROR\] plugin\/file: there is no zone example\.: .*later:1/);
  writeFileSync(path, zone);
  await server.clock.pass(10_000);
  assert.match(await server.text("www.example. A"), /192\.0\.2\.1$/);
  server.stop();
});

test("a file that is wrong, or missing for ever, is refused", async () => {
  writeFileSync(join(directory, "wrong"), "www 60 A 192.0.2.1\n");
  await assert.rejects(serve(`example {\n root ${directory}\n file wrong\n}`), /Corefile:3: file: .*SOA/);
  execFileSync("mkfifo", [join(directory, "pipe")]);
  await assert.rejects(serve(`example {\n root ${directory}\n file pipe\n}`), /pipe is not a file/);
  writeFileSync(join(directory, "line"), "a ".repeat(80_000));
  await assert.rejects(serve(`example {\n root ${directory}\n file line\n}`), /more than 70000 words/);
  await assert.rejects(serve(`example {\n root ${directory}\n file none {\n reload 0s\n }\n}`), /no such file/);
});

test("without plugin transfer, and for names that are no zones, transfers are refused", async () => {
  writeFileSync(join(directory, "zone"), zone);
  const plain = await serve(`example {\n root ${directory}\n file zone\n}`);
  const transferring = await serve(`example {\n root ${directory}\n file zone\n transfer {\n to *\n }\n}`);
  for (const [server, question] of [
    [plain, "example. AXFR"],
    [plain, "example. IXFR"],
    [transferring, "www.example. AXFR"],
  ] as const) {
    assert.equal(await server.text(question, { protocol: "tcp" }), "REFUSED", question);
    server.stop();
  }
});

test("names that do not exist fall through, types that a name does not have stay", async () => {
  writeFileSync(join(directory, "zone"), zone);
  const server = await serve(`. {\n root ${directory}\n file zone example {\n fallthrough a.example\n }\n whoami\n}`);
  const soa = "authority example. 60 SOA ns.example. admin.example. 1 2 3 4 5";
  assert.match(await server.text("x.a.example. A"), /^NOERROR aa\nadditional x\.a\.example\. 0 A/);
  assert.equal(await server.text("x.b.example. A"), `NXDOMAIN aa\n${soa}`);
  assert.equal(await server.text("www.example. AAAA"), `NOERROR aa\n${soa}`);
  server.stop();
});

test("plugin auto waits for its directory", async () => {
  const path = join(directory, "zones");
  const server = await serve(`. {\n auto {\n directory ${path}\n reload 10s\n }\n whoami\n}`);
  assert.match(server.log.join(), /\[WARNING\] plugin\/auto: .*zones is not there/);
  mkdirSync(path);
  writeFileSync(join(path, "db.example"), zone);
  await server.clock.pass(10_000);
  assert.match(await server.text("www.example. A"), /192\.0\.2\.1$/);
  server.stop();
});
