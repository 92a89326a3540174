/** Each check finds its fault, and nothing on a healthy node. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseAddress } from "../../net/address.ts";
import { findFaults } from "../check.ts";
import { Facts, type PodInside } from "../facts.ts";
import type { ClusterObjects } from "../objects.ts";
import {
  type Changes,
  fromPrefix,
  healthyCluster,
  healthyNode,
  nodeOf,
  podOf,
  service,
  slice,
  withLink,
  withNftables,
  withSysctls,
} from "../testing.ts";
import { checks } from "./index.ts";

/** What is found on the healthy node with changes: `check: subject`. */
function found(changes: Changes = {}, objects: Partial<ClusterObjects> = {}, insides: readonly PodInside[] = []) {
  const facts = new Facts(healthyNode(changes), { cluster: healthyCluster(objects), insides });
  return findFaults(facts).map(({ check, subject }) => `${check}: ${subject}`);
}

/** The same, with messages. */
function messages(changes: Changes = {}, objects: Partial<ClusterObjects> = {}): string {
  const facts = new Facts(healthyNode(changes), { cluster: healthyCluster(objects) });
  return findFaults(facts)
    .map(({ message }) => message)
    .join("\n");
}

const listening = { protocol: "TCP", address: parseAddress("0.0.0.0"), port: 8080 } as const;
const inside = (sockets: PodInside["sockets"]): readonly PodInside[] => [
  { namespace: "cni-1", number: 0, addresses: [parseAddress("10.244.1.2")], links: [], sockets },
];

test("nothing is found on a healthy node, with and without its cluster", () => {
  assert.deepEqual(found(), []);
  assert.deepEqual(found({}, {}, inside([listening])), []);
  assert.deepEqual(findFaults(new Facts(healthyNode())), []);
});

test("a machine that has nothing to do with Services is not judged", () => {
  const { nftables } = healthyNode({
    nftables: { generation: 1, consistent: true, tables: [], chains: [], rules: [], sets: [], objects: [] },
  });
  const facts = new Facts(
    healthyNode({ ...withSysctls({ "net/ipv4/ip_forward": "0" }), nftables, links: [], addresses: [] }),
  );
  assert.deepEqual(findFaults(facts), []);
});

test("each check has a name of its own and says what it is about", () => {
  assert.equal(new Set(checks.map(({ name }) => name)).size, checks.length);
  for (const { name, about, seen } of checks) {
    assert.match(name, /^[a-z]+(-[a-z]+)*$/);
    assert.ok(about.endsWith(".") && seen.length > 0, name);
  }
});

test("forwarding that is off is found, of all interfaces and of one", () => {
  assert.deepEqual(found(withSysctls({ "net/ipv4/ip_forward": "0" })), ["ip-forward: net.ipv4.ip_forward"]);
  assert.deepEqual(found(withSysctls({ "net/ipv4/conf/cbr0/forwarding": "0" })), [
    "ip-forward: net.ipv4.conf.cbr0.forwarding",
  ]);
});

test("bridged packets that pass no rules are found, and the module that is not there", () => {
  const name = "net/bridge/bridge-nf-call-iptables";
  assert.deepEqual(found(withSysctls({ [name]: "0" })), ["bridge-netfilter: net.bridge.bridge-nf-call-iptables"]);
  const { [name]: _, ...without } = healthyNode().sysctls;
  assert.match(messages({ sysctls: without }), /module br_netfilter is not loaded/);
});

test("ports without hairpin mode are found, unless the bridge is promiscuous or no pods are on it", () => {
  const off = { port: { state: 3, hairpin: false, learning: true, flood: true } };
  assert.deepEqual(found(withLink("veth2", off)), ["hairpin: bridge cbr0"]);
  const links = healthyNode(withLink("veth2", off)).links;
  const change = (change: object) => ({
    links: links.map((each) => (each.name === "cbr0" ? { ...each, ...change } : each)),
  });
  assert.deepEqual(found(change({ promiscuous: true })), []);
  const docker = { ...change({ name: "docker0" }), addresses: [healthyNode().addresses[0]] };
  assert.deepEqual(found(docker), []);
});

