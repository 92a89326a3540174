/** Whether the kernel tracks connections at all: only while somebody asks it to. */
import type { Expression, Rule, TableFamily } from "../../kernel/nftables/index.ts";

const kinds: ReadonlySet<string> = new Set([
  "ct",
  "ct set",
  "nat",
  "masq",
  "redir",
  "connlimit",
  "synproxy",
  "flow offload",
]);

/** Matches and targets of iptables that ask for the tracker when they are loaded. */
const extensions =
  /^(conntrack|state|connmark|connbytes|connlabel|connlimit|cluster|helper|CT|NOTRACK|CONNMARK|CONNSECMARK|SYNPROXY|DNAT|SNAT|MASQUERADE|REDIRECT|NETMAP)$/;

/** The families of tables with rules that ask for the tracker (`nf_ct_netns_get`): `inet` asks for both. */
export function trackingFamilies(rules: Iterable<Rule>): ReadonlySet<TableFamily> {
  const found = new Set<TableFamily>();
  for (const { family, expressions } of rules) {
    if (!found.has(family) && expressions.some(asks)) found.add(family);
  }
  return found;
}

function asks(expression: Expression): boolean {
  if (expression.kind === "match" || expression.kind === "target") return extensions.test(expression.name);
  if (expression.kind === "dynset") return expression.expressions?.some(asks) === true;
  return kinds.has(expression.kind) || (expression.kind === "objref" && expression.type.startsWith("ct "));
}
