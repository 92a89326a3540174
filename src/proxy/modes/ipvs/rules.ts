/** The rules of the ipvs mode: they look up sets, and are the same whatever services there are. Pure. */
import type { Table } from "../../../kernel/xtables/xtables.ts";
import type { Family } from "../../../net/address.ts";
import type { Context } from "../iptables/context.ts";
import { nameIn, ruleComments, type SetName } from "./sets.ts";

/** A chain with its rules, each without `-A` and chain. */
export interface RuleChain {
  readonly table: Table;
  readonly name: string;
  readonly rules: readonly string[];
}

/** A rule of a built-in chain that leads into one of ours. */
export interface RuleJump {
  readonly table: Table;
  readonly from: string;
  readonly to: string;
  readonly rule: string;
}

/** The names of the chains, which are kube-proxy's. */
export const chains = {
  services: "KUBE-SERVICES",
  postrouting: "KUBE-POSTROUTING",
  nodePort: "KUBE-NODE-PORT",
  loadBalancer: "KUBE-LOAD-BALANCER",
  markMasq: "KUBE-MARK-MASQ",
  forward: "KUBE-FORWARD",
  firewall: "KUBE-PROXY-FIREWALL",
  sourceRanges: "KUBE-SOURCE-RANGES-FIREWALL",
  filter: "KUBE-IPVS-FILTER",
  outFilter: "KUBE-IPVS-OUT-FILTER",
  /** Portolan's own. */
  sources: "KUBE-IPVS-POSTROUTING",
  /** Portolan's own, there only when the mode was left and connections are under way. */
  draining: "KUBE-IPVS-DRAINING",
} as const;

/** What the rules depend on; of the context of the iptables mode what they have in common. */
export type RuleContext = Pick<Context, "family" | "mark" | "pods" | "nodePortAddresses">;

const fresh = "-m conntrack --ctstate NEW";

/** Leads to the rules that must be there before and after all others. */
const sourcesJump = jump("nat", "POSTROUTING", chains.sources, "kubernetes ipvs addresses as sources");

/** The jumps. Each is put first in its chain, in this order: the last ends up on top. */
const jumps: readonly RuleJump[] = [
  sourcesJump,
  jump("mangle", "OUTPUT", chains.firewall, "kubernetes load balancer firewall", fresh),
  jump("filter", "FORWARD", chains.forward, "kubernetes forwarding rules"),
  jump("filter", "INPUT", chains.filter, "kubernetes ipvs access filter", fresh),
  jump("filter", "OUTPUT", chains.outFilter, "kubernetes ipvs access filter", fresh),
  jump("filter", "INPUT", chains.nodePort, "kubernetes health check rules"),
  jump("filter", "INPUT", chains.firewall, "kubernetes load balancer firewall", fresh),
  jump("nat", "OUTPUT", chains.services, "kubernetes service portals"),
  jump("nat", "PREROUTING", chains.services, "kubernetes service portals"),
  jump("nat", "POSTROUTING", chains.postrouting, "kubernetes postrouting rules"),
];

/** All rules of a family. */
export function rulesOf(context: RuleContext): Rules {
  const { family } = context;
  return {
    chains: [sourcesChain(family), ...natChains(context), ...filterChains(context), ...firewallChains(context)],
    jumps,
  };
}

/** Chains with the jumps to them. */
export interface Rules {
  readonly chains: readonly RuleChain[];
  readonly jumps: readonly RuleJump[];
}

/**
 * What must be there before the interface has addresses. The kernel takes an address of the interface for the source of
 * what this node sends there, and the answers to that would go elsewhere; whichever mode's rules choose the endpoint.
 */
export function sourceRules(family: Family): Rules {
  return { chains: [sourcesChain(family)], jumps: [sourcesJump] };
}

/**
 * What stays when the mode was left while connections are under way. Their addresses are still those of this node, so
 * what no other mode's rules take must not come to programs of this node; answers pass where others forward nothing.
 */
