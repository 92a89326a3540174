import type { Link } from "../../kernel/route/index.ts";
import { familyOf } from "../../net/address.ts";
import { prefixContains, prefixFamily, prefixOf } from "../../net/prefix.ts";
import type { Snapshot } from "../../trace/snapshot/index.ts";
import type { Facts } from "../facts.ts";
import { type Check, command, type Finding, some } from "../finding.ts";

/** Bytes that VXLAN puts around a packet: Ethernet, VXLAN, UDP and the outer IP header (RFC 7348). */
const overhead = { IPv4: 50, IPv6: 70 } as const;

/** Packets that are too long for the next wire. */
export const mtu: Check = {
  name: "mtu",
  about:
    "Whether what pods may send fits through the overlay, the overlay's packets through the wire below, and both ends of pods' wires agree.",
  seen: ["flannel-io/flannel#1614", "projectcalico/calico#3145", "kubernetes/kubernetes#88986"],
  run(facts) {
    const overlays = overlaysOf(facts);
    return [
      ...overlays.flatMap((link) => onTheWire(facts, link)),
      ...fromPods(facts, overlays),
      ...acrossBridges(facts),
      ...betweenEnds(facts),
      ...amongNodes(facts),
    ];
  },
};

type Found = Omit<Finding, "check">;

/** VXLANs that pods' packets are routed by; those of others, and of plugins that do not route (Weave, Cilium), say nothing. */
function overlaysOf({ snapshot, podBridges }: Facts): readonly Link[] {
  const routes = snapshot.routes.filter(
    ({ destination, table, type }) => table === 254 && type === "unicast" && !destination.startsWith("fe80:"),
  );
  const routed = new Set(routes.flatMap(({ nextHops }) => nextHops.map((hop) => hop.interface)));
  for (const { index } of snapshot.links.filter(({ master }) => podBridges.some((bridge) => bridge.index === master)))
    routed.add(index);
  return snapshot.links.filter(({ kind, up, index }) => kind === "vxlan" && up && routed.has(index));
}

function onTheWire(facts: Facts, overlay: Link): readonly Found[] {
  const details = overlay.details?.kind === "vxlan" ? overlay.details : undefined;
  // A VXLAN without an interface of its own goes where the routes lead.
  const [uplink, other] = facts.uplinks;
  const device = facts.link(details?.device) ?? (other === undefined ? uplink : undefined);
  if (device === undefined) return [];
  const more = overhead[details?.local === undefined ? "IPv4" : familyOf(details.local)];
  if (overlay.mtu + more <= device.mtu) return [];
  return [
    {
      severity: "error",
      subject: `link ${overlay.name}`,
      message: `The MTU of ${overlay.name} is ${overlay.mtu}, and with the ${more} bytes of VXLAN its packets do not fit through ${device.name} (${device.mtu}): long packets between nodes are lost, short ones arrive.`,
      remedy: "a smaller MTU, in the overlay's configuration too",
      run: [command`ip link set ${overlay.name} mtu ${device.mtu - more}`],
    },
  ];
}

/** Pods' packets leave by overlays or, without any, by the uplinks. */
function fromPods(facts: Facts, overlays: readonly Link[]): readonly Found[] {
  const { podBridges, podLinks, uplinks } = facts;
  const longest = Math.max(0, ...podLinks.map((link) => link.mtu));
  return (overlays.length > 0 ? overlays : uplinks)
    .filter(({ index, mtu: most }) => most < longest && !podBridges.some((bridge) => bridge.index === index))
    .map(({ name, kind, mtu: most }) => {
      const which = podLinks.filter((link) => link.mtu > most).map((link) => link.name);
      return {
        severity: "warning",
        subject: `link ${name}`,
        message: `Pods may send packets of ${longest} bytes (${some(which)}), and ${name}, by which they leave, takes ${most}: long packets arrive only if the ICMP errors about them do, and none of others that are longer than ${most} comes in.`,
        ...(kind === "vxlan"
          ? {
              remedy: `"mtu": ${most} in the CNI configuration, and new pods`,
              run: [command`ip -details link show ${name}`],
            }
          : {
              remedy: `the same MTU on both: "mtu": ${most} in the CNI configuration and new pods, or, if the wire takes ${longest}:`,
              run: [command`ip link set ${name} mtu ${longest}`],
            }),
      };
    });
}

