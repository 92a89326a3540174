import { type Address, type Family, families, familyOf, parseAddress } from "../../net/address.ts";
import { protocolNumbers } from "../../net/protocol.ts";
import { tableName } from "../../proxy/modes/nftables/layout.ts";
import { entrance } from "../../trace/ask/index.ts";
import type { CheckedPod } from "../../trace/snapshot/objects.ts";
import {
  Cluster,
  type Ended,
  type Question,
  type State,
  type Step,
  stepsOf,
  walkCluster,
} from "../../trace/walk/index.ts";
import type { Facts } from "../facts.ts";
import { type Check, command, type Finding, some } from "../finding.ts";
import { endpointsOf, isUsable, serviceTitle, slicesByService } from "../services.ts";

/** Walks of each kind and family at most: rules of one node treat pods, and Services of one policy, alike. */
const most = { services: 8, nodes: 3 };
/** Rules that all walks together may look at. */
const steps = 500_000;
/** Somebody outside: addresses kept for examples (RFC 5737, RFC 3849), and a port that nobody uses. */
const stranger = { IPv4: parseAddress("198.51.100.7"), IPv6: parseAddress("2001:db8::7") } as const;
const sourcePort = 61_999;

/** A packet whose sender must be seen by the server. */
interface Asked {
  /** `from pod shop/web-1 to pod shop/web-2`. */
  readonly title: string;
  readonly question: Question;
}

type RuleStep = Extract<Step, { readonly kind: "rule" }>;

/** Servers that do not see who asks. */
export const sourceAddress: Check = {
  name: "source-address",
  about:
    "Whether servers see the sender's address where they should: between pods, and behind Services with externalTrafficPolicy Local.",
  seen: [
    "kubernetes/kubernetes#27110",
    "kubernetes/kubernetes#36500",
    "kubernetes/kubernetes#62537",
    "kubernetes/kubernetes#91374",
  ],
  run(facts) {
    const cluster = new Cluster([facts.snapshot], steps);
    const lost = [...betweenPods(facts, cluster), ...fromOutside(facts)].flatMap(({ title, question }) => {
      const end = masqueraded(walkCluster(cluster, question).ends, question.packet.source);
      return end === undefined ? [] : [{ title, ...end }];
    });
    return [...Map.groupBy(lost, ({ rule }) => titleOfRule(rule))].flatMap(([subject, list]) => {
      const [first] = list;
      if (first === undefined) return [];
      const { rule, marked, source } = first;
      const by = marked === undefined ? "" : `, for the mark that ${titleOfRule(marked)} gave it`;
      return [
        {
          severity: "warning" as const,
          subject,
          message: `${subject}${rule.comment === undefined ? "" : ` ("${rule.comment}")`}, gives packets ${some(list.map(({ title }) => title))} the source ${source}${by}: servers, logs and network policies see this node instead of who asks.`,
          ...remedy(marked, rule),
        },
      ];
    });
  },
};

function betweenPods(facts: Facts, cluster: Cluster): readonly Asked[] {
  const [world] = cluster.worlds;
  const { node } = facts;
  if (world === undefined || node === undefined) return [];
  const pods = facts.cluster?.pods.filter((pod) => !pod.hostNetwork && !pod.deleting && pod.phase === "Running") ?? [];
  const own = pods.filter((pod) => pod.node === node.name);
  const far = [...Map.groupBy(pods, (pod) => pod.node)]
    .filter(([name]) => name !== "" && name !== node.name)
    .slice(0, most.nodes)
    .flatMap(([, [first]]) => first ?? []);
  return families.flatMap((family) => {
    const [first, second] = own.filter((pod) => addressOf(pod, family) !== undefined);
    if (first === undefined) return [];
    const ask = (from: CheckedPod, to: CheckedPod): readonly Asked[] => {
      const [source, destination] = [addressOf(from, family), addressOf(to, family)];
      if (source === undefined || destination === undefined) return [];
      const answer = world.routing.find({ destination: source, mark: 0 });
      const hop = answer.kind === "route" && answer.route.type === "unicast" ? answer.route.nextHops[0] : undefined;
      const link = entrance(world, source) ?? world.link(hop?.interface);
      if (link === undefined || link.kind === "bridge" || link.loopback) return [];
      const title = `from pod ${from.namespace}/${from.name} to pod ${to.namespace}/${to.name}`;
      const destinationPort = to.ports.find(({ protocol }) => protocol === "TCP")?.port ?? 80;
      return [{ title, question: tcp({ family, source, destination, destinationPort }, link.name) }];
    };
    const outward = [...far, ...(second === undefined ? [] : [second])].flatMap((to) => ask(first, to));
    return [...outward, ...far.flatMap((from) => ask(from, first))];
  });
}

