import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("a query that takes too long is SERVFAIL", async () => {
  const server = await serve(
    ". {\n cancel 1s\n errors\n erratic {\n drop 0\n delay 1 500ms\n }\n}\nslow. {\n cancel 1s\n erratic {\n drop 0\n delay 1 2s\n }\n}",
  );
  const fast = server.text("a. A");
  await server.clock.pass(600);
  assert.match(await fast, /^NOERROR/);
  const slow = server.text("a.slow. A");
  await server.clock.pass(1000);
  assert.equal(await slow, "SERVFAIL");
  server.stop();
});
