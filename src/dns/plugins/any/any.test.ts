import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("queries for everything get one small record, others go on", async () => {
  const server = await serve(". {\n any\n whoami\n}");
  assert.equal(await server.text("a. ANY"), 'NOERROR aa\na. 8482 HINFO "ANY obsoleted" "See RFC 8482"');
  assert.match(await server.text("a. A"), /additional/);
  server.stop();
});
