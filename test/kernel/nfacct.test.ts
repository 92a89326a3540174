import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import * as ffi from "../../src/kernel/ffi.ts";
import { ensureNamedCounter, readNamedCounters } from "../../src/kernel/nfacct.ts";
import { run } from "../../src/kernel/xtables/run.ts";

// This process alone moves into a network namespace of its own, which ends with it.
ffi.unshare(ffi.CLONE.newnet);

test("named counters count what rules give them, and making one again changes nothing", async () => {
  assert.deepEqual(readNamedCounters(), []);
  ensureNamedCounter("some_packets");
  ensureNamedCounter("no_packets");
  const rule = "*filter\n-A OUTPUT -p udp --dport 9 -m nfacct --nfacct-name some_packets -j DROP\nCOMMIT\n";
  assert.equal((await run("iptables-restore", ["--noflush"], { input: [rule] })).status, 0);
  assert.equal((await run("ip", ["link", "set", "lo", "up"])).status, 0);
  const socket = createSocket("udp4");
  for (let i = 0; i < 3; i++) await new Promise((resolve) => socket.send("12", 9, "127.0.0.1", resolve));
  socket.close();
  ensureNamedCounter("some_packets");
  const counters = readNamedCounters().toSorted((a, b) => (a.name < b.name ? -1 : 1));
  assert.deepEqual(counters, [
    { name: "no_packets", packets: 0, bytes: 0 },
    { name: "some_packets", packets: 3, bytes: 90 },
  ]);
});

test("a name that is too long is refused", () => {
  assert.throws(() => ensureNamedCounter("x".repeat(40)), /make counter xxx/);
});
