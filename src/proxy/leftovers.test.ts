import assert from "node:assert/strict";
import test from "node:test";
import { LogWriter } from "../telemetry/log.ts";
import { ManualClock } from "../telemetry/manualclock.ts";
import { type Leftover, leftoversBeside, removeLeftovers, retireUntilGone } from "./leftovers.ts";
import type { ModeFactory } from "./modes/mode.ts";

/** A log and its lines. */
function noting(clock: ManualClock): { readonly log: LogWriter; readonly lines: string[] } {
  const lines: string[] = [];
  const write = (line: string) => lines.push(line);
  return { log: new LogWriter({ clock, pid: 1, write }, { format: "text", verbosity: 2, modules: [] }), lines };
}

/** Something whose connections have ended after so many looks. */
function waiting(name: string, looks: number): Leftover & { readonly calls: string[] } {
  const calls: string[] = [];
  return {
    name,
    calls,
    async remove() {
      calls.push("remove");
      return [];
    },
    async retire() {
      calls.push("retire");
      return calls.length >= looks;
    },
  };
}

test("what connections need that are under way is looked at again, less and less often, until it is gone", async () => {
  const clock = new ManualClock();
  const { log, lines } = noting(clock);
  const [busy, plain] = [waiting("busy", 3), { ...waiting("plain", 1), retire: undefined }];
  const { retire: _, ...atOnce } = plain;
  const done = retireUntilGone([busy, atOnce], { log, clock }, new AbortController().signal);
  for (const [seconds, calls] of [
    [0, 1],
    [1.9, 1],
    [0.1, 2],
    [3.9, 2],
    [0.1, 3],
  ] as const) {
    await clock.pass(1000 * seconds);
    assert.equal(busy.calls.length, calls, `after ${seconds} s more`);
  }
  await done;
  assert.deepEqual([busy.calls, plain.calls], [["retire", "retire", "retire"], ["remove"]]);
  assert.equal(lines.filter((line) => line.includes("Connections are under way")).length, 1);
  assert.match(lines.at(-1) ?? "", /"Nothing is left".*busy/);
});

test("when the mode ends that serves, what waits is left to the next one", async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const busy = waiting("busy", 10);
  const done = retireUntilGone([busy], { ...noting(clock), clock }, stop.signal);
  await clock.pass(0);
  stop.abort();
  await done;
  assert.deepEqual(busy.calls, ["retire"]);
});

test("what cannot be looked at is tried again; at once means at once", async () => {
  const clock = new ManualClock();
  const { log, lines } = noting(clock);
  let calls = 0;
  const broken: Leftover = {
    ...waiting("broken", 1),
    async retire() {
      if (++calls < 2) throw new Error("the lock is taken");
      return true;
    },
  };
  const done = retireUntilGone([broken], { log, clock }, new AbortController().signal);
  await clock.pass(0);
  await clock.pass(2000);
  await done;
  assert.equal(calls, 2);
  assert.ok(lines.some((line) => line.includes("Leftovers not removed, trying again")));
  const busy = waiting("busy", 10);
  await removeLeftovers([busy], log);
  assert.deepEqual(busy.calls, ["remove"]);
});

test("the mode in use is no leftover", () => {
  const factory = (name: "ipvs" | "iptables"): ModeFactory => ({
    name,
    probe: async () => ({ able: true }),
    create: () => Promise.reject(new Error("not made here")),
    cleanup: async () => [],
  });
  const factories = [factory("ipvs"), factory("iptables")];
  const names = (current?: string) => leftoversBeside(current, factories, []).map(({ name }) => name);
  assert.deepEqual(names("ipvs"), ["mode iptables"]);
  assert.deepEqual(names(), ["mode ipvs", "mode iptables"]);
});
