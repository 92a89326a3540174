/** What rules of iptables' old variant counted, which is all that the kernel says of them. */
import { SaveParser } from "../../src/kernel/xtables/save.ts";
import { type Ended, stepsOf } from "../../src/trace/walk/index.ts";
import type { Host } from "../support/network.ts";

/** Packets by `TABLE CHAIN NUMBER`, and by `TABLE CHAIN policy`; those that are 0 are left out. */
export type Counts = ReadonlyMap<string, number>;

/** Reads the counters of a family's tables. */
export function readCounts(node: Host, program: "iptables" | "ip6tables"): Counts {
  const parser = new SaveParser();
  parser.push(node.exec(`${program}-legacy-save`, ["-c"]));
  const counts = new Map<string, number>();
  for (const table of parser.end()) {
    for (const { name, counters, policy, rules } of table.chains.values()) {
      if (policy !== undefined && counters.packets > 0) counts.set(`${table.name} ${name} policy`, counters.packets);
      for (const [i, rule] of rules.entries()) {
        const packets = rule.counters?.packets ?? 0;
        if (packets > 0) counts.set(`${table.name} ${name} ${i + 1}`, packets);
      }
    }
  }
  return counts;
}

/** What was counted in between, a line each, sorted. */
export function counted(before: Counts, after: Counts): readonly string[] {
  return [...after]
    .flatMap(([key, count]) => (count === (before.get(key) ?? 0) ? [] : [`${key} +${count - (before.get(key) ?? 0)}`]))
    .sort();
}

/** What a walk's way would count: the same lines. */
export function countedBy({ state }: Ended): readonly string[] {
  const counts = new Map<string, number>();
  for (const step of stepsOf(state)) {
    if (step.kind !== "rule" && step.kind !== "policy") continue;
    const [, table] = /^iptables-legacy (\w+)$/.exec(step.table) ?? [];
    if (table === undefined) continue;
    const key = `${table} ${step.chain} ${step.kind === "policy" ? "policy" : step.number}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].map(([key, count]) => `${key} +${count}`).sort();
}