export function drainingRules(family: Family): Rules {
  const comment = "kubernetes ipvs connections under way";
  const name = chains.draining;
  const rules = [
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    `-m set --match-set ${nameIn("KUBE-IPVS-IPS", family)} dst -j REJECT`,
  ];
  return {
    chains: [sourcesChain(family), { table: "filter", name, rules }],
    jumps: [
      sourcesJump,
      jump("filter", "FORWARD", name, comment),
      jump("filter", "INPUT", name, comment, fresh),
      jump("filter", "OUTPUT", name, comment, fresh),
    ],
  };
}

function sourcesChain(family: Family): RuleChain {
  const source = `! -o lo -m set --match-set ${nameIn("KUBE-IPVS-IPS", family)} src`;
  return { table: "nat", name: chains.sources, rules: [`${source} -j MASQUERADE`] };
}

/** Who is masqueraded. What happens to a packet afterwards is IPVS's business. */
function natChains(context: RuleContext): RuleChain[] {
  const { family, mark, pods } = context;
  const to = lookup(family, "dst,dst");
  const commented = commentedLookup(family, "dst,dst");
  const masquerade = `-j ${chains.markMasq}`;
  const fromNode = "-m addrtype --src-type LOCAL";
  /** Policy Local: this node alone is masqueraded, unless its address is taken for a pod's. */
  const local = (match: string, end: "RETURN" | "ACCEPT" = "RETURN") => [
    ...(pods === undefined ? [] : [`${pods.are} ${match} -j ${end}`]),
    `${match} ${fromNode} ${masquerade}`,
    `${match} -j ${end}`,
  ];
  const clusterIP =
    // A connection of this node's comes from the cluster IP itself, which nobody else could answer.
    pods === undefined
      ? `${commentedLookup(family, "src,dst")("KUBE-CLUSTER-IP")} ${masquerade}`
      : `${pods.areNot} ${commented("KUBE-CLUSTER-IP")} ${masquerade}`;
  const known: readonly SetName[] = [
    "KUBE-CLUSTER-IP",
    "KUBE-EXTERNAL-IP",
    "KUBE-EXTERNAL-IP-LOCAL",
    "KUBE-LOAD-BALANCER",
  ];
  const services = [
    `-s ${family === "IPv4" ? "127.0.0.0/8" : "::1/128"} -j RETURN`,
    `${commented("KUBE-LOAD-BALANCER")} -j ${chains.loadBalancer}`,
    `${to("KUBE-MASQUERADE-ALL")} ${masquerade}`,
    clusterIP,
    `${commented("KUBE-EXTERNAL-IP")} ${masquerade}`,
    ...local(commented("KUBE-EXTERNAL-IP-LOCAL"), "ACCEPT"),
    // Rules of others, such as those of ports that containers publish on all local addresses, must not see these.
    ...known.map((set) => `${to(set)} -j ACCEPT`),
    ...nodePortPlaces(context).map((match) => `${match} -j ${chains.nodePort}`),
  ];
  const port = commentedLookup(family, "dst");
  const nodePort = [
    ...(["TCP", "UDP"] as const).flatMap((protocol) => [
      ...local(`-p ${protocol.toLowerCase()} ${port(`KUBE-NODE-PORT-LOCAL-${protocol}`)}`),
      `-p ${protocol.toLowerCase()} ${port(`KUBE-NODE-PORT-${protocol}`)} ${masquerade}`,
    ]),
    ...local(`-p sctp ${commented("KUBE-NODE-PORT-LOCAL-SCTP-HASH")}`),
    `-p sctp ${commented("KUBE-NODE-PORT-SCTP-HASH")} ${masquerade}`,
  ];
  const postrouting = [
    `${commentedLookup(family, "dst,dst,src")("KUBE-LOOP-BACK")} -j MASQUERADE`,
    `-m mark ! --mark ${mark}/${mark} -j RETURN`,
    // Cleared, so that a packet that passes again, out of a tunnel, is not masqueraded again.
    `-j MARK --xor-mark ${mark}`,
    '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
  ];
  return [
    { table: "nat", name: chains.markMasq, rules: [`-j MARK --or-mark ${mark}`] },
    {
      table: "nat",
      name: chains.loadBalancer,
      rules: [...local(commented("KUBE-LOAD-BALANCER-LOCAL")), masquerade],
    },
    { table: "nat", name: chains.nodePort, rules: nodePort },
    { table: "nat", name: chains.services, rules: services },
    { table: "nat", name: chains.postrouting, rules: postrouting },
  ];
}

