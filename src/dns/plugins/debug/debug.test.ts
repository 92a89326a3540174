import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

const forward = "forward . 127.0.0.1:1 {\n max_connect_attempts 1\n max_fails 0\n }";

test("faults of queries are logged where one block wants it, and only then", async () => {
  for (const [text, lines] of [
    [`. {\n ${forward}\n}`, 0],
    [`. {\n ${forward}\n}\na.test {\n debug\n whoami\n}`, 1],
  ] as const) {
    const server = await serve(text);
    assert.equal(await server.text("a.example. A", { protocol: "tcp" }), "SERVFAIL");
    const debug = server.log.filter((line) => line.startsWith("[DEBUG] "));
    assert.equal(debug.length, lines);
    if (lines > 0) assert.match(debug.join(), /plugin\/forward: 127\.0\.0\.1:1: a\.example\.: .*ECONNREFUSED/);
    server.stop();
  }
});

test("it takes no arguments", async () => {
  await assert.rejects(serve(". {\n debug all\n}"), /debug/);
});