/** Clients outside, of Services that promise to show them to pods of this node. */
function fromOutside({ cluster, node, uplinks, snapshot }: Facts): readonly Asked[] {
  const [uplink] = uplinks;
  if (cluster === undefined || node === undefined || uplink === undefined) return [];
  const own = new Set(snapshot.addresses.map(({ address }) => address));
  const slices = slicesByService(cluster);
  const asked = cluster.services
    .filter((service) => service.externalTrafficPolicy === "Local")
    .flatMap((service) =>
      service.ports.flatMap((port): readonly Asked[] => {
        const served = endpointsOf(slices.get(serviceTitle(service)) ?? [], port)
          .filter((each) => isUsable(each) && each.nodeName === node.name)
          .map(({ address }) => familyOf(address));
        return families
          .filter((family) => served.includes(family))
          .flatMap((family) => {
            const of = (address: Address) => familyOf(address) === family;
            const address = node.addresses.find((each) => of(each) && own.has(each));
            const other = [...service.externalIPs, ...service.loadBalancerIPs.map(({ ip }) => ip)].find(of);
            const [destination, destinationPort] = port.nodePort > 0 ? [address, port.nodePort] : [other, port.port];
            if (destination === undefined) return [];
            const packet = { family, source: stranger[family], destination, destinationPort };
            const title = `from outside to ${serviceTitle(service)} (externalTrafficPolicy Local)`;
            return [{ title, question: tcp(packet, uplink.name, protocolNumbers[port.protocol]) }];
          });
      }),
    );
  return asked.slice(0, most.services);
}

function tcp(
  packet: {
    readonly family: Family;
    readonly source: Address;
    readonly destination: Address;
    readonly destinationPort: number;
  },
  input: string,
  protocol: number = protocolNumbers.TCP,
): Question {
  return { input, packet: { ...packet, protocol, sourcePort } };
}

function addressOf({ addresses }: CheckedPod, family: Family): Address | undefined {
  return addresses.find((address) => familyOf(address) === family);
}

/** A way on which the sender's address is lost; one that assumes something counts only if all ways lose it. */
function masqueraded(ends: readonly Ended[], source: Address | undefined) {
  const lost = ends.flatMap((end) => {
    const changed = carried(end.state).packet.source;
    if (changed === source || end.outcome.kind === "unknown") return [];
    const passed = stepsOf(end.state).filter((step) => step.kind === "rule");
    const at = passed.findIndex(({ effects }) => effects.some((effect) => effect.startsWith("source becomes")));
    const rule = passed[at];
    if (rule === undefined) return [];
    const marked = passed
      .slice(0, at)
      .findLast(({ effects }) => effects.some((effect) => /^sets the mark to 0x(?!0$)/.test(effect)));
    return [{ rule, marked, source: changed, assumed: end.state.assumptions.length > 0 }];
  });
  return lost.find(({ assumed }) => !assumed) ?? (lost.length === ends.length ? lost[0] : undefined);
}

/** The packet in the tunnel. */
function carried(state: State): State {
  return state.inner === undefined ? state : carried(state.inner.state);
}

const legacyTable = /^iptables-legacy (.+)$/;

/** As people find it: `rule 3 of nftables table ip nat, chain POSTROUTING`. */
function titleOfRule({ family, table, chain, number }: RuleStep): string {
  const legacy = legacyTable.exec(table)?.[1];
  const where =
    legacy === undefined ? `nftables table ${family} ${table}` : `${programOf(family)}-legacy table ${legacy}`;
  return `rule ${number} of ${where}, chain ${chain}`;
}

function programOf(family: string): string {
  return family === "ip6" ? "ip6tables" : "iptables";
}

function remedy(marked: RuleStep | undefined, rule: RuleStep): Pick<Finding, "remedy" | "run"> {
  const { family, table, chain } = marked ?? rule;
  const legacy = legacyTable.exec(table)?.[1];
  const isIptables = legacy !== undefined || table === "nat" || table === "mangle";
  const program = `${programOf(family)}${legacy === undefined ? "" : "-legacy"}`;
  const show = (name: string) =>
    isIptables
      ? command`${program} -t ${legacy ?? table} -S ${name}`
      : command`nft -a list chain ${family} ${table} ${name}`;
  if (!isProxys(marked ?? rule))
    return {
      remedy: "delete the rule, or let it spare what goes to pods (! -d and the prefix of all pods)",
      run: [show(chain)],
    };
  return {
    remedy:
      "the rule is the proxy's own: see masqueradeAll and clusterCIDR in its configuration, and who else leads to its chain",
    run: [
      isIptables
        ? command`${program}-save -t ${legacy ?? table} | grep -e ${chain}`
        : command`nft list table ${family} ${table}`,
    ],
  };
}

/** Chains without which proxies do not work. */
function isProxys({ table, chain }: RuleStep): boolean {
  return chain.startsWith("KUBE-") || table === "kube-proxy" || table === tableName;
}
