/** Writes the rules of the ipvs mode, and removes them. */
import { canonicalRule } from "../../../kernel/xtables/rule.ts";
import type { SavedTable } from "../../../kernel/xtables/save.ts";
import type { Table, Xtables } from "../../../kernel/xtables/xtables.ts";
import type { Family } from "../../../net/address.ts";
import { canaryTables } from "../iptables/fixed.ts";
import { chains as iptablesChains } from "../iptables/names.ts";
import { chains, drainingRules, type RuleChain, type Rules, sourceRules } from "./rules.ts";

const tables: readonly Table[] = ["mangle", "filter", "nat"];

/** What of the rules is not as it should be. */
export interface RuleDifferences extends Rules {
  /**
   * By table, lines that delete what is too much: jumps to the chains from elsewhere or under other conditions, which
   * kube-proxy and the iptables mode have, and the chain that stood while connections of the mode that was left ended.
   */
  readonly surplus: ReadonlyMap<string, readonly string[]>;
}

/** Compares the kernel's tables of a family with the rules that it should have. */
export async function compareRules(
  xtables: Xtables,
  family: Family,
  wanted: Rules,
  signal: AbortSignal,
): Promise<RuleDifferences> {
  const saved = await xtables.save(family, tables, signal);
  const draining = new Set<string>([chains.draining]);
  const surplus = new Map(
    saved.map((table) => [table.name, [...strayJumps(table, wanted), ...removals(table, draining)]]),
  );
  return { ...missingRules(saved, wanted), surplus };
}

function missingRules(saved: readonly SavedTable[], wanted: Rules): Rules {
  const same = ({ table, name, rules }: RuleChain) => {
    const found = rulesIn(saved, table, name);
    return found?.length === rules.length && rules.every((rule, i) => canonicalRule(rule) === found[i]);
  };
  return {
    chains: wanted.chains.filter((chain) => !same(chain)),
    jumps: wanted.jumps.filter(({ table, from, rule }) => !rulesIn(saved, table, from)?.includes(canonicalRule(rule))),
  };
}

/** Those of the differences that must be mended before the interface has addresses. */
export function firstOf(differences: RuleDifferences, family: Family): RuleDifferences {
  return { ...partOf(differences, (chain) => isFirst(family, chain)), surplus: new Map() };
}

/** All others. */
export function restOf(differences: RuleDifferences, family: Family): RuleDifferences {
  return { ...partOf(differences, (chain) => !isFirst(family, chain)), surplus: differences.surplus };
}

function isFirst(family: Family, chain: string): boolean {
  return sourceRules(family).chains.some(({ name }) => name === chain);
}

function partOf({ chains: all, jumps }: Rules, isPart: (chain: string) => boolean): Rules {
  return { chains: all.filter(({ name }) => isPart(name)), jumps: jumps.filter(({ to }) => isPart(to)) };
}

/** Makes the rules as they should be. Each table changes in one step. */
export async function mendRules(
  xtables: Xtables,
  family: Family,
  differences: RuleDifferences,
  signal: AbortSignal,
): Promise<void> {
  const input = inputFor(differences, differences.surplus);
  if (input.length > 0) await xtables.restore(family, input, signal);
}

function inputFor(wanted: Rules, removed: ReadonlyMap<string, readonly string[]>): readonly string[] {
  return tables.flatMap((table) => {
    const changed = wanted.chains.filter((chain) => chain.table === table);
    const missing = wanted.jumps.filter((jump) => jump.table === table);
    const gone = removed.get(table) ?? [];
    if (changed.length + missing.length + gone.length === 0) return [];
    return [
      `*${table}\n`,
      ...changed.map(({ name }) => `:${name} - [0:0]\n`),
      ...changed.flatMap(({ name, rules }) => rules.map((rule) => `-A ${name} ${rule}\n`)),
      ...missing.map(({ from, rule }) => `-I ${from} ${rule}\n`),
      ...gone,
      "COMMIT\n",
    ];
  });
}

/** The chains to remove. KUBE-MARK-MASQ stays: kubelet uses it too. */
const own: Readonly<Record<string, readonly string[]>> = {
  mangle: [chains.firewall, chains.sourceRanges],
  filter: [
    chains.filter,
    chains.outFilter,
    chains.nodePort,
    chains.forward,
    chains.firewall,
    chains.sourceRanges,
    chains.draining,
  ],
  nat: [chains.services, chains.nodePort, chains.loadBalancer, chains.postrouting, chains.sources],
};

/** The chains that the iptables mode has as well, by these names. */
const common: Readonly<Record<string, readonly string[]>> = {
  filter: [chains.forward, chains.firewall],
  nat: [chains.services, chains.postrouting],
};