/** What comes for pods passes their bridge, which takes no more than its own MTU. */
function acrossBridges({ podBridges, podLinks }: Facts): readonly Found[] {
  return podBridges.flatMap(({ name, index, mtu: most }) => {
    const longer = podLinks.filter((link) => link.master === index && link.mtu > most);
    if (longer.length === 0) return [];
    const longest = Math.max(...longer.map((link) => link.mtu));
    return [
      {
        severity: "warning",
        subject: `link ${name}`,
        message: `Pods have an MTU of ${longest} (${some(longer.map((link) => link.name))}), and the bridge ${name} takes ${most}: longer packets for pods come in only if the ICMP errors about them reach their senders.`,
        remedy: `the same MTU on both, or "mtu": ${most} in the CNI configuration`,
        run: [command`ip link set ${name} mtu ${longest}`],
      },
    ];
  });
}

/** Both ends of a pod's wire: a packet that is longer than the receiving end takes is dropped without a word. */
function betweenEnds({ podLinks, insides }: Facts): readonly Found[] {
  return podLinks.flatMap(({ name, link: index, linkNamespace, mtu: most }) => {
    const inside = insides.find(({ number }) => number === linkNamespace);
    const end = inside?.links.find((link) => link.index === index);
    if (inside === undefined || end === undefined || end.mtu === most) return [];
    return [
      {
        severity: "error",
        subject: `link ${name}`,
        message: `${name} has an MTU of ${most}, and its other end, ${end.name} in ${inside.namespace}, one of ${end.mtu}: packets longer than the smaller of the two are dropped between them, and nobody is told.`,
        remedy: `the same MTU on both, and "mtu" in the CNI configuration for pods to come`,
        run: [command`ip link set ${name} mtu ${end.mtu}`],
      },
    ];
  });
}

/** Links of one network on several nodes: the VXLANs, or the uplinks without any. Told of on the nodes that send more. */
function amongNodes(facts: Facts): readonly Found[] {
  const { uplinks, others } = facts;
  const overlays = overlaysOf(facts);
  return (overlays.length > 0 ? overlays : uplinks).flatMap((link) => {
    const shorter = others.flatMap((other) =>
      other.links
        .filter((each) => each.up && each.mtu < link.mtu && isOneNetwork(facts.snapshot, link, other, each))
        .map((each) => ({ title: `${other.name} ${each.name} (${each.mtu})`, mtu: each.mtu })),
    );
    if (shorter.length === 0) return [];
    return [
      {
        severity: "warning" as const,
        subject: `link ${link.name} among nodes`,
        message: `${link.name} of this node has an MTU of ${link.mtu}, and other nodes have less on the same network: ${some(shorter.map(({ title }) => title))}. Long packets from here to there may be dropped, and nobody is told.`,
        remedy: `the same MTU on all nodes: what the wires of all take, ${Math.min(...shorter.map((each) => each.mtu))} if that of the others is right`,
      },
    ];
  });
}

/** Whether two links are of one VXLAN, or of one IP network. */
function isOneNetwork(here: Snapshot, link: Link, there: Snapshot, other: Link): boolean {
  if (link.details?.kind === "vxlan" || other.details?.kind === "vxlan") {
    return link.details?.kind === "vxlan" && other.details?.kind === "vxlan" && link.details.id === other.details.id;
  }
  const far = there.addresses.filter((each) => each.interface === other.index && each.scope === 0);
  return here.addresses
    .filter((each) => each.interface === link.index && each.scope === 0)
    .map(({ address, prefixLength }) => prefixOf(address, prefixLength))
    .some((prefix) =>
      far.some(({ address }) => familyOf(address) === prefixFamily(prefix) && prefixContains(prefix, address)),
    );
}
