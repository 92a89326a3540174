/** Rules in plain form. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { plainLegacyRule } from "./legacy.ts";

test("what a rule asks and decides is read, and what is not understood is named", () => {
  assert.deepEqual(plainLegacyRule('! -s 10.0.0.0/8 -i eth+ -p tcp -m comment --comment "a b" -j DROP'), {
    conditions: {
      others: [],
      source: { value: "10.0.0.0/8", not: true },
      input: { value: "eth+", not: false },
      protocol: { value: 6, not: false },
    },
    decided: { kind: "drop" },
  });
  const { conditions, decided } = plainLegacyRule("-m conntrack ! --ctstate NEW -m set --match-set s src -g OTHER");
  assert.deepEqual([conditions.states, conditions.others], [0x77, ["set", "--match-set"]]);
  assert.deepEqual(decided, { kind: "goto", chain: "OTHER" });
});

test("no text of a rule is too strange, and one that cannot be read decides nothing", () => {
  const word = fc.oneof(fc.constantFrom("-s", "-j", "!", "-m", "-p", "--ctstate", "constructor", '"'), fc.string());
  fc.assert(
    fc.property(fc.array(word), (words) => {
      const { conditions, decided } = plainLegacyRule(words.join(" "));
      assert.ok(typeof decided.kind === "string" && Array.isArray(conditions.others));
    }),
  );
  assert.deepEqual(plainLegacyRule('-m comment --comment "x -j DROP').decided, { kind: "other" });
});