test("a strict reverse path filter is found only where answers leave by another link", () => {
  const { routes, links } = healthyNode();
  const eth1 = { ...links[1], index: 9, name: "eth1" };
  const away = {
    ...routes[0],
    destination: "192.0.2.7/32",
    nextHops: [{ ...routes[0]?.nextHops[0], gateway: "198.51.100.1", interface: 9 }],
  };
  const both = { links: [...links, eth1], routes: [...routes, away] };
  assert.deepEqual(found(both), ["reverse-path: link eth0"]);
  assert.deepEqual(found({ ...both, ...withSysctls({ "net/ipv4/conf/all/rp_filter": "2" }) }), []);
  const elsewhere = routes.map((route) =>
    route.destination === "0.0.0.0/0" ? { ...away, destination: "0.0.0.0/0" } : route,
  );
  assert.deepEqual(found({ links: both.links, routes: elsewhere }), ["reverse-path: link eth0"]);
});

test("a table of connections that is nearly full is found", () => {
  const tuple = { source: "192.0.2.1", destination: "192.0.2.11", protocol: 17, sourcePort: 1, destinationPort: 53 };
  const entry = { family: "IPv4", original: tuple, reply: tuple, status: 8, timeout: 1, mark: 0, zone: 0, id: 1 };
  assert.deepEqual(found({ conntrack: new Array(7).fill(entry) }), []);
  assert.deepEqual(found({ conntrack: new Array(9).fill(entry) }), ["conntrack-full: net.netfilter.nf_conntrack_max"]);
});

test("node ports that the node's own connections may take are found, unless they are reserved", () => {
  const range = { "net/ipv4/ip_local_port_range": "10000\t60999" };
  const subject = ["node-port-ephemeral: net.ipv4.ip_local_port_range"];
  assert.deepEqual(found(withSysctls(range)), subject);
  assert.deepEqual(found(withSysctls({ ...range, "net/ipv4/ip_local_reserved_ports": "30000-32767" })), []);
  const odd = { services: [service({ ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 20_001 }] })] };
  assert.deepEqual(found(withSysctls({ ...range, "net/ipv4/ip_local_reserved_ports": "20001" }), odd), []);
});

test("a program on a node port is found", () => {
  const services = [service({ type: "NodePort", ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 30_080 }] })];
  const socket = { protocol: "TCP", address: "0.0.0.0", port: 30_080 };
  assert.deepEqual(found({ sockets: [socket] }, { services }), [
    "node-port-bound: service shop/web node port 30080/TCP",
  ]);
  assert.deepEqual(found({ sockets: [{ ...socket, protocol: "UDP" }] }, { services }), []);
});

test("a node without any rules for Services is found, unless Cilium serves", () => {
  const { nftables } = healthyNode();
  const none = { nftables: { ...nftables, tables: [], chains: [], rules: [], sets: [] } };
  assert.deepEqual(found(none), ["proxy-rules: Services over IPv4"]);
  assert.deepEqual(
    found({ ...none, links: [...healthyNode().links, { ...healthyNode().links[1], index: 9, name: "cilium_host" }] }),
    [],
  );
});

test("chains of the proxy that are gone or empty are found", () => {
  const whole = withNftables({}).nftables as {
    readonly chains: readonly { chain: string }[];
    readonly rules: readonly { chain: string }[];
  };
  const without = (chain: string) => ({
    nftables: {
      ...whole,
      chains: whole.chains.filter((each) => each.chain !== chain),
      rules: whole.rules.filter((each) => each.chain !== chain),
    },
  });
  assert.match(messages(without("nat-output")), /chain nat-output is gone/);
  const empty = { nftables: { ...whole, rules: whole.rules.filter((each) => each.chain !== "services") } };
  assert.match(messages(empty), /chain services has no rules/);
});

test("a Service that the proxy does not know is found", () => {
  const other = service({ name: "other", clusterIPs: [parseAddress("10.96.0.11")] });
  const objects = { services: [service({}), other], slices: [slice({}), slice({ name: "other-1", service: "other" })] };
  assert.match(
    messages({}, objects),
    /has no rules for 1 of 2 Services, though they have endpoints: service shop\/other/,
  );
});

