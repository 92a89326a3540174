/** A healthy node as plain data, for tests to change. */

import type { EndpointSlice } from "../kube/objects/endpointslice.ts";
import { parseAddress } from "../net/address.ts";
import { parsePrefix } from "../net/prefix.ts";
import { tableComment } from "../proxy/modes/nftables/layout.ts";
import { parseSnapshot, type Snapshot } from "../trace/snapshot/index.ts";
import type { CheckedNode, CheckedPod, CheckedService, ClusterObjects } from "../trace/snapshot/objects.ts";
import { findFaults } from "./check.ts";
import { Facts, type PodInside } from "./facts.ts";
import type { Running } from "./running.ts";

const table = { family: "ip", table: "portolan" } as const;
const hook = (type: string) => ({ type: "nat", hook: type, priority: type === "postrouting" ? 100 : -100 });
const goOn = [{ kind: "verdict", verdict: { kind: "goto", chain: "front-end" } }];
/** What is for 10.96.0.10 goes to 10.244.2.2:8080. */
const toEndpoint = [
  { kind: "payload", dreg: 8, base: "network", offset: 16, length: 4 },
  { kind: "cmp", sreg: 8, op: "eq", data: "0a60000a" },
  { kind: "immediate", dreg: 8, data: "0af40202" },
  { kind: "immediate", dreg: 9, data: "1f90" },
  { kind: "nat", type: "dnat", family: "ip", addressMin: 8, addressMax: 8, portMin: 9, portMax: 9 },
];
const link = (index: number, name: string, more: object) => ({
  index,
  name,
  hardware: 1,
  loopback: false,
  up: true,
  running: true,
  noArp: false,
  operState: "up",
  mtu: 1500,
  ...more,
});
const address = (index: number, text: string, prefixLength: number) => ({
  interface: index,
  address: text,
  prefixLength,
  scope: 0,
  secondary: false,
  tentative: false,
  duplicate: false,
  deprecated: false,
  permanent: true,
});
const route = (destination: string, hop: object) => ({
  type: "unicast",
  destination,
  table: 254,
  protocol: 3,
  scope: 0,
  priority: 0,
  tos: 0,
  nextHops: [{ weight: 1, onLink: false, dead: false, linkDown: false, ...hop }],
});
const port = { state: 3, hairpin: true, learning: true, flood: true };
const pod = { kind: "veth", master: 3, linkNamespace: 0, link: 2, port };

/** What of a snapshot may be changed: with JSON's types, as in a file. */
export type Changes = { readonly [Name in keyof Snapshot]?: unknown };

/** `node1`: eth0 192.0.2.11, pods 10.244.1.0/24 on bridge cbr0, Portolan's rules with Service 10.96.0.10:80 and UDP port 53. */
export function healthyNode(changes: Changes = {}): Snapshot {
  const expressions: Readonly<Record<string, readonly object[]>> = {
    "nat-prerouting": goOn,
    "nat-output": goOn,
    "nat-postrouting": goOn,
    services: goOn,
    "masquerade-by-client": fromPrefix("0af40000", "ffff0000"),
    "masquerade-pod": setMark("ffbfffff", "00400000"),
    "front-end": toEndpoint,
  };
  const names = Object.keys(expressions);

  const document = {
    schemaVersion: 1,
    name: "node1",
    time: "2026-01-01T00:00:00.000Z",
    kernel: "6.18.0",
    links: [
      link(1, "lo", { hardware: 772, loopback: true, mtu: 65_536 }),
      link(2, "eth0", {}),
      link(3, "cbr0", { kind: "bridge", mac: "02:00:00:00:01:03" }),
      link(4, "veth2", pod),
      link(5, "veth3", { ...pod, linkNamespace: 1 }),
    ],
    addresses: [address(2, "192.0.2.11", 24), address(3, "10.244.1.1", 24)],
    neighbours: [],
    fdb: [],
    rules: [0, 32766, 32767].map((priority) => ({
      family: "IPv4",
      priority,
      action: { kind: "lookup", table: 254 },
      invert: false,
      vrf: false,
    })),
    routes: [
      route("0.0.0.0/0", { gateway: "192.0.2.1", interface: 2 }),
      route("10.244.1.0/24", { interface: 3 }),
      route("10.244.2.0/24", { gateway: "192.0.2.12", interface: 2 }),
    ],
    sysctls: {
      "net/ipv4/ip_forward": "1",
      "net/ipv4/conf/eth0/forwarding": "1",
      "net/ipv4/conf/cbr0/forwarding": "1",
      "net/ipv6/conf/all/forwarding": "0",
      "net/ipv4/ip_local_port_range": "32768\t60999",
      "net/ipv4/ip_local_reserved_ports": "",
      "net/netfilter/nf_conntrack_max": "10",
      "net/bridge/bridge-nf-call-iptables": "1",
      "net/bridge/bridge-nf-call-ip6tables": "0",
      "net/ipv4/conf/all/rp_filter": "0",
      "net/ipv4/conf/eth0/rp_filter": "1",
      "net/ipv4/conf/all/route_localnet": "0",
    },
    nftables: {
      generation: 1,
      consistent: true,
      tables: [{ ...table, comment: tableComment }],
      chains: names.map((chain) => {
        const [, type] = /^nat-(.*)$/.exec(chain) ?? [];
        return { ...table, chain, ...(type !== undefined && { base: hook(type) }) };
      }),
      rules: names.map((chain) => ({ ...table, chain, expressions: expressions[chain] })),
      sets: [
        {
          ...table,
          set: "front-ends",
          key: { type: 0, length: 12 },
          elements: [{ key: "0a60000a0600000000500000" }, { key: "0a60000a1100000000350000" }],
        },
      ],
      objects: [],
    },
    iptables: [],
    ipsets: [],
    conntrack: [],
    sockets: [],
    missing: [],
    ...changes,
  };
  return parseSnapshot(JSON.stringify(document), "test");
}

