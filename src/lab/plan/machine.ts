/** The machines of a lab as plain data: what is to be in the network namespace that each of them is. */
import type { Address, Family } from "../../net/address.ts";
import { type Prefix, parsePrefix } from "../../net/prefix.ts";
import {
  clusterPrefix,
  externalPrefix,
  macFor,
  nodeHost,
  podAddress,
  podPrefix,
  subnetLength,
  wireAddress,
  wireHost,
} from "./addresses.ts";
import { namespaceNames } from "./names.ts";
import type { LabSpec, NodeSpec } from "./spec.ts";

/** A machine. The namespaces that its links lead to exist before it. */
export interface Machine {
  readonly namespace: string;
  readonly links: readonly LinkPlan[];
  readonly routes: readonly RoutePlan[];
  /** Names with slashes. */
  readonly sysctls: Readonly<Record<string, string>>;
}

/** An interface of a machine. */
export interface LinkPlan {
  readonly name: string;
  readonly mac: string;
  readonly addresses: readonly { readonly address: Address; readonly length: number }[];
  /** The port of another machine's bridge at the other end; absent for a bridge. */
  readonly port?: { readonly namespace: string; readonly name: string; readonly bridge: string };
}

/** A way to other machines. */
export interface RoutePlan {
  readonly destination: Prefix;
  readonly gateway: Address;
}

/** The bridge of the wire, and that of a node. */
export const bridgeName = { wire: "wire", node: "cbr0" } as const;

const everywhere = { IPv4: parsePrefix("0.0.0.0/0"), IPv6: parsePrefix("::/0") } as const;

/** What joins the nodes: a bridge, with the API server's address. */
export function wireMachine(spec: LabSpec): Machine {
  const link = linkOn(spec, bridgeName.wire, (family) => wireAddress(family, wireHost.api));
  return { namespace: namespaceNames(spec.name).wire, links: [link], routes: podRoutes(spec), sysctls: quiet };
}

/** Somebody outside of the cluster, who knows the way to the pods and to the addresses of load balancers. */
export function outsideMachine(spec: LabSpec): Machine {
  const { outside } = namespaceNames(spec.name);
  const link = linkOn(spec, "eth0", (family) => wireAddress(family, wireHost.outside));
  return {
    namespace: outside,
    links: [{ ...link, port: wirePort(spec.name, "outside") }],
    routes: outsideRoutes(spec),
    sysctls: quiet,
  };
}

/** The routes of who is outside. */
export function outsideRoutes(spec: LabSpec): readonly RoutePlan[] {
  const [first] = spec.nodes;
  if (first === undefined) return [];
  const external = spec.families.map((family) => ({
    destination: externalPrefix[family],
    gateway: wireAddress(family, nodeHost(first.index)),
  }));
  return [...podRoutes(spec), ...external];
}

/** A node: on the wire with `eth0`, with its pods on the bridge `cbr0`. */
export function nodeMachine(spec: LabSpec, node: NodeSpec): Machine {
  const wire = linkOn(spec, "eth0", (family) => wireAddress(family, nodeHost(node.index)));
  const bridge = linkOn(spec, bridgeName.node, (family) => podAddress(family, node.index, 1));
  return {
    namespace: namespaceNames(spec.name).node(node.name),
    links: [bridge, { ...wire, port: wirePort(spec.name, node.name) }],
    routes: nodeRoutes(spec, node),
    sysctls: {
      ...quiet,
      "net/ipv4/ip_forward": "1",
      "net/ipv6/conf/all/forwarding": "1",
      // What is bridged from pod to pod is to pass the rules too, or answers would come from the wrong address.
      "net/bridge/bridge-nf-call-iptables": "1",
      "net/bridge/bridge-nf-call-ip6tables": "1",
    },
  };
}

/** The routes of a node: to everybody else's pods, and to whoever is outside for all the rest. */
export function nodeRoutes(spec: LabSpec, node: NodeSpec): readonly RoutePlan[] {
  const others = { ...spec, nodes: spec.nodes.filter(({ name }) => name !== node.name) };
  const rest = spec.families.map((family) => ({
    destination: everywhere[family],
    gateway: wireAddress(family, wireHost.outside),
  }));
  return [...podRoutes(others), ...rest];
}

/** A pod with the host part of its addresses, on the bridge of its node. */
export function podMachine(spec: LabSpec, node: NodeSpec, pod: PodPlace): Machine {
  const names = namespaceNames(spec.name);
  const link = linkOn(spec, "eth0", (family) => podAddress(family, node.index, pod.host));
  return {
    namespace: names.pod(pod.namespace, pod.name),
    links: [{ ...link, port: { namespace: names.node(node.name), name: `veth${pod.host}`, bridge: bridgeName.node } }],
    routes: spec.families.map((family) => ({
      destination: everywhere[family],
      gateway: podAddress(family, node.index, 1),
    })),
    sysctls: { "net/ipv4/ip_unprivileged_port_start": "0" },
  };
}

/** A pod, and the host part of its addresses. */
export interface PodPlace {
  readonly namespace: string;
  readonly name: string;
  readonly host: number;
}

/** The addresses of a node on the wire. */
export function nodeAddresses(spec: LabSpec, node: NodeSpec): readonly Address[] {
  return spec.families.map((family) => wireAddress(family, nodeHost(node.index)));
}

/** The pods of a node, of each family. */
export function podPrefixes(spec: LabSpec, node: NodeSpec): readonly Prefix[] {
  return spec.families.map((family) => podPrefix(family, node.index));
}

/** All pods, of each family, as the proxy's `clusterCIDR`. */
export function clusterCIDR(spec: LabSpec): string {
  return spec.families.map((family) => clusterPrefix[family]).join(",");
}

/** Reverse path filters off, whatever the machine's default: a node of the lab has one way to everybody. */
const quiet = { "net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0" } as const;

function podRoutes(spec: LabSpec): readonly RoutePlan[] {
  return spec.nodes.flatMap(({ index }) =>
    spec.families.map((family) => ({
      destination: podPrefix(family, index),
      gateway: wireAddress(family, nodeHost(index)),
    })),
  );
}

function wirePort(lab: string, name: string): NonNullable<LinkPlan["port"]> {
  return { namespace: namespaceNames(lab).wire, name, bridge: bridgeName.wire };
}

function linkOn(spec: LabSpec, name: string, address: (family: Family) => Address): LinkPlan {
  return {
    name,
    mac: macFor(address("IPv4")),
    addresses: spec.families.map((family) => ({ address: address(family), length: subnetLength[family] })),
  };
}
