/** Writes the rules of the ipvs mode, and removes them. */
import { canonicalRule } from "../../../kernel/xtables/rule.ts";
import type { SavedTable } from "../../../kernel/xtables/save.ts";
import type { Table, Xtables } from "../../../kernel/xtables/xtables.ts";
import type { Family } from "../../../net/address.ts";
import { canaryTables } from "../iptables/fixed.ts";
import { chains as iptablesChains } from "../iptables/names.ts";
import { chains, jumps, type RuleChain, type RuleJump } from "./rules.ts";

const tables: readonly Table[] = ["mangle", "filter", "nat"];

/** What of the rules is not as it should be. */
export interface RuleDifferences {
  readonly chains: readonly RuleChain[];
  readonly jumps: readonly RuleJump[];
}

/** Compares the kernel's tables of a family with the rules that it should have. */
export async function compareRules(
  xtables: Xtables,
  family: Family,
  wanted: readonly RuleChain[],
  signal: AbortSignal,
): Promise<RuleDifferences> {
  const saved = await xtables.save(family, tables, signal);
  const same = ({ table, name, rules }: RuleChain) => {
    const found = rulesIn(saved, table, name);
    return found?.length === rules.length && rules.every((rule, i) => canonicalRule(rule) === found[i]);
  };
  return {
    chains: wanted.filter((chain) => !same(chain)),
    jumps: jumps.filter(({ table, from, rule }) => !rulesIn(saved, table, from)?.includes(canonicalRule(rule))),
  };
}

/** Makes the rules as they should be. Each table changes in one step. */
export async function mendRules(
  xtables: Xtables,
  family: Family,
  differences: RuleDifferences,
  signal: AbortSignal,
): Promise<void> {
  const input: string[] = [];
  for (const table of tables) {
    const changed = differences.chains.filter((chain) => chain.table === table);
    const missing = differences.jumps.filter((jump) => jump.table === table);
    if (changed.length + missing.length === 0) continue;
    input.push(
      `*${table}\n`,
      ...changed.map(({ name }) => `:${name} - [0:0]\n`),
      ...changed.flatMap(({ name, rules }) => rules.map((rule) => `-A ${name} ${rule}\n`)),
      ...missing.map(({ from, rule }) => `-I ${from} ${rule}\n`),
      "COMMIT\n",
    );
  }
  if (input.length > 0) await xtables.restore(family, input, signal);
}

/** The chains to remove. KUBE-MARK-MASQ stays: kubelet uses it too. */
const own: Readonly<Record<string, readonly string[]>> = {
  mangle: [chains.firewall, chains.sourceRanges],
  filter: [chains.filter, chains.outFilter, chains.nodePort, chains.forward, chains.firewall, chains.sourceRanges],
  nat: [chains.services, chains.nodePort, chains.loadBalancer, chains.postrouting],
};

/** The chains that the iptables mode has as well, by these names. */
const common: Readonly<Record<string, readonly string[]>> = {
  filter: [chains.forward, chains.firewall],
  nat: [chains.services, chains.postrouting],
};

/**
 * Removes the rules of a family. Chains that the iptables mode has too are left to it where it is in use.
 */
export async function removeRules(xtables: Xtables, family: Family, signal?: AbortSignal): Promise<void> {
  // A kernel without this variant, or without IPv6, has no rules of it.
  const saved = await xtables.save(family, tables, signal).catch(() => []);
  if (!isIpvsInUse(saved)) return;
  const iptables = canaryTables.some((table) => rulesIn(saved, table, iptablesChains.canary) !== undefined);
  const input: string[] = [];
  for (const { name: table, chains: present } of saved) {
    const doomed = new Set(own[table]);
    if (iptables) for (const name of common[table] ?? []) doomed.delete(name);
    const ours = [...present.keys()].filter((name) => doomed.has(name));
    if (ours.length === 0) continue;
    const leading = [...present.values()].flatMap(({ name, rules }) =>
      doomed.has(name)
        ? []
        : rules.filter(({ text }) => isOurs(table, name, text, doomed)).map(({ text }) => `-D ${name} ${text}\n`),
    );
    input.push(`*${table}\n`, ...leading, ...ours.map((name) => `:${name} - [0:0]\n`));
    input.push(...ours.map((name) => `-X ${name}\n`), "COMMIT\n");
  }
  if (input.length > 0) await xtables.restore(family, input, signal);
}

/** Whether the tables have the rules of an ipvs mode, Portolan's or kube-proxy's. */
export function isIpvsInUse(saved: readonly SavedTable[]): boolean {
  return rulesIn(saved, "filter", chains.filter) !== undefined;
}

/** kube-proxy's jumps differ from ours in comments and conditions only. */
function isOurs(table: string, from: string, text: string, doomed: ReadonlySet<string>): boolean {
  const target = /-j (\S+)$/.exec(text)?.[1] ?? "";
  return doomed.has(target) && /--comment "?kube/.test(text) && isBuiltIn(table, from);
}

function isBuiltIn(table: string, chain: string): boolean {
  const names = ["INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"];
  return tables.some((known) => known === table) && names.includes(chain);
}

function rulesIn(saved: readonly SavedTable[], table: Table, chain: string): readonly string[] | undefined {
  const rules = saved.find(({ name }) => name === table)?.chains.get(chain)?.rules;
  return rules?.map(({ text }) => canonicalRule(text));
}
