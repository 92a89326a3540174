/** How many rules there are, and how many of them were written last, for metrics. */
import type { Family } from "../../../net/address.ts";
import type { RuleTable } from "./expected.ts";

/** Rules of each table. */
export type RuleCounts = Record<RuleTable, number>;

/** The rules of one table in one family. */
export interface TableCount {
  readonly family: Family;
  readonly table: RuleTable;
  /** All that are decided and in the kernel. */
  readonly total: number;
  /** Those written by the last call that wrote. */
  readonly last: number;
}

/** No rules. */
export function noRules(): RuleCounts {
  return { filter: 0, nat: 0 };
}

/**
 * Input for `iptables-restore` that counts the rules in itself while it is read, without the jumps of built-in chains.
 * Every text holds whole lines.
 */
export function countWritten(input: Iterable<string>, counts: RuleCounts): Iterable<string> {
  return { [Symbol.iterator]: () => count(input, counts) };
}

function* count(input: Iterable<string>, counts: RuleCounts): Generator<string, undefined> {
  Object.assign(counts, noRules());
  let table: RuleTable = "filter";
  for (const text of input) {
    for (let at = 0; at < text.length; at = text.indexOf("\n", at) + 1) {
      if (text.startsWith("*nat", at)) table = "nat";
      else if (text.startsWith("*", at)) table = "filter";
      else if (text.startsWith("-A KUBE-", at) || text.startsWith("-I KUBE-", at)) counts[table]++;
    }
    yield text;
  }
}
