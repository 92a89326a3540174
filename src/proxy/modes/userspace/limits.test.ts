import assert from "node:assert/strict";
import { test } from "node:test";
import { limitsFor, openFilesLimit, Places } from "./limits.ts";

test("a process that may open many files serves as many clients as is sensible", () => {
  const most = { connections: 16_384, udpListeners: 1024, udpSessions: 8192 };
  assert.deepEqual(limitsFor(1_048_576), most);
  assert.deepEqual(limitsFor(Number.POSITIVE_INFINITY), most);
});

test("whatever the number of files, clients cannot take all of them", () => {
  for (const files of [64, 256, 1024, 4096, 20_000, 65_536]) {
    const { connections, udpListeners, udpSessions } = limitsFor(files);
    assert.ok(connections > 0 && udpListeners > 0 && udpSessions > 0);
    assert.ok(2 * connections + udpListeners + udpSessions <= files - Math.min(1024, files / 4));
  }
});

test("the limit of this process can be read", () => {
  assert.ok(openFilesLimit() > 0);
});

test("places are taken until there are none, and can be given back", () => {
  const places = new Places(2);
  assert.deepEqual([places.take(), places.take(), places.take()], [true, true, false]);
  places.free();
  assert.deepEqual([places.take(), places.take()], [true, false]);
});
