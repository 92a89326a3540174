import type { Facts } from "../facts.ts";
import { type Check, command, some } from "../finding.ts";

/** What API servers give node ports from unless told otherwise. */
const usual = { first: 30_000, last: 32_767 } as const;

/** Node ports that outgoing connections of the node may take. */
export const nodePortEphemeral: Check = {
  name: "node-port-ephemeral",
  about: "Whether the node takes ports of its own connections from the range of node ports.",
  seen: ["kubernetes/kubernetes#40920", "kubernetes/kubernetes#111682", "cilium/cilium#10261"],
  run(facts) {
    const range = facts.sysctl("net/ipv4/ip_local_port_range")?.split(/\s+/).map(Number);
    if (range?.length !== 2 || !facts.isNode) return [];
    const [low = 0, high = 0] = range;
    const reserved = (facts.sysctl("net/ipv4/ip_local_reserved_ports") ?? "")
      .split(",")
      .filter((part) => part !== "")
      .map((part) => part.split("-").map(Number));
    const isFree = (port: number) =>
      port >= low && port <= high && !reserved.some(([from = 0, to = from]) => port >= from && port <= to);
    const taken = portsOf(facts).filter(isFree);
    const [first] = taken;
    if (first === undefined) return [];
    return [
      {
        severity: "warning",
        subject: "net.ipv4.ip_local_port_range",
        message: `The node takes source ports of its own connections from ${low} to ${high}, and ${taken.length} node ports are among them (${some(taken.map(String))}): now and then a connection of the node and a node port are in each other's way.`,
        remedy: "reserve the node ports, in /etc/sysctl.d too, or have the node use another range",
        run: [command`sysctl -w net.ipv4.ip_local_reserved_ports=${reservation(facts)}`],
      },
    ];
  },
};

/** The node ports in use, and the usual range unless others are used. */
function portsOf(facts: Facts): readonly number[] {
  const used = usedPorts(facts);
  const isUsual = (port: number) => port >= usual.first && port <= usual.last;
  if (used.length > 0 && !used.some(isUsual)) return used;
  const range = Array.from({ length: usual.last - usual.first + 1 }, (_, i) => usual.first + i);
  return [...new Set([...used, ...range])];
}

function reservation(facts: Facts): string {
  const others = (facts.sysctl("net/ipv4/ip_local_reserved_ports") ?? "").split(",").filter((part) => part !== "");
  const used = usedPorts(facts);
  const odd = used.filter((port) => port < usual.first || port > usual.last).map(String);
  const all = odd.length === used.length && used.length > 0 ? odd : [...odd, `${usual.first}-${usual.last}`];
  return [...others, ...all].join(",");
}

function usedPorts({ cluster }: Facts): readonly number[] {
  const ports = cluster?.services.flatMap((service) => service.ports.map(({ nodePort }) => nodePort)) ?? [];
  return [...new Set(ports.filter((port) => port > 0))].sort((a, b) => a - b);
}
