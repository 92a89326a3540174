/**
 * The walk against the kernel for many thousands of packets: rule sets at random, as others write them, and as our own
 * modes make them. PORTOLAN_TRACE_SEED repeats what a run printed.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Arena } from "./arena.ts";
import { tryIptables, tryNftables, tryWritten, writtenRulesets } from "./pairs.ts";
import { lockOfOurOwn } from "./support.ts";

const seed = Number(process.env.PORTOLAN_TRACE_SEED ?? Date.now() % 1_000_000);

lockOfOurOwn();
const arena = new Arena("walks");
after(() => arena[Symbol.dispose]());

test("nf_tables at random", async (context) => {
  const tally = await tryNftables(arena, { rulesets: 200, packets: 40, seed });
  context.diagnostic(`seed ${seed}: ${tally}`);
  assert.ok(tally.depends < tally.pairs / 5);
});

for (const variant of ["nft", "legacy"] as const) {
  test(`iptables-${variant} at random`, async (context) => {
    const tally = await tryIptables(arena, variant, {
      rulesets: variant === "nft" ? 60 : 40,
      packets: variant === "nft" ? 30 : 12,
      seed,
    });
    context.diagnostic(`seed ${seed}: ${tally}`);
  });
  for (const file of writtenRulesets.filter((each) => variant === "nft" || each.endsWith(".iptables"))) {
    test(`${file} (${variant})`, async (context) => {
      const tally = await tryWritten(arena, file, variant, { packets: variant === "nft" ? 300 : 60, seed });
      context.diagnostic(`seed ${seed}: ${tally}`);
      if (file.startsWith("kube-")) assert.ok(tally.depends < tally.pairs / 100, String(tally));
    });
  }
}
