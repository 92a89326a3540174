/** Checks that compare where the proxy's rules lead with the objects. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../net/address.ts";
import { endpointChain } from "../../proxy/modes/iptables/names.ts";
import { found, messages, nodeOf, service, slice, withNftables } from "../testing.ts";

const table = { family: "ip", table: "portolan" };
const word = "00000000";

function endpoints(data: readonly string[]) {
  return {
    ...table,
    set: "endpoints",
    key: { type: 0, length: 8 },
    data: { kind: "value", layout: { type: 0, length: 8 } },
    elements: data.map((each, i) => ({ key: `${word}0${i}000000`, data: each })),
  };
}

test("endpoints in Portolan's table that no slice has are found, and those that are terminating are not", () => {
  assert.deepEqual(found(withNftables({ sets: [endpoints(["0af401021f900000", "0af402021f900000"])] })), []);
  const stale = withNftables({ sets: [endpoints(["0af401021f900000", "0af401631f900000"])] });
  assert.deepEqual(found(stale), ["stale-endpoint: Portolan's table ip portolan"]);
  assert.match(messages(stale), /leads to an endpoint that no EndpointSlice has: 10\.244\.1\.99:8080\. /);
  const [leaving] = slice({}).endpoints;
  assert.ok(leaving);
  const slices = [slice({ endpoints: [{ ...leaving, ready: false, serving: true, terminating: true }] })];
  assert.deepEqual(found(withNftables({ sets: [endpoints(["0af401021f900000"])] }), { slices }), []);
});

test("a Service none of whose endpoints is in Portolan's map is found", () => {
  const facts = withNftables({ sets: [endpoints([])] });
  assert.deepEqual(found(facts), ["unserved-service: Portolan's table ip portolan"]);
  const some = withNftables({ sets: [endpoints(["0af401021f900000"])] });
  assert.deepEqual(found(withNftables({ sets: [endpoints(["a9fe60601f900000"])] })), [], "a proxy in user space");
  assert.deepEqual(found(some), []);
});

test("endpoints in kube-proxy's table that no slice has are found, with affinity and without", () => {
  const kubeProxy = { family: "ip", table: "kube-proxy" };
  const map = (data: string) => ({
    ...kubeProxy,
    set: "__map0",
    flags: ["anonymous", "constant", "map"],
    key: { type: 0, length: 4 },
    data: { kind: "value", layout: { type: 0, length: 8 } },
    elements: [{ key: word, data }],
  });
  const of = (sets: readonly object[], chains: readonly object[] = []) =>
    found(withNftables({ tables: [kubeProxy], sets, chains })).filter((each) => each.startsWith("stale"));
  assert.deepEqual(of([map("0af401021f900000")]), []);
  assert.deepEqual(of([map("0af401631f900000")]), ["stale-endpoint: kube-proxy's table ip kube-proxy"]);
  const chain = (address: string) => [{ ...kubeProxy, chain: `endpoint-AAAAAAAA-shop/web/tcp/__${address}/8080` }];
  assert.deepEqual(of([], chain("10.244.1.2")), []);
  assert.deepEqual(of([], chain("10.244.1.99")), ["stale-endpoint: kube-proxy's table ip kube-proxy"]);
});

test("chains of endpoints that no slice has are found, unless they lead to a proxy in user space", () => {
  const name = { namespace: "shop", name: "web", port: "", protocol: "TCP" } as const;
  const chainOf = (address: string) =>
    endpointChain(name, { address: parseAddress(address), port: 8080, local: false });
  const iptables = (chain: string, firewall: readonly string[] = []) => {
    const chains = [
      { name: "KUBE-SERVICES", rules: [] },
      { name: chain, rules: [] },
    ];
    return [
      { family: "IPv4", name: "nat", chains },
      { family: "IPv4", name: "filter", chains: [{ name: "KUBE-PROXY-FIREWALL", rules: firewall }] },
    ];
  };
  const stale = (changes: object) => found(changes).filter((each) => each.startsWith("stale"));
  assert.deepEqual(stale({ iptables: iptables(chainOf("10.244.2.2")) }), []);
  assert.deepEqual(stale({ iptables: iptables(chainOf("10.244.2.99")) }), [
    "stale-endpoint: chain KUBE-SERVICES of iptables-legacy",
  ]);
  const guard =
    '-d 169.254.96.96/32 -m comment --comment "through services only" -m conntrack ! --ctstate DNAT -j DROP';
  assert.deepEqual(stale({ iptables: iptables(chainOf("169.254.96.96"), [guard]) }), []);
});

const destination = {
  forwarding: "masquerade",
  weight: 1,

  active: 0,
  inactive: 0,
  persistent: 0,
};

function ipvs(destinations: readonly object[], key: object = {}) {
  const timeouts = { tcp: 900, tcpFin: 120, udp: 300 };
  const virtual = { kind: "address", address: "10.96.0.10", protocol: "TCP", port: 80, ...key };
  const services = [{ key: virtual, scheduler: "rr", flags: 0, timeout: 0, netmask: 32, destinations }];
  return { ipvs: { services, timeouts } };
}
const to = (address: string, weight = 1) => ({ ...destination, address, port: 8080, weight });

test("destinations of IPVS that are no endpoints, and drained ones that are ready, are found", () => {
  assert.deepEqual(found(ipvs([to("10.244.1.2"), to("10.244.2.2")])), []);
  assert.match(
    messages(ipvs([to("10.244.1.2"), to("10.244.1.99")])),
    /sends connections to service shop\/web \(10\.96\.0\.10:80\/TCP\) to 10\.244\.1\.99:8080/,
  );
  assert.deepEqual(found(ipvs([to("10.244.1.2"), to("10.244.1.99", 0)])), [], "what drains is on its way out");
  assert.match(
    messages(ipvs([to("10.244.1.2"), to("10.244.2.2", 0)])),
    /no new connections to 10\.244\.2\.2:8080 .* the weight is 0/,
  );
  assert.match(messages(ipvs([])), /no destination for service shop\/web/);
  assert.deepEqual(found(ipvs([], { address: "203.0.113.9" })), [], "virtual services of others");
});

test("destinations of a node port's virtual service are compared, too", () => {
  const services = [service({ type: "NodePort", ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 30080 }] })];
  const at = (address: string) => found(ipvs([to("10.244.1.99")], { address, port: 30080 }), { services });
  assert.deepEqual(at("192.0.2.11"), ["ipvs-destinations: service shop/web 192.0.2.11:30080/TCP in IPVS"]);
  assert.deepEqual(at("192.0.2.77"), []);
});

test("a node port of two Services is found, and one of two protocols is not", () => {
  const ports = (nodePort: number, protocol: "TCP" | "UDP" = "TCP") => [{ name: "", protocol, port: 80, nodePort }];
  const both = (first: object, second: object) => {
    const services = [service(first), service({ name: "other", clusterIPs: [parseAddress("10.96.0.10")], ...second })];
    return found({}, { services }).filter((each) => each.startsWith("node-port-collision"));
  };
  assert.deepEqual(both({ ports: ports(30080) }, { ports: ports(30080) }), [
    "node-port-collision: node port 30080/TCP",
  ]);
  assert.deepEqual(both({ ports: ports(30080) }, { ports: ports(30080, "UDP") }), []);
  assert.deepEqual(both({ ports: ports(30080) }, { healthCheckNodePort: 30080 }), [
    "node-port-collision: node port 30080/TCP",
  ]);
  assert.deepEqual(both({ ports: ports(0) }, { ports: ports(0) }), []);
});

test("node ports on an address that the machine has not are found, and a Node whose first address is none of its own", () => {
  const set = (key: string) => ({
    ...table,
    set: "node-port-addresses",
    key: { type: 0, length: 4 },
    elements: [{ key }],
  });
  assert.deepEqual(found(withNftables({ sets: [set("c000020b")] })), []);
  assert.deepEqual(found(withNftables({ sets: [set("c0000263")] })), [
    "node-address: Portolan's table ip portolan: node ports",
  ]);
  const rule = '-d 192.0.2.99/32 -m comment --comment "kubernetes service nodeports" -j KUBE-NODEPORTS';
  const nat = { family: "IPv4", name: "nat", chains: [{ name: "KUBE-SERVICES", rules: [rule] }] };
  assert.ok(found({ iptables: [nat] }).includes("node-address: chain KUBE-SERVICES of iptables-legacy: node ports"));
  const own = parseAddress("192.0.2.11");
  const other = parseAddress("198.51.100.7");
  const nodes = (addresses: readonly (typeof own)[]) => [
    { ...nodeOf("node1", "192.0.2.11", "10.244.1.0/24"), addresses },
    nodeOf("node2", "192.0.2.12", "10.244.2.0/24"),
  ];
  assert.deepEqual(found({}, { nodes: nodes([own, other]) }), []);
  assert.deepEqual(found({}, { nodes: nodes([other, own]) }), ["node-address: node node1"]);
});
