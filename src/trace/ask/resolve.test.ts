import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../net/address.ts";
import type { CheckedPod, CheckedService } from "../snapshot/objects.ts";
import { addressOf, emptySnapshot, hopBy, linkOf, routeOf } from "../snapshot/testing.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { Cluster } from "../walk/index.ts";
import { type Asking, type From, parseFrom, parseTo, resolveEnds, type To } from "./index.ts";

/** A place with one link and one address of each given. */
function place(name: string, ...addresses: readonly string[]): Snapshot {
  return {
    ...emptySnapshot,
    name,
    links: [linkOf(2, "eth0")],
    addresses: addresses.map(addressOf),
    routes: [routeOf("0.0.0.0/0", { nextHops: [hopBy(2, "192.0.2.254")] })],
  };
}

const service = (name: string, more: Partial<CheckedService> = {}): CheckedService => ({
  kind: "Service",
  namespace: "shop",
  name,
  uid: "",
  type: "ClusterIP",
  clusterIPs: [parseAddress("10.96.0.1"), parseAddress("fd96::1")],
  externalIPs: [],
  loadBalancerIPs: [],
  loadBalancerSourceRanges: [],
  ports: [
    { name: "http", protocol: "TCP", port: 80, nodePort: 0 },
    { name: "dns", protocol: "UDP", port: 53, nodePort: 0 },
  ],
  externalTrafficPolicy: "Cluster",
  internalTrafficPolicy: "Cluster",
  healthCheckNodePort: 0,
  affinitySeconds: 0,
  selector: {},
  targetPorts: [80, 53],
  publishNotReady: false,
  ...more,
});

const pod = (name: string, ...addresses: readonly string[]): CheckedPod => ({
  namespace: "shop",
  name,
  labels: {},
  node: "node1",
  addresses: addresses.map(parseAddress),
  hostNetwork: false,
  phase: "Running",
  ready: true,
  deleting: false,
  ports: [{ name: "web", protocol: "TCP", port: 8080 }],
});

const cluster = new Cluster(
  [
    {
      ...place("machine", "192.0.2.1"),
      identity: "x/1",
      places: [{ ...place("cni-1", "10.244.1.3", "fd44::3"), identity: "x/2" }],
      objects: {
        services: [service("web"), service("none", { clusterIPs: [] })],
        slices: [],
        pods: [pod("cart-7d9", "10.244.1.3", "fd44::3"), pod("late", "10.244.1.9")],
        nodes: [{ name: "node1", addresses: [parseAddress("192.0.2.1")], podCIDRs: [] }],
      },
    },
  ],
  1000,
);

function ends(from: string, to: string, asking: Partial<Asking> = {}) {
  const [start, target] = [parseFrom(from), parseTo(to)];
  return resolveEnds(cluster, start as From, target as To, { namespace: "shop", ...asking });
}

test("pods, Services and nodes are found by their names", () => {
  assert.deepEqual(ends("cart", "web:http"), {
    place: "shop/cart-7d9",
    packet: { family: "IPv4", destination: "10.96.0.1", protocol: 6, destinationPort: 80 },
  });
  assert.deepEqual(ends("cart", "web:dns", { family: "IPv6" }).packet, {
    family: "IPv6",
    destination: "fd96::1",
    protocol: 17,
    destinationPort: 53,
  });
  assert.deepEqual(ends("node", "shop/cart-7d9:web", { namespace: "default" }), {
    place: "node1",
    packet: { family: "IPv4", destination: "10.244.1.3", protocol: 6, destinationPort: 8080 },
  });
  assert.equal(ends("10.244.1.3", "node1:30080").place, "shop/cart-7d9");
  assert.equal(ends("cart", "web:81").packet.destinationPort, 81);
});

test("somebody outside comes in where the destination is, or by the way out", () => {
  assert.deepEqual(ends("outside", "node1:30080"), {
    place: "node1",
    input: "eth0",
    packet: { family: "IPv4", source: "198.51.100.7", destination: "192.0.2.1", protocol: 6, destinationPort: 30080 },
  });
  assert.equal(ends("203.0.113.9", "10.96.0.1:80").packet.source, "203.0.113.9");
});

test("what is not known is said, with what there is", () => {
  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ["cart", "wed:http", /TO wed: there is none of that name: did you mean shop\/web\?/],
    ["cart", "web", /service shop\/web has several ports: say which of http 80\/tcp, dns 53\/udp/],
    ["cart", "web:https", /has no port https: there are http 80\/tcp/],
    ["cart", "none:80", /has no address of its own \(headless\): name one of its pods/],
    ["cart", "node1", /TO node1: say which port/],
    ["chart", "web:80", /FROM chart: there is none of that name/],
    ["node/node2", "web:80", /there is no node node2 in the snapshots: there are node1/],
    ["late", "web:80", /pod shop\/late is not to be found on node1: no route there leads to 10\.244\.1\.9 by a link/],
  ];
  for (const [from, to, message] of wrong) assert.throws(() => ends(from, to), message, `${from} ${to}`);
});
