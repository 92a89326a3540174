/** Removes what kube-proxy's and Portolan's iptables mode leave in the tables, and nothing of others. */
import { canonicalRule } from "../../../kernel/xtables/rule.ts";
import type { SavedTable } from "../../../kernel/xtables/save.ts";
import type { Table, Xtables } from "../../../kernel/xtables/xtables.ts";
import { type Family, families } from "../../../net/address.ts";
import { inSlices } from "../slices.ts";
import { isGuarded, jumps } from "./fixed.ts";
import { chains, isServiceChain } from "./names.ts";

/**
 * The chains to remove beside those of services. KUBE-MARK-MASQ and KUBE-FIREWALL stay: kubelet uses them too.
 */
const leftovers: Readonly<Record<Table, readonly string[]>> = {
  filter: [
    chains.services,
    chains.externalServices,
    chains.nodePorts,
    chains.proxyFirewall,
    chains.forward,
    chains.canary,
  ],
  nat: [chains.services, chains.nodePorts, chains.postrouting, chains.canary],
  mangle: [chains.canary],
};

/** A chain that the ipvs mode alone has, and those by whose names both modes go: they are left to it where it is in use. */
const ipvsChain = "KUBE-IPVS-FILTER";
const commonWithIpvs: Readonly<Record<string, readonly string[]>> = {
  filter: [chains.forward, chains.proxyFirewall],
  nat: [chains.services, chains.postrouting],
};

/**
 * Whose the rules are. The userspace mode writes the chains of the iptables mode too where it has nothing else, and
 * neither must remove what the other uses.
 */
export type Owner = "iptables" | "userspace";

/**
 * Cleans both families of one variant.
 *
 * @param owner what is the other's stays; without it everything goes.
 * @returns what was removed, in words: `23 chains of iptables-nft`.
 * @throws if a rule of somebody else still leads into one of the chains, naming it; everything else is gone then.
 */
export async function cleanXtables(xtables: Xtables, owner?: Owner): Promise<readonly string[]> {
  const kept: string[] = [];
  const removed: string[] = [];
  for (const family of families) {
    const removals = await cleanFamily(xtables, family, { owner });
    kept.push(...removals.flatMap(({ foreign }) => foreign).map((rule) => `${xtables.program(family, "")} ${rule}`));
    const count = removals.reduce((sum, { chains: ours, used }) => sum + ours.length - used.size, 0);
    if (count > 0) removed.push(`${count} chains of ${xtables.program(family, "")}`);
  }
  if (kept.length > 0) {
    throw new Error(`chains could not be removed, because rules of others lead into them: ${kept.join("; ")}`);
  }
  return removed;
}

/**
 * Cleans one family; a node without IPv6 or without ip6tables has nothing to clean there.
 *
 * @returns what was removed, and the rules of others that keep a chain from being removed.
 */
export async function cleanFamily(
  xtables: Xtables,
  family: Family,
  { owner, signal }: { readonly owner?: Owner | undefined; readonly signal?: AbortSignal },
): Promise<readonly Removal[]> {
  const saved = await xtables.save(family, ["filter", "nat", "mangle"], signal).catch((error: unknown) => {
    if (family === "IPv6") return [];
    throw error;
  });
  if (owner !== undefined && owner !== (isGuarded(saved) ? "userspace" : "iptables")) return [];
  const removals = await inSlices(findRemovals(saved), signal);
  if (removals.length > 0) await xtables.restore(family, { [Symbol.iterator]: () => removalInput(removals) }, signal);
  return removals;
}

/** What goes of one table. */
interface Removal {
  readonly table: string;
  readonly chains: readonly string[];
  /** Lines that remove the rules of built-in chains that lead there. */
  readonly deletions: readonly string[];
  /** Those of the chains that are emptied only, and the rules of others that lead there. */
  readonly used: ReadonlySet<string>;
  readonly foreign: readonly string[];
}

/** Finds the leftovers in the tables as saved. Pure; yields after each chain, so that the caller can do other work. */
function* findRemovals(saved: readonly SavedTable[]): Generator<undefined, readonly Removal[]> {
  const removals: Removal[] = [];
  const ipvs = saved.some((table) => table.chains.has(ipvsChain));
  for (const { name: table, chains: present } of saved) {
    const kept = ipvs ? (commonWithIpvs[table] ?? []) : [];
    const ours = new Set<string>();
    for (const chain of present.keys()) {
      if (isLeftover(table, chain) && !kept.includes(chain)) ours.add(chain);
      yield;
    }
    const deletions: string[] = [];
    const used = new Set<string>();
    const foreign: string[] = [];
    for (const chain of present.values()) {
      yield;
      if (ours.has(chain.name)) continue;
      for (const { text } of chain.rules) {
        const target = /-[jg] (\S+)/.exec(text)?.[1] ?? "";
        if (!ours.has(target)) continue;
        if (isJump(table, chain.name, text)) {
          deletions.push(`-D ${chain.name} ${text}\n`);
        } else {
          used.add(target);
          foreign.push(`-t ${table} -A ${chain.name} ${text}`);
        }
      }
    }
    if (ours.size > 0) removals.push({ table, chains: [...ours], deletions, used, foreign });
  }
  return removals;
}

/** Input that removes them. All chains are emptied before the first is removed, for they refer to each other. */
function* removalInput(removals: readonly Removal[]): Generator<string, undefined> {
  for (const { table, chains: ours, deletions, used } of removals) {
    yield `*${table}\n`;
    for (const chain of ours) yield `:${chain} - [0:0]\n`;
    yield* deletions;
    for (const chain of ours) if (!used.has(chain)) yield `-X ${chain}\n`;
    yield "COMMIT\n";
  }
}

function isLeftover(table: string, chain: string): boolean {
  return leftovers[table as Table]?.includes(chain) || (table === "nat" && isServiceChain(chain));
}

function isJump(table: string, from: string, text: string): boolean {
  const rule = canonicalRule(text);
  return jumps.some((jump) => jump.table === table && jump.from === from && canonicalRule(jump.rule) === rule);
}