/** What matches packets to addresses on which node ports answer: those of the node, not those of services. */
function nodePortPlaces({ family, nodePortAddresses }: RuleContext): readonly string[] {
  if (nodePortAddresses.kind === "addresses") return nodePortAddresses.addresses.map((address) => `-d ${address}`);
  return [`-m set ! --match-set ${nameIn("KUBE-IPVS-IPS", family)} dst -m addrtype --dst-type LOCAL`];
}

/** Who is refused. The chains see new connections only. */
function filterChains({ family, mark, pods }: RuleContext): RuleChain[] {
  const to = lookup(family, "dst,dst");
  const outside = to("KUBE-NO-LOCAL-OUTSIDE");
  const elsewhere = `-m set --match-set ${nameIn("KUBE-IPVS-IPS", family)} dst -j REJECT`;
  const reject = `${to("KUBE-NO-ENDPOINTS")} -j REJECT`;
  const healthCheck = (match: typeof lookup) => `-p tcp ${match(family, "dst")("KUBE-HEALTH-CHECK-NODE-PORT")}`;
  const served: readonly SetName[] = [
    "KUBE-CLUSTER-IP",
    "KUBE-EXTERNAL-IP",
    "KUBE-EXTERNAL-IP-LOCAL",
    "KUBE-LOAD-BALANCER",
  ];
  return [
    { table: "filter", name: chains.nodePort, rules: [`${healthCheck(commentedLookup)} -j ACCEPT`] },
    {
      table: "filter",
      name: chains.forward,
      rules: [
        `-m comment --comment "kubernetes forwarding rules" -m mark --mark ${mark}/${mark} -j ACCEPT`,
        '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      ],
    },
    {
      table: "filter",
      name: chains.filter,
      rules: [
        reject,
        ...(pods === undefined ? [] : [`${pods.are} ${outside} -j RETURN`]),
        `${outside} -m addrtype --src-type LOCAL -j RETURN`,
        `${outside} -j DROP`,
        ...served.map((set) => `${to(set)} -j RETURN`),
        `${healthCheck(lookup)} -j RETURN`,
        // The address is local, so that programs of this node would answer on other ports.
        elsewhere,
      ],
    },
    // What IPVS balances has another destination by now.
    { table: "filter", name: chains.outFilter, rules: [reject, elsewhere] },
  ];
}

/** What is dropped whoever sends it. IPVS takes what this node sends before table filter sees it: mangle looks first. */
function firewallChains({ family }: RuleContext): RuleChain[] {
  const from = commentedLookup(family, "dst,dst,src");
  const ranges = [
    `${from("KUBE-LOAD-BALANCER-SOURCE-CIDR")} -j RETURN`,
    `${from("KUBE-LOAD-BALANCER-SOURCE-IP")} -j RETURN`,
    "-j DROP",
  ];
  const to = lookup(family, "dst,dst");
  const firewall = [
    `${commentedLookup(family, "dst,dst")("KUBE-LOAD-BALANCER-FW")} -j ${chains.sourceRanges}`,
    `${to("KUBE-NO-LOCAL-ENDPOINTS")} -j DROP`,
  ];
  return (["filter", "mangle"] as const).flatMap((table) => [
    { table, name: chains.sourceRanges, rules: ranges },
    { table, name: chains.firewall, rules: firewall },
  ]);
}

/** Makes matches of sets that look at these parts of a packet. */
function lookup(family: Family, parts: string): (set: SetName) => string {
  return (set) => `-m set --match-set ${nameIn(set, family)} ${parts}`;
}

/** As {@link lookup}, with the comment that kube-proxy's rule has. */
function commentedLookup(family: Family, parts: string): (set: SetName) => string {
  return (set) => {
    const comment = ruleComments[set];
    return `${comment === undefined ? "" : `-m comment --comment "${comment}" `}${lookup(family, parts)(set)}`;
  };
}

function jump(table: Table, from: string, to: string, comment: string, match = ""): RuleJump {
  return { table, from, to, rule: `${match} -m comment --comment "${comment}" -j ${to}`.trim() };
}