/** `ip saddr & MASK == ADDRESS goto masquerade-pod`, as rules of Portolan tell pods. */
export function fromPrefix(address: string, mask: string): readonly object[] {
  return [
    { kind: "payload", dreg: 8, base: "network", offset: 12, length: 4 },
    { kind: "bitwise", sreg: 8, dreg: 8, length: 4, mask, xor: "00000000" },
    { kind: "cmp", sreg: 8, op: "eq", data: address },
    { kind: "verdict", verdict: { kind: "goto", chain: "masquerade-pod" } },
  ];
}

/** `meta mark set mark & MASK ^ BITS`, in bytes as this machine has numbers. */
export function setMark(mask: string, xor: string): readonly object[] {
  return [
    { kind: "meta", dreg: 8, key: "mark" },
    { kind: "bitwise", sreg: 8, dreg: 8, length: 4, mask, xor },
    { kind: "meta set", sreg: 8, key: "mark" },
  ];
}

/** The rule set of {@link healthyNode} with more in it. */
export function withNftables(
  more: { readonly [List in "tables" | "chains" | "rules" | "sets"]?: readonly object[] },
): Changes {
  const { nftables } = JSON.parse(JSON.stringify(healthyNode(), bytesAsText));
  const lists = (["tables", "chains", "rules", "sets"] as const).map((list) => [
    list,
    [...nftables[list], ...(more[list] ?? [])],
  ]);
  return { nftables: { ...nftables, ...Object.fromEntries(lists) } };
}

/** A VXLAN that a node may have beside the links of {@link healthyNode}. */
export const vxlan = {
  ...healthyNode().links[1],
  index: 7,
  name: "flannel.1",
  mtu: 1450,
  kind: "vxlan",
  details: { kind: "vxlan", id: 1, port: 8472, device: 2, learning: false },
};

/** The links of {@link healthyNode}, one of them changed. */
export function withLink(name: string, change: object): Changes {
  return { links: healthyNode().links.map((each) => (each.name === name ? { ...each, ...change } : each)) };
}

/** The sysctls of {@link healthyNode} with others in their place. */
export function withSysctls(values: Readonly<Record<string, string>>): Changes {
  return { sysctls: { ...healthyNode().sysctls, ...values } };
}

function bytesAsText(_: string, value: unknown): unknown {
  const isBytes = value instanceof Uint8Array;
  return isBytes ? Buffer.from(value).toString("hex") : value;
}

/** Service `shop/web` of two nodes, with a pod on each. */
export function healthyCluster(changes: Partial<ClusterObjects> = {}): ClusterObjects {
  return {
    services: [service({})],
    slices: [slice({})],
    pods: [podOf("web-1", "node1", "10.244.1.2"), podOf("web-2", "node2", "10.244.2.2")],
    nodes: [nodeOf("node1", "192.0.2.11", "10.244.1.0/24"), nodeOf("node2", "192.0.2.12", "10.244.2.0/24")],
    ...changes,
  };
}

/** Service `shop/web`, 10.96.0.10:80 to the port `http` of its pods. */
export function service(changes: Partial<CheckedService>): CheckedService {
  return {
    kind: "Service",
    namespace: "shop",
    name: "web",
    uid: "1",
    type: "ClusterIP",
    clusterIPs: [parseAddress("10.96.0.10")],
    externalIPs: [],
    loadBalancerIPs: [],
    loadBalancerSourceRanges: [],
    ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }],
    externalTrafficPolicy: "Cluster",
    internalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
    affinitySeconds: 0,
    selector: { app: "web" },
    targetPorts: ["http"],
    publishNotReady: false,
    ...changes,
  };
}

/** Its EndpointSlice: both pods, port 8080. */
export function slice(changes: Partial<EndpointSlice>): EndpointSlice {
  const endpoint = { ready: true, serving: true, terminating: false };
  return {
    kind: "EndpointSlice",
    namespace: "shop",
    name: "web-1",
    service: "web",
    family: "IPv4",
    ports: [{ name: "", protocol: "TCP", port: 8080 }],
    endpoints: [
      { ...endpoint, address: parseAddress("10.244.1.2"), nodeName: "node1" },
      { ...endpoint, address: parseAddress("10.244.2.2"), nodeName: "node2" },
    ],
    lastChangeTriggerTime: 0,
    ...changes,
  };
}

/** A pod of `shop/web`. */
export function podOf(name: string, node: string, address: string, changes: Partial<CheckedPod> = {}): CheckedPod {
  return {
    namespace: "shop",
    name,
    labels: { app: "web" },
    node,
    addresses: [parseAddress(address)],
    hostNetwork: false,
    phase: "Running",
    ready: true,
    deleting: false,
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
    ...changes,
  };
}

/** A node. */
export function nodeOf(name: string, address: string, cidr: string): CheckedNode {
  return { name, addresses: [parseAddress(address)], podCIDRs: [parsePrefix(cidr)] };
}

/** What is found on the healthy node with changes: `check: subject`. */
export function found(
  changes: Changes = {},
  objects: Partial<ClusterObjects> = {},
  insides: readonly PodInside[] = [],
  running: Running = {},
) {
  const facts = new Facts(healthyNode(changes), { cluster: healthyCluster(objects), insides, running });
  return findFaults(facts).map(({ check, subject }) => `${check}: ${subject}`);
}

/** The same, with messages. */
export function messages(changes: Changes = {}, objects: Partial<ClusterObjects> = {}): string {
  const facts = new Facts(healthyNode(changes), { cluster: healthyCluster(objects) });
  return findFaults(facts)
    .map(({ message }) => message)
    .join("\n");
}
