/** The walk against the kernel: random rule sets, random packets, the same rules, verdicts, routes and headers. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Tally } from "./agreement.ts";
import { Arena } from "./arena.ts";
import { Random, randomShots, randomTables } from "./grammar.ts";

const rulesets = Number(process.env.PORTOLAN_TRACE_RULESETS ?? 25);
const packetsEach = Number(process.env.PORTOLAN_TRACE_PACKETS ?? 12);
const seed = Number(process.env.PORTOLAN_TRACE_SEED ?? 1);

const arena = new Arena("walk");
after(() => arena[Symbol.dispose]());

test("random rule sets: the walk names the rules and verdicts that the kernel does", async (context) => {
  const tally = new Tally();
  for (let i = 0; i < rulesets; i++) {
    const random = new Random(seed * 1_000_003 + i);
    const { text } = arena.load(randomTables(random));
    const snapshot = await arena.snapshot();
    tally.hold(
      snapshot,
      arena.shoot(randomShots(random, arena, packetsEach)),
      `rule set ${i} of seed ${seed}:\n${text}`,
    );
  }
  context.diagnostic(`seed ${seed}: ${tally}`);
  assert.ok(tally.depends < tally.pairs / 5);
});