test("iptables without the jumps into the proxy's chains is found, and tables that were flushed", () => {
  const chain = (name: string, rules: readonly string[], policy?: string) => ({
    name,
    rules,
    ...(policy && { policy }),
  });
  const services =
    '-d 10.96.0.10/32 -p tcp -m comment --comment "shop/web cluster IP" -m tcp --dport 80 -j KUBE-SVC-4ZPQ6VRRTVGCFHIN';
  const nat = (prerouting: readonly string[]) => ({
    family: "IPv4",
    name: "nat",
    chains: [
      chain("PREROUTING", prerouting, "ACCEPT"),
      chain("OUTPUT", ["-j KUBE-SERVICES"], "ACCEPT"),
      chain("POSTROUTING", ["-j KUBE-POSTROUTING"], "ACCEPT"),
      chain("KUBE-SERVICES", [services]),
      chain("KUBE-POSTROUTING", ["-j MASQUERADE"]),
      chain("KUBE-MARK-MASQ", ["-j MARK --set-xmark 0x4000/0x4000"]),
      chain("KUBE-PROXY-CANARY", []),
    ],
  });
  const canary = (name: string) => ({ family: "IPv4", name, chains: [chain("KUBE-PROXY-CANARY", [])] });
  const healthy = ['-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'];
  assert.deepEqual(
    found({ iptables: [nat(healthy), canary("mangle"), canary("filter")] }).filter(
      (each) => !each.startsWith("unserved"),
    ),
    [],
  );
  assert.match(
    messages({ iptables: [nat([]), canary("mangle"), canary("filter")] }),
    /chain PREROUTING of table nat has no jump to KUBE-SERVICES/,
  );
  assert.match(messages({ iptables: [nat(healthy), canary("filter")] }), /table mangle was flushed/);
});

test("a clusterCIDR without the node's pods is found", () => {
  const { nftables } = withNftables({}) as {
    readonly nftables: { readonly rules: readonly { readonly chain: string }[] };
  };
  const rules = nftables.rules.map((rule) =>
    rule.chain === "masquerade-by-client" ? { ...rule, expressions: fromPrefix("0a630000", "ffff0000") } : rule,
  );
  assert.deepEqual(found({ nftables: { ...nftables, rules } }), ["cluster-cidr: Portolan's table ip portolan"]);
  assert.match(messages({ nftables: { ...nftables, rules } }), /takes 10\.99\.0\.0\/16 for the addresses of pods/);
});

/** A legacy filter table with rules in FORWARD. */
const filter = (policy: string, rules: readonly string[], more: readonly object[] = []) => ({
  iptables: [{ family: "IPv4", name: "filter", chains: [{ name: "FORWARD", policy, rules }, ...more] }],
});
const dropped = ["forward-drop: iptables-legacy table filter, chain FORWARD"];

test("a policy that drops is found, unless a rule accepts what is for pods", () => {
  assert.deepEqual(found(filter("DROP", [])), dropped);
  const established = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
  assert.deepEqual(
    found(
      filter(
        "DROP",
        [established, "-j KUBE-FORWARD"],
        [{ name: "KUBE-FORWARD", rules: ["-m mark --mark 0x4000/0x4000 -j ACCEPT"] }],
      ),
    ),
    dropped,
  );
  for (const rule of ["-s 10.244.0.0/16 -j ACCEPT", "-i cbr0 -j ACCEPT", "-j ACCEPT", "-j FLANNEL-FWD"]) {
    const flannel = { name: "FLANNEL-FWD", rules: ["-s 10.244.0.0/16 -j ACCEPT"] };
    assert.deepEqual(found(filter("DROP", [established, rule], [flannel])), [], rule);
  }
  assert.deepEqual(found(filter("ACCEPT", [established])), []);
});

test("a rule that drops everybody is found, and one for somebody is not", () => {
  for (const rule of [
    "-p tcp -j DROP",
    "-j REJECT --reject-with icmp-port-unreachable",
    "-m conntrack --ctstate NEW -j DROP",
    "-s 10.0.0.0/8 -j DROP",
  ]) {
    assert.deepEqual(found(filter("ACCEPT", [rule])), dropped, rule);
  }
  const harmless = [
    "-m conntrack --ctstate INVALID -j DROP",
    "-p tcp -m tcp --dport 25 -j DROP",
    "-s 10.244.1.9/32 -j DROP",
    "! -i docker0 -o docker0 -j DROP",
    "-m set --match-set blocked src -j DROP",
    "-s 203.0.113.0/24 -j DROP",
  ];
  assert.deepEqual(found(filter("ACCEPT", harmless)), []);
  assert.deepEqual(found(filter("ACCEPT", ["-s 10.244.0.0/16 -j ACCEPT", "-j DROP"])), []);
});

test("a chain of nf_tables that drops new connections is found, whatever other chains accept", () => {
  const firewall = { family: "inet", table: "firewall" };
  const forward = { ...firewall, chain: "forward", base: { type: "filter", hook: "forward", priority: 50 } };
  const state = (mask: string) => [
    { kind: "ct", dreg: 8, key: "state" },
    { kind: "bitwise", sreg: 8, dreg: 8, length: 4, mask, xor: "00000000" },
    { kind: "cmp", sreg: 8, op: "neq", data: "00000000" },
  ];
  const drop = { kind: "verdict", verdict: { kind: "drop" } };
  const rules = (mask: string) =>
    withNftables({
      tables: [firewall],
      chains: [forward],
      rules: [{ ...firewall, chain: "forward", expressions: [...state(mask), drop] }],
    });
  assert.deepEqual(found(rules("08000000")), ["forward-drop: nftables table inet firewall, chain forward"]);
  assert.deepEqual(found(rules("01000000")), []);
});

