import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("failed queries are logged with code, name, type and reason", async () => {
  const server = await serve(". {\n errors\n}");
  assert.equal(await server.text("A.example. MX"), "SERVFAIL");
  assert.deepEqual(server.log, [
    "[ERROR] plugin/errors: 2 A.example. MX: plugin/errors: no next plugin found (SERVFAIL)",
  ]);
  server.stop();
});

test("errors of a kind are counted and logged together", async () => {
  const server = await serve(
    '. {\n errors {\n consolidate 5m "^plugin/errors" warning show_first\n consolidate 1m never\n }\n}',
  );
  for (let i = 0; i < 3; i++) await server.text("a. A");
  assert.equal(server.log.length, 1);
  assert.match(server.log[0] ?? "", /^\[WARNING\] plugin\/errors: 2 a\. A: /);
  await server.clock.pass(300_000);
  assert.equal(server.log[1], "[WARNING] plugin/errors: 3 errors like '^plugin/errors' occurred in last 300s");
  await server.clock.pass(300_000);
  assert.equal(server.log.length, 2);
  server.stop();
});

test("faults of the directive are reported", async () => {
  for (const [text, fault] of [
    ["errors file.log", /standard output/],
    ["errors {\n consolidate 5m (\n}", /consolidate: /],
    ["errors {\n consolidate 5 x\n}", /the period is '5'/],
    ["errors {\n consolidate 5m x loud\n}", /is not a level/],
  ] as const) {
    await assert.rejects(serve(`. {\n${text}\n}`), fault, text);
  }
});
