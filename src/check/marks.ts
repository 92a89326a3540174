/** The bits of a packet's mark that service proxies speak to themselves with, and who else writes marks. */
import { chains as names } from "../proxy/modes/iptables/names.ts";
import { tableComment } from "../proxy/modes/nftables/layout.ts";
import { type PlainChain, siblingsOf } from "./chains.ts";
import type { Facts } from "./facts.ts";

/** A bit with a meaning. */
export interface MarkBit {
  readonly bit: number;
  /** What the proxy does with packets that have it. */
  readonly meaning: "masquerade" | "drop";
}

/** Chains of the nftables tables, Portolan's and kube-proxy's, whose rules change nothing of the mark but the bit. */
const masquerading = new Set(["masquerade-pod", "mark-for-masquerade", "masquerading"]);
/** kube-proxy and kubelet, before 1.26 or so, have packets dropped by it. */
const markDrop = "KUBE-MARK-DROP";

/** The bits in use, each once, as the proxies' own rules have them. */
export function markBitsOf(facts: Facts): readonly MarkBit[] {
  const own = ownTables(facts);
  const found = new Map<string, MarkBit>();
  for (const chain of facts.chains) {
    const table = `${chain.family} ${chain.table}`;
    const meaning =
      chain.table === "nat" && chain.name === names.markMasq
        ? "masquerade"
        : chain.table === "nat" && chain.name === markDrop
          ? "drop"
          : chain.variant === "nftables" && own.has(table) && masquerading.has(chain.name)
            ? "masquerade"
            : undefined;
    if (meaning === undefined) continue;
    for (const { mark } of chain.rules) {
      const bit = mark?.flip ?? 0;
      if (bit !== 0) found.set(`${meaning} ${bit}`, { bit, meaning });
    }
  }
  return [...found.values()];
}

/** The chains that no proxy and no kubelet wrote, with the hooks that lead to them. */
export function foreignChains(facts: Facts): readonly { readonly chain: PlainChain; readonly hooks: Set<string> }[] {
  const own = ownTables(facts);
  const foreign = facts.chains.filter(
    ({ variant, family, table, name }) =>
      !name.startsWith("KUBE-") && !(variant === "nftables" && own.has(`${family} ${table}`)),
  );
  const hooks = new Map(foreign.map((chain) => [chain, new Set<string>()]));
  const siblings = new Map<string, ReadonlyMap<string, PlainChain>>();
  const follow = (chain: PlainChain, hook: string): void => {
    const seen = hooks.get(chain);
    if (seen === undefined || seen.has(hook)) return;
    seen.add(hook);
    const key = `${chain.variant} ${chain.family} ${chain.table}`;
    const table = siblings.get(key) ?? siblingsOf(foreign, chain);
    siblings.set(key, table);
    for (const { decided } of chain.rules) {
      const next = decided.kind === "jump" || decided.kind === "goto" ? table.get(decided.chain) : undefined;
      if (next !== undefined) follow(next, hook);
    }
  };
  for (const chain of foreign) if (chain.base !== undefined) follow(chain, chain.base.hook);
  return foreign.map((chain) => ({ chain, hooks: hooks.get(chain) ?? new Set() }));
}

function ownTables({ snapshot }: Facts): ReadonlySet<string> {
  return new Set(
    snapshot.nftables.tables
      .filter(({ comment, table }) => comment === tableComment || table === "kube-proxy")
      .map(({ family, table }) => `${family} ${table}`),
  );
}