/**
 * Removes the rules of a family. Chains that the iptables mode has too are left to it where it is in use; those that
 * rules of others lead into are emptied only.
 *
 * @returns those rules of others, as `iptables -t nat -A DOCKER -j KUBE-SERVICES`; undefined if there was nothing to
 *   remove.
 */
export function removeRules(
  xtables: Xtables,
  family: Family,
  signal?: AbortSignal,
): Promise<readonly string[] | undefined> {
  return reduceRules(xtables, family, { chains: [], jumps: [] }, signal);
}

/** As {@link removeRules}, but what connections that are under way need stays or comes. */
export async function keepDrainingRules(xtables: Xtables, family: Family): Promise<void> {
  await reduceRules(xtables, family, drainingRules(family));
}

async function reduceRules(
  xtables: Xtables,
  family: Family,
  kept: Rules,
  signal?: AbortSignal,
): Promise<readonly string[] | undefined> {
  // A kernel without this variant, or without IPv6, has no rules of it.
  const saved = await xtables.save(family, tables, signal).catch(() => []);
  if (!isIpvsInUse(saved)) return undefined;
  const iptables = canaryTables.some((table) => rulesIn(saved, table, iptablesChains.canary) !== undefined);
  const removed = new Map<string, readonly string[]>();
  const foreign: string[] = [];
  for (const table of saved) {
    const doomed = new Set(own[table.name]);
    for (const { table: where, name } of kept.chains) if (where === table.name) doomed.delete(name);
    if (iptables) for (const name of common[table.name] ?? []) doomed.delete(name);
    removed.set(table.name, removals(table, doomed));
    const leading = foreignRules(table, doomed).map(({ from, text }) => `-t ${table.name} -A ${from} ${text}`);
    foreign.push(...leading.map((rule) => `${xtables.program(family, "")} ${rule}`));
  }
  const input = inputFor(missingRules(saved, kept), removed);
  if (input.length > 0) await xtables.restore(family, input, signal);
  return foreign;
}

/** Lines that remove jumps to the wanted chains which are not wanted. */
function strayJumps({ name: table, chains: present }: SavedTable, wanted: Rules): readonly string[] {
  const targets = new Set(wanted.jumps.flatMap((jump) => (jump.table === table ? [jump.to] : [])));
  const isWanted = (from: string, text: string) =>
    wanted.jumps.some(
      (jump) => jump.table === table && jump.from === from && canonicalRule(jump.rule) === canonicalRule(text),
    );
  return [...present.values()].flatMap(({ name, rules }) =>
    rules
      .filter(({ text }) => isOurs(table, name, text, targets) && !isWanted(name, text))
      .map(({ text }) => `-D ${name} ${text}\n`),
  );
}

/** Lines that remove chains of a table, those that are there, and the jumps to them. What others use is emptied only. */
function removals(saved: SavedTable, doomed: ReadonlySet<string>): readonly string[] {
  const { name: table, chains: present } = saved;
  const ours = [...present.keys()].filter((name) => doomed.has(name));
  if (ours.length === 0) return [];
  const leading = [...present.values()].flatMap(({ name, rules }) =>
    doomed.has(name)
      ? []
      : rules.filter(({ text }) => isOurs(table, name, text, doomed)).map(({ text }) => `-D ${name} ${text}\n`),
  );
  const used = new Set(foreignRules(saved, doomed).map(({ to }) => to));
  const gone = ours.filter((name) => !used.has(name));
  return [...leading, ...ours.map((name) => `:${name} - [0:0]\n`), ...gone.map((name) => `-X ${name}\n`)];
}

/** Rules of others that lead into chains of a table. */
function foreignRules({ name: table, chains: present }: SavedTable, doomed: ReadonlySet<string>) {
  return [...present.values()].flatMap(({ name: from, rules }) =>
    doomed.has(from)
      ? []
      : rules.flatMap(({ text }) => {
          const to = /-[jg] (\S+)/.exec(text)?.[1] ?? "";
          return doomed.has(to) && !isOurs(table, from, text, doomed) ? [{ from, to, text }] : [];
        }),
  );
}

/** Whether the tables have rules of an ipvs mode, Portolan's or kube-proxy's (before 1.27 without a filter). */
function isIpvsInUse(saved: readonly SavedTable[]): boolean {
  const signs = [
    ["filter", chains.filter],
    ["filter", chains.draining],
    ["nat", chains.nodePort],
  ] as const;
  return signs.some(([table, chain]) => rulesIn(saved, table, chain) !== undefined);
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
