import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type DnsProcess, freePort, run, startDns } from "./support.ts";

let server: DnsProcess;
let port: number;

before(async () => {
  port = await freePort();
  server = await startDns({ Corefile: `.:${port} {\n log . "{local}"\n erratic {\n drop 0\n }\n}` });
});
after(() => server.stop());

test("a server on all addresses replies from the one that was asked", async () => {
  for (const address of ["127.0.0.1", "127.0.0.7", "::1"]) {
    // dig does not accept a reply from another address than the one that it asked.
    const answer = run("dig", `@${address}`, "-p", String(port), "+short", "+tries=1", "a.example.");
    assert.equal(answer, "192.0.2.53\n", address);
    await server.until(new RegExp(`^\\[INFO\\] \\[?${address}\\]?$`, "m"));
  }
});
