/** The chains of all firewalls of a node in one list. */
import type { Hook } from "../kernel/nftables/index.ts";
import type { Family } from "../net/address.ts";
import type { Snapshot } from "../trace/snapshot/index.ts";
import { command } from "./finding.ts";
import { plainLegacyRule } from "./rules/legacy.ts";
import { plainNftRule } from "./rules/nft.ts";
import type { PlainRule } from "./rules/plain.ts";

/** A chain. */
export interface PlainChain {
  readonly variant: "nftables" | "legacy";
  /** `ip`, `ip6`, `inet`... */
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly base?: { readonly hook: Hook; readonly policy: "accept" | "drop"; readonly type: string };
  /** In plain form, made when they are asked for. */
  readonly rules: readonly PlainRule[];
  /** How many there are. */
  readonly size: number;
}

const legacyHooks: Readonly<Record<string, Hook>> = {
  PREROUTING: "prerouting",
  INPUT: "input",
  FORWARD: "forward",
  OUTPUT: "output",
  POSTROUTING: "postrouting",
};

/** All chains; those of dormant tables do nothing and are left out. */
export function chainsOf({ nftables, iptables }: Snapshot): readonly PlainChain[] {
  const key = ({ family, table }: { readonly family: string; readonly table: string }, name = "") =>
    `${family} ${table} ${name}`;
  const dormant = new Set(nftables.tables.filter(({ flags }) => flags?.includes("dormant")).map((table) => key(table)));
  const rules = Map.groupBy(nftables.rules, (rule) => key(rule, rule.chain));
  const sets = new Map(nftables.sets.map((set) => [key(set, set.set), set.elements]));
  const native = nftables.chains
    .filter((chain) => !dormant.has(key(chain)))
    .map(({ family, table, chain: name, base }) => {
      const own = rules.get(key({ family, table }, name)) ?? [];
      const { hook, type, policy = "accept" } = base ?? {};
      return makeChain(
        { variant: "nftables", family, table, name, ...(hook && type && { base: { hook, type, policy } }) },
        own.length,
        () =>
          own.map((rule) =>
            plainNftRule(rule, (set) => sets.get(key({ family, table }, set))?.map((element) => element.key) ?? []),
          ),
      );
    });
  const legacy = iptables.flatMap(({ family, name: table, chains }) =>
    chains.map(({ name, policy, rules: texts }) => {
      const hook = policy === undefined ? undefined : legacyHooks[name];
      const base =
        hook &&
        ({ hook, type: table === "nat" ? "nat" : "filter", policy: policy === "DROP" ? "drop" : "accept" } as const);
      return makeChain(
        { variant: "legacy", family: family === "IPv4" ? "ip" : "ip6", table, name, ...(base && { base }) },
        texts.length,
        () => texts.map(plainLegacyRule),
      );
    }),
  );
  return [...native, ...legacy];
}

/** Tens of thousands of chains are never looked into. */
function makeChain(
  chain: Omit<PlainChain, "rules" | "size">,
  size: number,
  read: () => readonly PlainRule[],
): PlainChain {
  let rules: readonly PlainRule[] | undefined;
  return {
    ...chain,
    size,
    get rules() {
      rules ??= read();
      return rules;
    },
  };
}

/** The chains of the same table, by name. */
export function siblingsOf(
  chains: readonly PlainChain[],
  { variant, family, table }: Pick<PlainChain, "variant" | "family" | "table">,
) {
  const own = chains.filter((each) => each.variant === variant && each.family === family && each.table === table);
  return new Map(own.map((each) => [each.name, each]));
}

/** The families of addresses that a chain sees. */
export function familiesOf({ family }: PlainChain): readonly Family[] {
  return family === "ip" ? ["IPv4"] : family === "ip6" ? ["IPv6"] : family === "inet" ? ["IPv4", "IPv6"] : [];
}

/** The command that shows a chain. */
export function showing({ variant, family, table, name }: PlainChain): string {
  return variant === "legacy"
    ? command`${family === "ip" ? "iptables" : "ip6tables"}-legacy -t ${table} -S ${name}`
    : command`nft -a list chain ${family} ${table} ${name}`;
}

/** What a chain is called in messages: `table inet firewall, chain forward`. */
export function titleOf({ variant, family, table, name }: PlainChain): string {
  return variant === "legacy"
    ? `${family === "ip" ? "iptables" : "ip6tables"}-legacy table ${table}, chain ${name}`
    : `nftables table ${family} ${table}, chain ${name}`;
}
