/** The rules that stand whatever services there are. */
import type { SavedTable } from "../../../kernel/xtables/save.ts";
import type { Table } from "../../../kernel/xtables/xtables.ts";
import type { Address } from "../../../net/address.ts";
import { type Context, nodePortDestinations } from "./context.ts";
import { chains } from "./names.ts";
import type { SharedRule } from "./service.ts";

/** The chains that every full sync writes whole, in kube-proxy's order. */
export const sharedChains = {
  filter: [chains.services, chains.externalServices, chains.forward, chains.nodePorts, chains.proxyFirewall],
  nat: [chains.services, chains.nodePorts, chains.postrouting, chains.markMasq],
} as const;

/** A rule of a built-in chain that leads into one of ours. */
export interface Jump {
  readonly table: "filter" | "nat";
  readonly from: "INPUT" | "FORWARD" | "OUTPUT" | "PREROUTING" | "POSTROUTING";
  readonly to: string;
  /** The rule without `-A` and chain. */
  readonly rule: string;
}

const fresh = "-m conntrack --ctstate NEW";

/** The jumps that are kube-proxy's alone. Each is put first in its chain, in this order: the last ends up on top. */
export const jumps: readonly Jump[] = [
  jump("filter", "INPUT", chains.externalServices, "kubernetes externally-visible service portals", fresh),
  jump("filter", "FORWARD", chains.externalServices, "kubernetes externally-visible service portals", fresh),
  jump("filter", "INPUT", chains.nodePorts, "kubernetes health check service ports"),
  jump("filter", "FORWARD", chains.services, "kubernetes service portals", fresh),
  jump("filter", "OUTPUT", chains.services, "kubernetes service portals", fresh),
  jump("filter", "FORWARD", chains.forward, "kubernetes forwarding rules"),
  jump("filter", "INPUT", chains.proxyFirewall, "kubernetes load balancer firewall", fresh),
  jump("filter", "OUTPUT", chains.proxyFirewall, "kubernetes load balancer firewall", fresh),
  jump("filter", "FORWARD", chains.proxyFirewall, "kubernetes load balancer firewall", fresh),
  jump("nat", "OUTPUT", chains.services, "kubernetes service portals"),
  jump("nat", "PREROUTING", chains.services, "kubernetes service portals"),
  jump("nat", "POSTROUTING", chains.postrouting, "kubernetes postrouting rules"),
];

/** The jumps that kubelet makes too: never removed. */
export const kubeletJumps: readonly Jump[] = [
  jump("filter", "INPUT", chains.kubeletFirewall),
  jump("filter", "OUTPUT", chains.kubeletFirewall),
];

/** The tables in which an empty chain tells, by being gone, that somebody flushed everything. */
export const canaryTables: readonly Table[] = ["mangle", "nat", "filter"];

/** The fixed rules before those of the services. */
export function headRules({ family, mark, localhostNodePorts, guarded }: Context): SharedRule[] {
  const rules: SharedRule[] = [
    nat(chains.postrouting, `-m mark ! --mark ${mark}/${mark} -j RETURN`),
    // Cleared, so that a packet that passes again, out of a tunnel, is not masqueraded again.
    nat(chains.postrouting, `-j MARK --xor-mark ${mark}`),
    nat(
      chains.postrouting,
      '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ),
    nat(chains.markMasq, `-j MARK --or-mark ${mark}`),
  ];
  if (family === "IPv4" && localhostNodePorts) {
    // route_localnet opens services on 127.0.0.1 to the neighbours on the link; this closes them again.
    const match = "-d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT";
    const rule = `-m comment --comment "block incoming localnet connections" ${match} -j DROP`;
    rules.push(filter(chains.kubeletFirewall, rule));
  }
  if (guarded !== undefined) rules.push(filter(chains.proxyFirewall, guardRule(guarded)));
  return rules;
}

/** The comment of the rule that guards an address: whose rules these are can be told by it. */
const guard = "through services only";

function guardRule(address: Address): string {
  return `-m comment --comment "${guard}" -d ${address} -m conntrack ! --ctstate DNAT -j DROP`;
}

/** Whether the rules guard an address. @param saved the tables of one family. */
export function isGuarded(saved: readonly SavedTable[]): boolean {
  const chain = saved.find(({ name }) => name === "filter")?.chains.get(chains.proxyFirewall);
  return chain?.rules.some(({ text }) => text.includes(`"${guard}"`)) ?? false;
}

/** The fixed rules after those of the services. */
export function tailRules(context: Context): SharedRule[] {
  return [...nodePortTail(context), ...forwardRules(context)];
}

/** What leads to the node ports: the last of KUBE-SERVICES, for it takes whatever is addressed to this node. */
function nodePortTail({ family, nodePortAddresses, localhostNodePorts }: Context): SharedRule[] {
  const note = "kubernetes service nodeports; NOTE: this must be the last rule in this chain";
  const rule = (match: string) =>
    nat(chains.services, `-m comment --comment "${note}" ${match} -j ${chains.nodePorts}`);
  if (nodePortAddresses.kind === "addresses") {
    return nodePortDestinations(nodePortAddresses.addresses, family).map((address) => rule(`-d ${address}`));
  }
  const but = family === "IPv6" ? " ! -d ::1/128" : localhostNodePorts ? "" : " ! -d 127.0.0.0/8";
  return [rule(`-m addrtype --dst-type LOCAL${but}`)];
}

function forwardRules({ machine, mark }: Context): SharedRule[] {
  const rules: SharedRule[] = [];
  if (machine.dropInvalid) {
    const counted = machine.counters.has("ct_state_invalid_dropped_pkts")
      ? " -m nfacct --nfacct-name ct_state_invalid_dropped_pkts"
      : "";
    rules.push(filter(chains.forward, `-m conntrack --ctstate INVALID${counted} -j DROP`));
  }
  const marked = `-m mark --mark ${mark}/${mark}`;
  rules.push(
    filter(chains.forward, `-m comment --comment "kubernetes forwarding rules" ${marked} -j ACCEPT`),
    filter(
      chains.forward,
      '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ),
  );
  return rules;
}

function filter(chain: string, rule: string): SharedRule {
  return { table: "filter", chain, rule };
}

function nat(chain: string, rule: string): SharedRule {
  return { table: "nat", chain, rule };
}

function jump(table: Jump["table"], from: Jump["from"], to: string, comment?: string, match?: string): Jump {
  const parts = [match, comment && `-m comment --comment "${comment}"`, `-j ${to}`];
  return { table, from, to, rule: parts.filter(Boolean).join(" ") };
}