test("both variants of iptables with rules are found", () => {
  const nft = { family: "ip", table: "filter" };
  const chains = [{ ...nft, chain: "INPUT", base: { type: "filter", hook: "input", priority: 0 } }];
  const rules = [{ ...nft, chain: "INPUT", expressions: [{ kind: "verdict", verdict: { kind: "accept" } }] }];
  const native = withNftables({ tables: [nft], chains, rules });
  assert.deepEqual(found(native), []);
  assert.deepEqual(found({ ...native, ...filter("ACCEPT", ["-s 192.0.2.9/32 -j DROP"]) }), [
    "legacy-and-nft: iptables",
  ]);
});

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
  assert.deepEqual(of("10.244.2.9", 0x2e), ["stale-conntrack: service shop/web 10.96.0.10:53/UDP"]);
  assert.deepEqual(of("10.96.0.10", 0x08), ["stale-conntrack: service shop/web 10.96.0.10:53/UDP"]);
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
  const vxlan = {
    ...healthyNode().links[1],
    index: 7,
    name: "flannel.1",
    mtu: 1450,
    kind: "vxlan",
    details: { kind: "vxlan", id: 1, port: 8472, device: 2, learning: false },
  };
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
  const overlay = (mtu: number) => ({
    links: [
      ...healthyNode().links.map((link) => (link.kind === "veth" ? { ...link, mtu: 1450 } : link)),
      { ...healthyNode().links[1], index: 7, name: "vx", kind: "vxlan", mtu, details },
    ],
  });
  assert.deepEqual(found(overlay(1450)), []);
  assert.deepEqual(found(overlay(1500)), ["mtu: link vx"]);
  assert.deepEqual(found(overlay(1400)), ["mtu: link vx"]);
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
  assert.deepEqual(found({}, { services: [service({ ...local, healthCheckNodePort: 31_000 })], slices }), []);
});

test("the kernel's settings for IPVS are judged where IPVS serves", () => {
  const links = [...healthyNode().links, { ...healthyNode().links[1], index: 9, name: "kube-ipvs0" }];
  const nat = { family: "IPv4", name: "nat", chains: [{ name: "KUBE-SERVICES", rules: [] }] };
  const settings = withSysctls({ "net/ipv4/vs/conntrack": "0", "net/ipv4/vs/conn_reuse_mode": "1" });
  const all = found({ ...settings, links, iptables: [nat], kernel: "5.4.0" });
  assert.ok(
    all.includes("ipvs-settings: net.ipv4.vs.conntrack") && all.includes("ipvs-settings: net.ipv4.vs.conn_reuse_mode"),
    String(all),
  );
  assert.deepEqual(found(settings), []);
});

test("node ports on 127.0.0.1 need route_localnet", () => {
  const rule = (match: string) => ({
    iptables: [
      {
        family: "IPv4",
        name: "nat",
        chains: [{ name: "KUBE-SERVICES", rules: [`-m addrtype --dst-type LOCAL ${match}-j KUBE-NODEPORTS`] }],
      },
    ],
  });
  const subject = "localhost-node-port: net.ipv4.conf.all.route_localnet";
  assert.ok(found(rule("")).includes(subject));
  assert.ok(!found(rule("! -d 127.0.0.0/8 ")).includes(subject));
  assert.ok(!found({ ...rule(""), ...withSysctls({ "net/ipv4/conf/all/route_localnet": "1" }) }).includes(subject));
});

test("a node with its pods elsewhere than its podCIDR says is judged by its pods", () => {
  const pods = [podOf("web-1", "node1", "172.30.0.5")];
  assert.deepEqual(found({}, { pods }), ["cluster-cidr: Portolan's table ip portolan"]);
});

test("docs/check.md explains each check, and no other", () => {
  const text = readFileSync(new URL("../../../docs/check.md", import.meta.url), "utf8");
  const sections = text.split(/^# The checks$/m)[1] ?? "";
  assert.deepEqual(
    [...sections.matchAll(/^## (.*)$/gm)].map(([, name]) => name),
    checks.map(({ name }) => name),
  );
  for (const { about } of checks) assert.ok(sections.includes(about), about);
});
