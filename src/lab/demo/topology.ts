/** The place where the demo plays: a node with pods, and somebody outside, each a network namespace. */
import { existsSync } from "node:fs";
import { createNamespace, deleteNamespace, inNamespace, listNamespaces } from "../../kernel/namespace.ts";
import type { NetlinkSocket } from "../../kernel/netlink/index.ts";
import {
  addAddress,
  addRoute,
  createLink,
  findLink,
  openRoute,
  setBridgePort,
  setLink,
} from "../../kernel/route/index.ts";
import { writeSysctl } from "../../kernel/sysctl.ts";
import { parseAddress } from "../../net/address.ts";
import { parsePrefix } from "../../net/prefix.ts";

/** A pod of the demo. */
export interface DemoPod {
  readonly name: string;
  readonly address: string;
  readonly namespace: string;
}

/** The namespaces of a demo. */
export interface DemoTopology {
  readonly node: string;
  readonly outside: string;
  readonly pods: readonly DemoPod[];
}

/** The node's address to the outside, its address to the pods, and the one outside. */
export const demoAddresses = { node: "192.0.2.1", bridge: "10.244.0.1", outside: "192.0.2.10" } as const;

const everywhere = parsePrefix("0.0.0.0/0");
const prefix = "portolan-demo";

/**
 * Makes the namespaces and joins them: pods hang on a bridge of the node, the outside on a wire of its own.
 *
 * @throws {SystemError} EPERM without privileges. What was made by then is removed.
 */
export function buildTopology(podAddresses: Readonly<Record<string, string>>): DemoTopology {
  removeStale();
  const name = (part: string) => `${prefix}-${process.pid}-${part}`;
  const pods = Object.entries(podAddresses).map(([pod, address]) => ({ name: pod, address, namespace: name(pod) }));
  const topology = { node: name("node"), outside: name("outside"), pods };
  try {
    for (const namespace of namespacesOf(topology)) {
      createNamespace(namespace);
      using socket = openRoute(namespace);
      setLink(socket, indexOf(socket, "lo"), { up: true });
    }
    inNamespace(topology.node, () => {
      writeSysctl("net/ipv4/ip_forward", 1);
    });
    using node = openRoute(topology.node);
    createLink(node, "cbr0", { kind: "bridge" }, { up: true });
    assign(node, "cbr0", demoAddresses.bridge);
    createLink(
      node,
      "eth0",
      { kind: "veth", peer: { name: "eth0", up: true, namespace: topology.outside } },
      { up: true },
    );
    assign(node, "eth0", demoAddresses.node);
    addRoute(node, { destination: everywhere, nextHops: [{ gateway: parseAddress(demoAddresses.outside) }] });
    using outside = openRoute(topology.outside);
    assign(outside, "eth0", demoAddresses.outside);
    addRoute(outside, { destination: everywhere, nextHops: [{ gateway: parseAddress(demoAddresses.node) }] });
    for (const pod of pods) addPod(node, pod);
  } catch (error) {
    removeTopology(topology);
    throw error;
  }
  return topology;
}

/** Removes the namespaces, with everything in them. */
export function removeTopology(topology: DemoTopology): void {
  const existing = new Set(listNamespaces());
  for (const namespace of namespacesOf(topology)) if (existing.has(namespace)) deleteNamespace(namespace);
}

function namespacesOf({ node, outside, pods }: DemoTopology): readonly string[] {
  return [node, outside, ...pods.map(({ namespace }) => namespace)];
}

/** Removes what demos left that were killed. */
function removeStale(): void {
  for (const namespace of listNamespaces()) {
    const [, pid] = /^portolan-demo-(\d+)-/.exec(namespace) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) deleteNamespace(namespace);
  }
}

function addPod(node: NetlinkSocket, { name, address, namespace }: DemoPod): void {
  const port = `veth-${name}`.slice(0, 15);
  createLink(
    node,
    port,
    { kind: "veth", peer: { name: "eth0", up: true, namespace } },
    { up: true, master: indexOf(node, "cbr0") },
  );
  // A pod that reaches itself through its Service comes back through the port it left by.
  setBridgePort(node, indexOf(node, port), { hairpin: true });
  using pod = openRoute(namespace);
  assign(pod, "eth0", address);
  addRoute(pod, { destination: everywhere, nextHops: [{ gateway: parseAddress(demoAddresses.bridge) }] });
}

function assign(socket: NetlinkSocket, link: string, address: string): void {
  addAddress(socket, { interface: indexOf(socket, link), address: parseAddress(address), prefixLength: 24 });
}

function indexOf(socket: NetlinkSocket, name: string): number {
  const link = findLink(socket, name);
  if (link === undefined) throw new Error(`there is no interface ${name}`);
  return link.index;
}
