import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRecentList, parseTimerList } from "./recent.ts";

test("ticks of the kernel's time are known for what they are, whatever their frequency", () => {
  for (const perSecond of [100, 250, 300, 1000]) {
    for (const seconds of [1, 299, 18_948.785, 30_000_000]) {
      const jiffies = Math.floor(2 ** 32 + (seconds - 300) * perSecond);
      const text = `Timer List Version: v0.10\nnow at ${Math.round(seconds * 1e9)} nsecs\n\ncpu: 0\n  .last_jiffies   : 1\njiffies: ${jiffies}\n`;
      assert.deepEqual(parseTimerList(text), { jiffies, perSecond });
    }
  }
  assert.throws(() => parseTimerList("now at 5 nsecs\n"), /no jiffies/);
});

test("a list says how long ago each packet was seen", () => {
  const text =
    "src=10.1.0.2 ttl: 64 last_seen: 4299999500 oldest_pkt: 2 4299999000, 4299999500\n" +
    "src=fd00:0000:0000:0000:0000:0000:0000:0001 ttl: 0 last_seen: 4300000000 oldest_pkt: 1 4300000001\n";
  assert.deepEqual(parseRecentList(text, { jiffies: 4_300_000_000, perSecond: 250 }), [
    { address: "10.1.0.2", ttl: 64, ages: [4000, 2000] },
    { address: "fd00::1", ttl: 0, ages: [0] },
  ]);
  assert.throws(() => parseRecentList("src=10.1.0.2\n", { jiffies: 1, perSecond: 250 }), /not understood/);
});
