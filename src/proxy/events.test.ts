import assert from "node:assert/strict";
import test from "node:test";
import { LogWriter } from "../telemetry/log.ts";
import { ManualClock } from "../telemetry/manualclock.ts";
import { Registry } from "../telemetry/metrics.ts";
import { EventPoster, logEvents, type ProxyEvent } from "./events.ts";
import { registerProxyMetrics } from "./status/metrics.ts";

const drift: ProxyEvent = { type: "Warning", reason: "DriftRepaired", action: "Repair", note: "rules were gone" };
const service = { apiVersion: "v1", kind: "Service", namespace: "shop", name: "web", uid: "shop/web" };

interface Posted {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly regarding: { readonly kind: string; readonly name: string };
  readonly eventTime: string;
  readonly note: string;
  readonly reason: string;
}

function setUp() {
  const clock = new ManualClock(Date.UTC(2026, 10, 21, 10, 0, 0, 5));
  const posts: { path: string; body: Posted }[] = [];
  const lines: string[] = [];
  const registry = new Registry();
  const stop = new AbortController();
  let failing = false;
  const recorder = new EventPoster({
    post: async (path, body) => {
      if (failing) throw new Error("403 Forbidden");
      posts.push({ path, body: body as Posted });
    },
    clock,
    log: new LogWriter({ clock, pid: 1, write: (line) => lines.push(line) }),
    node: () => ({ apiVersion: "v1", kind: "Node", namespace: "", name: "here", uid: "7" }),
    skipped: registerProxyMetrics(registry).eventsSkipped,
    signal: stop.signal,
  });
  const fail = (value: boolean) => {
    failing = value;
  };
  return { clock, posts, lines, registry, recorder, stop, fail };
}

test("an Event about the node is posted to namespace default, one about a Service to its own", async () => {
  const { clock, posts, recorder } = setUp();
  recorder.record(drift);
  recorder.record({ ...drift, regarding: service, reason: "FailedToStartServiceHealthcheck" });
  await clock.pass(1000);
  assert.deepEqual(
    posts.map(({ path }) => path),
    ["/apis/events.k8s.io/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/shop/events"],
  );
  const { body } = posts[0] ?? assert.fail();
  assert.match(body.metadata.name, /^here\.[0-9a-f]{16}$/);
  assert.equal(body.eventTime, "2026-11-21T10:00:00.005000Z");
  assert.equal(body.regarding.kind, "Node");
});

test("the same reason about the same object is posted once a minute, and always logged", async () => {
  const { clock, posts, lines, recorder, registry } = setUp();
  recorder.record(drift);
  recorder.record(drift);
  await clock.pass(59_000);
  recorder.record(drift);
  await clock.pass(2000);
  assert.equal(posts.length, 1);
  recorder.record(drift);
  await clock.pass(0);
  assert.equal(posts.length, 2);
  assert.equal(lines.length, 4);
  assert.match(registry.text(), /^portolan_events_skipped_total\{why="repeated"\} 2$/m);
});

test("a flood of Events is cut, and posted slowly", async () => {
  const { clock, posts, recorder, registry } = setUp();
  for (let i = 0; i < 100; i++) recorder.record({ ...drift, regarding: { ...service, name: `web-${i}` } });
  await clock.pass(1000);
  assert.ok(posts.length <= 6, `${posts.length}`);
  await clock.pass(60_000);
  assert.equal(posts.length, 51);
  assert.match(registry.text(), /^portolan_events_skipped_total\{why="too many"\} 49$/m);
});

test("an Event that cannot be posted is logged and does not stop the next", async () => {
  const { clock, posts, lines, recorder, fail } = setUp();
  fail(true);
  recorder.record(drift);
  await clock.pass(500);
  assert.match(lines.at(-1) ?? "", /"Event not posted" err="403 Forbidden" reason="DriftRepaired"/);
  fail(false);
  recorder.record({ ...drift, reason: "Starting" });
  await clock.pass(500);
  assert.equal(posts.length, 1);
});

test("a note is cut to 1 kB of UTF-8 without breaking a character", async () => {
  const { clock, posts, recorder } = setUp();
  recorder.record({ ...drift, note: "ä".repeat(2000) });
  await clock.pass(0);
  const note = posts[0]?.body.note ?? "";
  assert.ok(Buffer.byteLength(note) <= 1024);
  assert.match(note, /^ä+\.\.\.$/);
});

test("without an API events go to the log only", () => {
  const lines: string[] = [];
  const log = new LogWriter({ clock: new ManualClock(), pid: 1, write: (line) => lines.push(line) });
  logEvents(log).record({ ...drift, regarding: service });
  assert.match(lines[0] ?? "", /^W.*"rules were gone" reason="DriftRepaired" regarding="Service shop\/web"/);
});
