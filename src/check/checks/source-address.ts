import { type Address, families, familyOf, parseAddress } from "../../net/address.ts";
import { protocolNumbers } from "../../net/protocol.ts";
import { tableName } from "../../proxy/modes/nftables/layout.ts";
import { type Ended, type Step, stepsOf } from "../../trace/walk/index.ts";
import { type Asked, betweenPods, carried, endsOf, firstPacket } from "../asked.ts";
import type { Facts } from "../facts.ts";
import { type Check, command, type Finding, some } from "../finding.ts";
import { endpointsOf, isUsable, serviceTitle, slicesByService } from "../services.ts";

/** Services that are asked at most: rules of one node treat those of one policy alike. */
const most = 8;
/** Somebody outside: addresses kept for examples (RFC 5737, RFC 3849). */
const stranger = { IPv4: parseAddress("198.51.100.7"), IPv6: parseAddress("2001:db8::7") } as const;

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
    const lost = [...betweenPods(facts), ...fromOutside(facts)].flatMap(({ title, question }) => {
      const end = masqueraded(endsOf(facts, question), question.packet.source);
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

/** Clients outside, of Services that promise to show them to pods of this node. */
function fromOutside({ cluster, node, uplinks, snapshot }: Facts): readonly Omit<Asked, "trace">[] {
  const [uplink] = uplinks;
  if (cluster === undefined || node === undefined || uplink === undefined) return [];
  const own = new Set(snapshot.addresses.map(({ address }) => address));
  const slices = slicesByService(cluster);
  const asked = cluster.services
    .filter((service) => service.externalTrafficPolicy === "Local")
    .flatMap((service) =>
      service.ports.flatMap((port): readonly Omit<Asked, "trace">[] => {
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
            return [
              { title, question: firstPacket({ ...packet, protocol: protocolNumbers[port.protocol] }, uplink.name) },
            ];
          });
      }),
    );
  return asked.slice(0, most);
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
