import assert from "node:assert/strict";
import { test } from "node:test";
import { loadOnly, serve } from "../../testing.ts";

/** A server whose Corefile can be replaced; reloads that were asked for succeed as `good` says. */
async function reloading(text: string) {
  const corefile = { text };
  const reloads: string[] = [];
  const state = { good: true };
  const server = await serve(text, {
    read: () => corefile.text,
    reload: () => {
      reloads.push(corefile.text);
      return state.good;
    },
  });
  return { server, corefile, reloads, state };
}

const before = ". {\n reload 10s 2s\n whoami\n}";
const after = ". {\n reload 10s 2s\n erratic\n}";

test("a changed Corefile is taken over once, a changed comment is no change", async () => {
  const { server, corefile, reloads } = await reloading(before);
  await server.clock.pass(9000);
  assert.deepEqual(reloads, []);
  corefile.text = `# a comment\n${before}`;
  await server.clock.pass(20_000);
  assert.deepEqual(reloads, []);
  corefile.text = after;
  await server.clock.pass(40_000);
  assert.deepEqual(reloads, [after]);
  server.stop();
});

test("a bad Corefile is logged and counted once, and a good one after it is taken over", async () => {
  const { server, corefile, reloads } = await reloading(before);
  corefile.text = ". {\n nonsense\n}";
  await server.clock.pass(60_000);
  assert.deepEqual(reloads, []);
  assert.equal(server.log.filter((line) => line.includes("Unknown directive 'nonsense'")).length, 1);
  assert.equal(server.metric("coredns_reload_failed_total"), 1);
  corefile.text = after;
  await server.clock.pass(15_000);
  assert.deepEqual(reloads, [after]);
  server.stop();
});

test("a reload that fails is counted, and not tried again before the file changes", async () => {
  const { server, corefile, reloads, state } = await reloading(before);
  state.good = false;
  corefile.text = after;
  await server.clock.pass(60_000);
  assert.equal(reloads.length, 1);
  assert.equal(server.metric("coredns_reload_failed_total"), 1);
  server.stop();
});

test("the digest of what runs is a metric", async () => {
  const { server } = await reloading(before);
  const sample = server.metrics.registry
    .text()
    .match(/^coredns_reload_version_info\{hash="sha512",value="[0-9a-f]{128}"\} 1$/m);
  assert.ok(sample);
  server.stop();
});

test("faults of the directive are reported", async () => {
  for (const [text, fault] of [
    ["reload x", /the interval/],
    ["reload 10s x", /the jitter/],
    ["reload 1s 1s 1s", /reload/],
    ["reload\nreload", /once in a server block/],
  ] as const)
    await assert.rejects(loadOnly(`. {\n${text}\n}`), fault, text);
});
