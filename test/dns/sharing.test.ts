import assert from "node:assert/strict";
import { test } from "node:test";
import { type DnsProcess, dig, freePort, startDns } from "./support.ts";

/** A server that says who it is, on a port that is given. */
const start = (name: string, port: number) =>
  startDns({
    Corefile: `.:${port} {\n bind 127.0.0.1\n template IN TXT {\n answer "{{ .Name }} 1 IN TXT ${name}"\n }\n}`,
  });

/** Which of the servers answered a number of queries, each from a port of its own. */
function answers(port: number, ...flags: readonly string[]): ReadonlySet<string> {
  const questions = Array.from({ length: 24 }, (_, i) => ["+noall", "+answer", ...flags, `q${i}.`, "TXT"]).flat();
  const lines = dig(port, ...questions);
  assert.equal(lines.length, 24);
  return new Set(lines.map((line) => line.replace(/.*TXT "(.*)"$/, "$1")));
}

test("two processes share a port, over UDP and TCP, and one goes on when the other ends", async () => {
  const port = await freePort();
  const servers: DnsProcess[] = [];
  try {
    servers.push(...(await Promise.all([start("one", port), start("two", port)])));
    assert.deepEqual(answers(port), new Set(["one", "two"]));
    assert.deepEqual(answers(port, "+tcp"), new Set(["one", "two"]));
    await servers.shift()?.stop();
    assert.deepEqual(answers(port), new Set(["two"]));
    assert.deepEqual(answers(port, "+tcp"), new Set(["two"]));
  } finally {
    for (const server of servers) await server.stop();
  }
});
