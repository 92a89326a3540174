import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { loadOnly, serve } from "../../testing.ts";

test("the page says OK, and the server's own probes are timed", async () => {
  const address = `127.0.0.1:${30000 + (process.pid % 9000)}`;
  const server = await serve(`. {\n health ${address}\n whoami\n}`);
  const response = await fetch(`http://${address}/health`);
  assert.deepEqual([response.status, await response.text()], [200, "OK"]);
  const probes = () => server.metric("coredns_health_request_duration_seconds_count") ?? 0;
  assert.equal(probes(), 0);
  await server.clock.pass(1000);
  for (let i = 0; i < 100 && probes() === 0; i++) await delay(10);
  assert.equal(probes(), 1);
  assert.equal(server.metric("coredns_health_request_failures_total"), 0);
  server.stop();
});

test("the server goes on for the longest lameduck time", async () => {
  const instance = await loadOnly(
    "a. {\n health :0 {\n lameduck 2s\n }\n}\nb. {\n health :0 {\n lameduck 5s\n }\n}\nc. {\n whoami\n}",
  );
  assert.equal(instance.lameduck, 5000);
});

test("faults of the directive are reported", async () => {
  for (const [text, fault] of [
    ["health localhost", /must be host:port/],
    ["health {\n lameduck x\n}", /lameduck/],
    ["health {\n foo\n}", /unknown property 'foo'/],
    ["health\nhealth", /once in a server block/],
  ] as const)
    await assert.rejects(loadOnly(`. {\n${text}\n}`), fault, text);
});
