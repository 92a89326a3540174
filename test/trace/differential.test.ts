/** The walk against the kernel: random rule sets, random packets, the same rules, verdicts, routes and headers. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Arena } from "./arena.ts";
import { tryIptables, tryNftables } from "./pairs.ts";
import { lockOfOurOwn } from "./support.ts";

const seed = Number(process.env.PORTOLAN_TRACE_SEED ?? 1);

lockOfOurOwn();
const arena = new Arena("walk");
after(() => arena[Symbol.dispose]());

test("nf_tables at random: the walk names the rules and verdicts that the kernel does", async (context) => {
  const tally = await tryNftables(arena, { rulesets: 8, packets: 25, seed });
  context.diagnostic(`seed ${seed}: ${tally}`);
  assert.ok(tally.depends < tally.pairs / 5);
});

for (const variant of ["nft", "legacy"] as const) {
  test(`iptables-${variant} at random: the walk names the rules that the kernel does`, async (context) => {
    const tally = await tryIptables(arena, variant, { rulesets: 4, packets: 15, seed });
    context.diagnostic(`seed ${seed}: ${tally}`);
  });
}
