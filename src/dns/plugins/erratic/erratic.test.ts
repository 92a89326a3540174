import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("every second query is dropped unless told otherwise", async () => {
  const server = await serve(". {\n erratic\n}");
  const replies: string[] = [];
  for (let i = 0; i < 4; i++) replies.push(await server.text("a. A"));
  const answer = "NOERROR aa\na. 0 A 192.0.2.53";
  assert.deepEqual(replies, [answer, "dropped", answer, "dropped"]);
  server.stop();
});

test("replies are truncated, delayed and large as often as the directive says", async () => {
  const server = await serve(". {\n erratic {\n drop 0\n truncate 3\n delay 2 300ms\n large\n }\n}");
  const first = await server.ask("a. AAAA", { protocol: "tcp" });
  assert.deepEqual([first?.tc, first?.answer.length], [false, 29]);
  let late = false;
  const second = server.ask("a. A", { protocol: "tcp" }).then((reply) => {
    late = true;
    return reply;
  });
  await server.clock.pass(250);
  assert.equal(late, false);
  await server.clock.pass(100);
  assert.equal((await second)?.answer.length, 29);
  assert.equal((await server.ask("a. MX", { protocol: "tcp" }))?.tc, true);
  server.stop();
});

test("faults of the directive are reported", async () => {
  for (const [text, fault] of [
    ["erratic x", /erratic/],
    ["erratic {\n drop x\n}", /the amount is 'x'/],
    ["erratic {\n delay 1 x\n}", /the delay/],
    ["erratic {\n foo\n}", /unknown property 'foo'/],
  ] as const)
    await assert.rejects(serve(`. {\n${text}\n}`), fault, text);
});
