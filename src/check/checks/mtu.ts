import type { Link } from "../../kernel/route/index.ts";
import { familyOf } from "../../net/address.ts";
import type { Facts } from "../facts.ts";
import { type Check, type Finding, some } from "../finding.ts";

/** Bytes that VXLAN puts around a packet: Ethernet, VXLAN, UDP and the outer IP header (RFC 7348). */
const overhead = { IPv4: 50, IPv6: 70 } as const;

/** Packets that are too long for the next wire. */
export const mtu: Check = {
  name: "mtu",
  about:
    "Whether what pods may send fits through the overlay, the overlay's packets through the wire below, and both ends of pods' wires agree.",
  seen: ["flannel-io/flannel#1614", "projectcalico/calico#3145", "kubernetes/kubernetes#88986"],
  run(facts) {
    const overlays = facts.snapshot.links.filter(({ kind, up }) => kind === "vxlan" && up);
    return [
      ...overlays.flatMap((link) => onTheWire(facts, link)),
      ...fromPods(facts, overlays),
      ...acrossBridges(facts),
      ...betweenEnds(facts),
    ];
  },
};

type Found = Omit<Finding, "check">;

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
      remedy: `ip link set ${overlay.name} mtu ${device.mtu - more}, and the same in the overlay's configuration`,
    },
  ];
}

/** Pods' packets leave by overlays or, without any, by the uplinks. */
function fromPods(facts: Facts, overlays: readonly Link[]): readonly Found[] {
  const { podBridges, podLinks, uplinks } = facts;
  const longest = Math.max(0, ...podLinks.map((link) => link.mtu));
  return (overlays.length > 0 ? overlays : uplinks)
    .filter(({ index, mtu: most }) => most < longest && !podBridges.some((bridge) => bridge.index === index))
    .map(({ name, mtu: most }) => {
      const which = podLinks.filter((link) => link.mtu > most).map((link) => link.name);
      return {
        severity: "warning",
        subject: `link ${name}`,
        message: `Pods may send packets of ${longest} bytes (${some(which)}), and ${name}, by which they leave, takes ${most}: long packets arrive only if the ICMP errors about them do, and none of others that are longer than ${most} comes in.`,
        remedy: `the same MTU on both: ip link set ${name} mtu ${longest} if the wire takes that, else "mtu": ${most} in the CNI configuration`,
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
        remedy: `ip link set ${name} mtu ${longest}, or "mtu": ${most} in the CNI configuration`,
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
        remedy: `ip link set ${name} mtu ${end.mtu}, and "mtu" in the CNI configuration for pods to come`,
      },
    ];
  });
}
