import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseSave } from "../../../src/kernel/xtables/save.ts";
import { families } from "../../../src/net/address.ts";
import { contextOf, type Machine } from "../../../src/proxy/modes/iptables/context.ts";
import { compare } from "../../../src/proxy/modes/iptables/expected.ts";
import { finish } from "../../../src/proxy/modes/iptables/testing.ts";
import { goldenDesired } from "./objects.ts";

test("the golden files are what the objects ask for, as far as rules can be compared without a kernel", () => {
  const { settings, decisions } = goldenDesired();
  const machine: Machine = {
    dropInvalid: true,
    counters: new Set(["ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"]),
  };
  for (const family of families) {
    const own = [...decisions.values()].filter((decision) => decision.family === family);
    const saved = parseSave(readFileSync(new URL(`${family.toLowerCase()}.txt`, import.meta.url), "utf8"));
    const { intact, rules, ...differences } = finish(compare(own, contextOf(settings, family, machine), saved));
    assert.deepEqual(differences, { shared: [], wrong: 0, stale: [], jumps: [], canaries: [] });
    assert(intact.size > 0);
    const lines = (table: string) =>
      saved
        .filter(({ name }) => name === table)
        .flatMap(({ chains }) =>
          [...chains.values()].filter(({ policy }) => policy === undefined).flatMap((chain) => chain.rules),
        ).length;
    assert.deepEqual(rules, { filter: lines("filter"), nat: lines("nat") });
  }
});
