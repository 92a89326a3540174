/** Checks of what is seen only while a machine runs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Running, TrackerCount } from "../running.ts";
import { found, withNftables, withSysctls } from "../testing.ts";

const none: TrackerCount["events"] = {
  found: 0,
  invalid: 0,
  inserted: 0,
  insertFailed: 0,
  dropped: 0,
  earlyDropped: 0,
  errors: 0,
  searchRestarted: 0,
  clashResolved: 0,
  chainTooLong: 0,
};
const [before, now] = [1000, 1005];
const strict = withSysctls({ "net/netfilter/nf_conntrack_tcp_be_liberal": "0" });
const grown = (events: Partial<typeof none>): Running => ({
  tracker: {
    before: { events: { ...none, invalid: 5000 }, at: before },
    after: { events: { ...none, invalid: 5000, ...events }, at: now },
  },
});
const during = (running: Running, changes: object = strict) => found(changes, {}, [], running);

test("what the connection tracker counted before is no fault, and neither are a few accidents", () => {
  assert.deepEqual(during(grown({})), []);
  assert.deepEqual(during(grown({ insertFailed: 2, invalid: 5010, searchRestarted: 9 })), []);
});

test("packets that the tracker drops or cannot insert are found", () => {
  assert.deepEqual(during(grown({ dropped: 1 })), ["conntrack-drops: connection tracker: dropped"]);
  assert.deepEqual(during(grown({ earlyDropped: 7 })), ["conntrack-drops: connection tracker: dropped"]);
  assert.deepEqual(during(grown({ insertFailed: 3 })), ["conntrack-drops: connection tracker: insert_failed"]);
  // What had been counted when the first look began is no growth.
  const old = { events: { ...none, insertFailed: 9000, dropped: 9000 }, at: before };
  assert.deepEqual(during({ tracker: { before: old, after: { ...old, at: now } } }), []);
  const more = { events: { ...old.events, insertFailed: 9003 }, at: now };
  assert.deepEqual(during({ tracker: { before: old, after: more } }), [
    "conntrack-drops: connection tracker: insert_failed",
  ]);
});

test("invalid packets are found unless a rule drops them, or the tracker lets them pass", () => {
  const many = grown({ invalid: 5100 });
  assert.deepEqual(during(many), ["conntrack-drops: connection tracker: invalid"]);
  assert.deepEqual(during(many, withSysctls({ "net/netfilter/nf_conntrack_tcp_be_liberal": "1" })), []);
  const table = { family: "ip", table: "portolan" };
  const drop = [
    { kind: "ct", dreg: 8, key: "state" },
    { kind: "bitwise", sreg: 8, dreg: 8, length: 4, mask: "01000000", xor: "00000000" },
    { kind: "cmp", sreg: 8, op: "neq", data: "00000000" },
    { kind: "verdict", verdict: { kind: "drop" } },
  ];
  const rules = withNftables({ rules: [{ ...table, chain: "services", expressions: drop }] });
  assert.deepEqual(during(many, { ...strict, ...rules }), []);
});

test("a process that keeps the lock of iptables is found, one that has just begun is not", () => {
  const lock = (age: number): Running => ({ lock: { processId: 7, processName: "iptables", age } });
  assert.deepEqual(during(lock(2)), []);
  assert.deepEqual(during(lock(60)), ["proxy-lag: /run/xtables.lock"]);
});

test("a proxy that has not applied what it was told long ago is found", () => {
  const at = Date.parse("2026-01-01T00:00:00.000Z") / 1000;
  assert.deepEqual(during({ sync: { queued: at - 3600, applied: at - 3599 } }), []);
  assert.deepEqual(during({ sync: { queued: at - 5, applied: at - 3600 } }), []);
  assert.deepEqual(during({ sync: { queued: at - 60, applied: at - 3600 } }), ["proxy-lag: the proxy's last sync"]);
  assert.deepEqual(during({ sync: { queued: at - 60, applied: 0 } }), ["proxy-lag: the proxy's last sync"]);
});
