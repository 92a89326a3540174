/** Checks of connections, ways and objects. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../net/address.ts";
import type { Snapshot } from "../../trace/snapshot/index.ts";
import type { CheckedPod, ClusterObjects } from "../../trace/snapshot/objects.ts";
import { findFaults } from "../check.ts";
import { Facts, type PodInside } from "../facts.ts";
import {
  found,
  healthyCluster,
  healthyNode,
  messages,
  nodeOf,
  podOf,
  service,
  slice,
  vxlan,
  withLink,
} from "../testing.ts";

const listening = { protocol: "TCP", address: parseAddress("0.0.0.0"), port: 8080 } as const;
const inside = (sockets: PodInside["sockets"]): readonly PodInside[] => [
  { namespace: "cni-1", number: 0, addresses: [parseAddress("10.244.1.2")], links: [], sockets },
];
test("UDP flows to endpoints that are gone are found, and those that were never translated", () => {
  const services = [service({ ports: [{ name: "dns", protocol: "UDP", port: 53, nodePort: 0 }], targetPorts: [53] })];
  const slices = [slice({ ports: [{ name: "dns", protocol: "UDP", port: 53 }] })];
  const original = {
    source: "10.244.1.3",
    destination: "10.96.0.10",
    protocol: 17,
    sourcePort: 4000,
    destinationPort: 53,
  };
  const entry = (server: string, status: number) => ({
    ...{ family: "IPv4", original, status, timeout: 30, mark: 0, zone: 0, id: 1 },
    reply: { source: server, destination: "10.244.1.3", protocol: 17, sourcePort: 53, destinationPort: 4000 },
  });
  const of = (server: string, status: number) => found({ conntrack: [entry(server, status)] }, { services, slices });
  assert.deepEqual(of("10.244.2.2", 0x2e), []);
  const stale = "stale-conntrack: service shop/web 10.96.0.10:53/UDP to 10.244.2.9:53";
  assert.deepEqual(of("10.244.2.9", 0x2e), [stale]);
  assert.deepEqual(of("10.96.0.10", 0x08), ["stale-conntrack: service shop/web 10.96.0.10:53/UDP"]);
});

test("the command for a stale flow leaves alone those of the same Service that work", () => {
  const tuple = { source: "10.244.1.3", destination: "10.96.0.10", protocol: 6, sourcePort: 4000, destinationPort: 80 };
  const reply = { source: "10.96.0.10", destination: "10.244.1.3", protocol: 6, sourcePort: 80, destinationPort: 4000 };
  const entry = { family: "IPv4", original: tuple, reply, status: 8, timeout: 100, mark: 0, zone: 0, id: 1 };
  const facts = new Facts(healthyNode({ conntrack: [entry] }), { cluster: healthyCluster() });
  assert.deepEqual(
    findFaults(facts).map(({ run }) => run),
    [["conntrack -D -p tcp --orig-dst 10.96.0.10 --orig-port-dst 80 --reply-src 10.96.0.10"]],
  );
});

test("TCP connections that were never translated and never answered are found", () => {
  const tuple = { source: "10.244.1.3", destination: "10.96.0.10", protocol: 6, sourcePort: 4000, destinationPort: 80 };
  const entry = (server: string, status: number) => ({
    ...{ family: "IPv4", original: tuple, status, timeout: 100, mark: 0, zone: 0, id: 1 },
    reply: { source: server, destination: "10.244.1.3", protocol: 6, sourcePort: 80, destinationPort: 4000 },
  });
  const of = (server: string, status: number) => found({ conntrack: [entry(server, status)] });
  assert.deepEqual(of("10.96.0.10", 0x08), ["stale-conntrack: service shop/web 10.96.0.10:80/TCP"]);
  assert.deepEqual(of("10.96.0.10", 0x0e), [], "somebody answers: a program that has the address");
  assert.deepEqual(of("10.244.2.9", 0x28), [], "established connections outlive endpoints");
});

test("routes to pods that lead to nobody, or to another node, are found, and those that are missing", () => {
  const { routes } = healthyNode();
  const via = (gateway: string) => ({
    routes: routes.map((route) =>
      route.destination === "10.244.2.0/24" ? { ...route, nextHops: [{ ...route.nextHops[0], gateway }] } : route,
    ),
  });
  assert.deepEqual(found(via("192.0.2.12")), []);
  const nobody = { interface: 2, address: "192.0.2.99", state: "failed", router: false };
  assert.match(
    messages({ ...via("192.0.2.99"), neighbours: [nobody] }),
    /leads to 192\.0\.2\.99, where nobody answers/,
  );
  const nodes = [...healthyCluster().nodes, nodeOf("node3", "192.0.2.13", "10.244.3.0/24")];
  assert.deepEqual(found({}, { nodes }), ["stale-route: routes to pods"]);
  assert.match(messages(via("192.0.2.13"), { nodes }), /which is node node3/);
});

test("a static neighbour entry of a node is found, and flannel's that are not what the node says", () => {
  const neighbour = {
    interface: 2,
    address: "192.0.2.12",
    mac: "02:00:00:00:00:01",
    state: "permanent",
    router: false,
  };
  assert.deepEqual(found({ neighbours: [neighbour] }), ["stale-neighbour: neighbour 192.0.2.12 on eth0"]);
  assert.deepEqual(found({ neighbours: [{ ...neighbour, state: "reachable" }] }), []);
  const links = healthyNode().links.map((link) => (link.kind === undefined ? link : { ...link, mtu: 1450 }));
  const flannel = { mac: "02:00:00:00:00:0b", publicIP: "192.0.2.12", vni: 1 };
  const nodes = healthyCluster().nodes.map((node) => (node.name === "node2" ? { ...node, flannel } : node));
  const far = { interface: 7, address: "10.244.2.0", mac: flannel.mac, state: "permanent", router: false };
  const fdb = {
    interface: 7,
    mac: flannel.mac,
    destination: "192.0.2.12",
    state: "permanent",
    externallyLearned: false,
  };
  const right = { links: [...links, vxlan], neighbours: [far], fdb: [fdb] };
  assert.deepEqual(found(right, { nodes }), []);
  const wrong = found(
    { ...right, neighbours: [{ ...far, mac: "02:00:00:00:00:0c" }], fdb: [{ ...fdb, destination: "192.0.2.99" }] },
    { nodes },
  );
  assert.deepEqual(wrong, [
    "stale-neighbour: neighbour 10.244.2.0 on flannel.1",
    "stale-neighbour: forwarding of 02:00:00:00:00:0b on flannel.1",
  ]);
});

test("pods' packets that are too long for the wire or the overlay are found", () => {
  assert.deepEqual(found(withLink("eth0", { mtu: 1280 })), ["mtu: link eth0"]);
  const details = { kind: "vxlan", id: 1, port: 8472, device: 2, learning: false };
  const { routes } = healthyNode();
  const overlay = (mtu: number) => ({
    routes: routes.map((route) =>
      route.destination === "10.244.2.0/24" ? { ...route, nextHops: [{ ...route.nextHops[0], interface: 7 }] } : route,
    ),
    links: [
      ...healthyNode().links.map((link) => (link.kind === "veth" ? { ...link, mtu: 1450 } : link)),
      { ...vxlan, name: "vx", mtu },
    ],
  });
  assert.deepEqual(found(overlay(1450)), []);
  assert.deepEqual(found(overlay(1500)), ["mtu: link vx"]);
  assert.deepEqual(found(overlay(1400)), ["mtu: link vx"]);
  // Without an interface of its own it goes by the default route.
  const { device: _, ...anywhere } = details;
  const links = overlay(1500).links.map((link) => (link.name === "vx" ? { ...link, details: anywhere } : link));
  assert.deepEqual(found({ ...overlay(1500), links }), ["mtu: link vx"]);
  assert.deepEqual(found({ links: overlay(1500).links }), [], "no route leads by it: it is somebody else's");
});

test("a bridge that takes less than its pods is found, and a pod's wire whose ends differ", () => {
  assert.deepEqual(found(withLink("cbr0", { mtu: 1400 })), ["mtu: link cbr0"]);
  assert.deepEqual(found(withLink("cbr0", { mtu: 9000 })), []);
  const end = healthyNode().links.find(({ name }) => name === "veth2");
  assert.ok(end);
  const wire = (mtu: number): readonly PodInside[] => [
    { namespace: "cni-1", number: 0, addresses: [], links: [{ ...end, index: 2, name: "eth0", mtu }], sockets: [] },
  ];
  assert.deepEqual(found({}, {}, wire(1500)), []);
  assert.deepEqual(found({}, {}, wire(9000)), ["mtu: link veth2"]);
});

test("nodes whose links of one network differ are found by the one that sends longer packets", () => {
  const compared = (here: number, there: number) => {
    const { addresses } = healthyNode();
    const other = healthyNode({
      ...withLink("eth0", { mtu: there }),
      name: "node2",
      addresses: addresses.map((each) => (each.interface === 2 ? { ...each, address: "192.0.2.12" } : each)),
    });
    return findFaults(new Facts(healthyNode(withLink("eth0", { mtu: here })), { others: [other] })).map(
      ({ check, subject }) => `${check}: ${subject}`,
    );
  };
  assert.deepEqual(compared(1500, 1500), []);
  assert.deepEqual(compared(9000, 1500), ["mtu: link eth0 among nodes"]);
  assert.deepEqual(compared(1500, 9000), []);
});

test("a snapshot with its pods and the cluster's objects is looked at with them", () => {
  const pod = { ...healthyNode({ addresses: [], routes: [] }), name: "cni-1", identity: "m/pod" };
  const snapshot = {
    ...healthyNode(),
    objects: healthyCluster(),
    namespaces: [{ number: 0, identity: "m/pod" }],
    places: [{ ...pod, addresses: [{ ...healthyNode().addresses[0], address: parseAddress("10.244.1.2") }] }],
  } as Snapshot;
  assert.deepEqual(
    findFaults(new Facts(snapshot)).map(({ check }) => check),
    ["target-port"],
  );
});

test("a Service without endpoints is found, with the reason", () => {
  const none = [slice({ endpoints: [] })];
  const because = (objects: Partial<ClusterObjects>) => messages({}, { slices: none, ...objects });
  assert.match(
    because({ services: [service({ selector: { app: "wbe" } })] }),
    /no pod of namespace shop has the labels app=wbe; of app there is app=web/,
  );
  assert.match(
    because({ pods: [podOf("web-1", "node1", "10.244.1.2", { ready: false })] }),
    /of the 1 pods that its selector finds \(web-1\) none is ready/,
  );
  assert.match(
    because({ services: [service({ targetPorts: ["https"] })] }),
    /no pod has a port named https, its targetPort \(they have http\)/,
  );
  const udp = podOf("web-1", "node1", "10.244.1.2", { ports: [{ name: "http", protocol: "UDP", port: 8080 }] });
  assert.match(because({ pods: [udp] }), /targetPort http is a port of protocol UDP in the pods, and of TCP/);
  assert.match(because({ slices: [] }), /there are no EndpointSlices at all/);
  assert.match(because({ services: [service({ selector: {} })] }), /it has no selector/);
  const misnamed = [slice({ ports: [{ name: "web", protocol: "TCP", port: 8080 }] })];
  assert.match(
    because({ services: [service({ selector: {} })], slices: misnamed }),
    /its EndpointSlices have ports web \(TCP\), not a port without a name \(TCP\)/,
  );
  assert.deepEqual(found({}, { slices: none, services: [service({ clusterIPs: [] })] }), []);
});

test("a target port on which a pod does not listen is found, and one that only its loopback has", () => {
  const subject = ["target-port: service shop/web port 80/TCP"];
  assert.deepEqual(found({}, {}, inside([])), subject);
  assert.deepEqual(found({}, {}, inside([{ ...listening, address: parseAddress("127.0.0.1") }])), subject);
  assert.deepEqual(found({}, {}, inside([{ ...listening, address: parseAddress("::"), onlyIPv6: true }])), subject);
  assert.deepEqual(found({}, {}, inside([{ ...listening, address: parseAddress("::"), onlyIPv6: false }])), []);
});

test("pods that became ready a moment ago may still be starting their programs", () => {
  const now = Date.parse(healthyNode().time) / 1000;
  const of = (seconds: number) =>
    found({}, { pods: [podOf("web-1", "node1", "10.244.1.2", { readinessSince: now - seconds })] }, inside([]));
  assert.deepEqual(of(5), []);
  assert.deepEqual(of(20), ["target-port: service shop/web port 80/TCP"]);
});

test("a Service without pods is told of as what it is: scaled to 0, at the beginning, or at fault", () => {
  const now = Date.parse(healthyNode().time) / 1000;
  const of = (pods: readonly CheckedPod[], replicas?: number) => {
    const workload = { kind: "Deployment", namespace: "shop", name: "web", labels: { app: "web", tier: "a" } } as const;
    const facts = new Facts(healthyNode(), {
      cluster: healthyCluster({ pods, slices: [] }),
      workloads: replicas === undefined ? [] : [{ ...workload, replicas }],
    });
    return findFaults(facts)
      .filter(({ check }) => check === "no-endpoints")
      .map(({ severity, message, run = [] }) => `${severity}: ${message} ${run[0]}`)
      .join();
  };
  assert.match(of([]), /^warning: .* no pod of namespace shop has the labels app=web/);
  assert.match(of([], 0), /^note: .*Deployment web is scaled to 0.*kubectl -n shop scale deployment web --replicas=1$/);
  assert.match(of([], 3), /^error: .*Deployment web, .* is to have 3 pods and has none/);
  const waiting = (seconds: number) =>
    of([podOf("web-1", "node1", "10.244.1.2", { ready: false, created: now - seconds, readinessSince: now })], 1);
  assert.match(waiting(5), /^note: .*just being started/);
  assert.match(waiting(300), /^error: .*none is ready/);
});

test("a Service of local traffic without pods here is found, unless a load balancer is told", () => {
  const local = {
    type: "NodePort",
    externalTrafficPolicy: "Local",
    ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 30_080 }],
  } as const;
  const [, second] = slice({}).endpoints;
  const slices = [slice({ endpoints: second === undefined ? [] : [second] })];
  assert.deepEqual(found({}, { services: [service(local)], slices }), ["local-traffic: service shop/web"]);
  assert.deepEqual(found({}, { services: [service(local)] }), []);
  const told = [service({ ...local, healthCheckNodePort: 31_000 })];
  const on = (port: number) =>
    found({ sockets: [{ protocol: "TCP", address: "0.0.0.0", port }] }, { services: told, slices });
  assert.deepEqual(on(31_000), []);
  assert.deepEqual(on(10_250), ["local-traffic: service shop/web, health check"]);
});
