/** Tables of iptables' old variant as chains and rules of nf_tables, so that one engine follows both. */
import type { Chain, Expression, Hook, Rule, TableFamily } from "../../kernel/nftables/index.ts";
import type { LegacyChain, LegacyTable } from "../snapshot/types.ts";

/** Chains with their rules. */
export interface Translation {
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
}

const priorities: Readonly<Record<string, number>> = { raw: -300, mangle: -150, filter: 0, security: 50 };
const natPriorities: Readonly<Record<string, number>> = {
  PREROUTING: -100,
  OUTPUT: -100,
  INPUT: 100,
  POSTROUTING: 100,
};
const hooks: Readonly<Record<string, Hook>> = {
  PREROUTING: "prerouting",
  INPUT: "input",
  FORWARD: "forward",
  OUTPUT: "output",
  POSTROUTING: "postrouting",
};

/** Translates a table. It is then called `iptables-legacy NAME`, which no table of nf_tables is. */
export function translateLegacy({ family, name, chains }: LegacyTable): Translation {
  const place = { family: (family === "IPv4" ? "ip" : "ip6") as TableFamily, table: `iptables-legacy ${name}` };
  return {
    chains: chains.map((chain): Chain => {
      const hook = chain.policy === undefined ? undefined : hooks[chain.name];
      if (hook === undefined) return { ...place, chain: chain.name };
      const priority = (name === "nat" ? natPriorities[chain.name] : priorities[name]) ?? 0;
      const policy = chain.policy === "DROP" ? "drop" : "accept";
      const type = name === "nat" ? "nat" : name === "mangle" && hook === "output" ? "route" : "filter";
      return { ...place, chain: chain.name, base: { type, hook, priority, policy } };
    }),
    rules: chains.flatMap((chain) =>
      expressionsOf(chain).map((expressions): Rule => {
        const comment = commentOf(expressions);
        return { ...place, chain: chain.name, expressions, ...(comment !== undefined && { comment }) };
      }),
    ),
  };
}

/** A snapshot that has a chain's rules in words alone: what they do is not known. */
function expressionsOf({ rules, expressions }: LegacyChain): readonly (readonly Expression[])[] {
  return expressions ?? rules.map((text) => [{ kind: "unknown", name: `"${text}"`, data: new Uint8Array() }]);
}

/** The text of a rule's `comment` match. */
export function commentOf(expressions: readonly Expression[]): string | undefined {
  const match = expressions.find((each) => each.kind === "match" && each.name === "comment");
  if (match?.kind !== "match") return undefined;
  const end = match.info.indexOf(0);
  return Buffer.from(match.info.subarray(0, end < 0 ? match.info.length : end)).toString("utf8");
}
