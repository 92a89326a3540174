import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("replies over UDP are not larger than the limit, whatever the client takes", async () => {
  const records = Array.from({ length: 60 }, (_, i) => `answer "{{ .Name }} 60 IN AAAA 2001:db8::${i}"`).join("\n");
  const server = await serve(`. {\n bufsize 600\n template IN AAAA . {\n ${records}\n }\n}`);
  const edns = { udpSize: 4096, version: 0, do: false, options: [] };
  const udp = await server.ask("a. AAAA", { message: { edns } });
  assert.equal(udp?.tc, true);
  assert.ok(udp.answer.length > 15 && udp.answer.length < 22);
  const tcp = await server.ask("a. AAAA", { message: { edns }, protocol: "tcp" });
  assert.deepEqual([tcp?.tc, tcp?.answer.length], [false, 60]);
  server.stop();
});

test("without the plugin, a client that takes anything gets at most 4096 bytes", async () => {
  const records = Array.from({ length: 300 }, (_, i) => `answer "{{ .Name }} 60 IN AAAA 2001:db8::${i}"`).join("\n");
  const server = await serve(`. {\n template IN AAAA . {\n ${records}\n }\n}`);
  const edns = { udpSize: 65535, version: 0, do: false, options: [] };
  const reply = await server.ask("a. AAAA", { message: { edns } });
  assert.equal(reply?.tc, true);
  assert.equal(reply.answer.length, Math.floor((4096 - 12 - 7 - 11) / 28));
  server.stop();
});

test("faults of the directive are reported", async () => {
  await assert.rejects(serve(". {\n bufsize 100\n}"), /the size is '100', must be a number from 512 to 4096/);
});
