import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("flags of replies and queries are set and cleared", async () => {
  const server = await serve(
    ". {\n header {\n set ra\n response clear aa\n query clear rd\n }\n erratic {\n drop 0\n }\n}",
  );
  const reply = await server.ask("a. A");
  assert.deepEqual([reply?.ra, reply?.aa, reply?.rd], [true, false, false]);
  server.stop();
});

test("faults of the directive are reported", async () => {
  await assert.rejects(serve(". {\n header {\n set zz\n }\n}"), /'zz' must be one of aa, ra, rd/);
  await assert.rejects(serve(". {\n header {\n toggle aa\n }\n}"), /unknown property 'toggle'/);
});
