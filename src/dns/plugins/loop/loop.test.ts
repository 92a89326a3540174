import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";
import { scriptedServer } from "../../testserver.ts";

test("a query that comes back a third time ends the program", async () => {
  const server = await serve(". {\n loop\n erratic {\n drop 0\n }\n}");
  await server.clock.pass(0);
  const name = `${Math.floor(0.5 * 2 ** 53)}.${Math.floor(0.5 * 2 ** 53)}.`;
  for (let i = 0; i < 2; i++) await server.ask(`${name} HINFO`);
  assert.deepEqual(server.fatal, []);
  await server.ask(`${name} HINFO`);
  assert.match(server.fatal[0] ?? "", /^plugin\/loop: Loop \(192\.0\.2\.99:40212 -> \.\) detected/);
  server.stop();
});

test("the server asks itself, and stops looking once that was answered", async () => {
  const upstream = await scriptedServer();
  upstream.otherwise = ["NXDOMAIN"];
  const server = await serve(`. {\n loop\n forward . 127.0.0.1:${upstream.port}\n}`);
  await server.clock.pass(2000);
  while (upstream.asked === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const [question = ""] = upstream.questions;
  assert.match(question, /^udp \d+\.\d+\. HINFO$/);
  await server.clock.pass(60_000);
  assert.equal(upstream.asked, 1);
  for (let i = 0; i < 5; i++) await server.ask(question.slice(4));
  assert.deepEqual(server.fatal, []);
  server.stop();
  upstream.close();
});
