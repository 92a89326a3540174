/** Rules that iptables wrote, read back from the kernel, mean the same in both variants; sets of rules of healthy nodes are found healthy. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { findFaults } from "../../src/check/check.ts";
import { Facts } from "../../src/check/facts.ts";
import { healthyCluster } from "../../src/check/testing.ts";
import { parseAddress } from "../../src/net/address.ts";
import { parsePrefix } from "../../src/net/prefix.ts";
import { capture } from "../../src/trace/snapshot/index.ts";
import { type Host, TestNetwork } from "../support/network.ts";

let network: TestNetwork;
let node: Host;

before(() => {
  network = new TestNetwork("check-rules");
  node = network.host("node");
  const [pod, router] = [network.host("pod"), network.host("router")];
  network.bridge(node, "cni0");
  network.join(node, "veth1", pod, "eth0", "cni0");
  network.join(node, "eth0", router, "node");
  node.address("cni0", "10.244.1.1/24");
  node.address("eth0", "192.0.2.11/24");
  node.addRoute("default", { via: "192.0.2.1" });
  node.forwarding();
  node.sysctl("net/bridge/bridge-nf-call-iptables", 1);
});
beforeEach(() => {
  node.exec("nft", ["flush", "ruleset"]);
  load("legacy", ["FORWARD ACCEPT"], []);
});
after(() => network.close());

const forwardRules = [
  "-s 10.244.0.0/16 -j ACCEPT",
  "-d 10.244.1.7/32 -p tcp -j DROP",
  "! -s 10.244.0.0/19 -o eth0 -j DROP",
  "-i cni0 -o eth+ -j ACCEPT",
  "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
  "-m conntrack --ctstate NEW -j DROP",
  "-m conntrack ! --ctstate INVALID -m comment --comment x -j RETURN",
  "-p udp -m conntrack --ctstate INVALID -j DROP",
  "-j REJECT --reject-with icmp-port-unreachable",
];

/** Loads a filter table. */
function load(variant: "nft" | "legacy", chains: readonly string[], rules: readonly string[]): void {
  const input = `*filter\n${chains.map((chain) => `:${chain} [0:0]\n`).join("")}${rules.map((rule) => `${rule}\n`).join("")}COMMIT\n`;
  node.exec(`iptables-${variant}-restore`, [], { input });
}

test("a rule means the same, whichever variant of iptables has it", async () => {
  const rules = forwardRules.map((rule) => `-A FORWARD ${rule}`);
  for (const variant of ["nft", "legacy"] as const) load(variant, ["FORWARD ACCEPT"], rules);
  const { chains } = new Facts(await capture(node.namespace));
  const forward = chains.filter(({ name, table }) => name === "FORWARD" && table === "filter");
  const [native, legacy] = ["nftables", "legacy"].map((variant) => forward.find((each) => each.variant === variant));
  assert.equal(native?.rules.length, forwardRules.length);
  for (const [i, rule] of forwardRules.entries()) {
    assert.deepEqual(native?.rules[i]?.conditions.others, [], rule);
    assert.deepEqual(native?.rules[i], legacy?.rules[i], rule);
  }
});

test("what a rule makes of the mark is the same, whichever variant of iptables has it, or nft wrote it", async () => {
  const changes = [
    "--set-mark 0x1",
    "--set-xmark 0x4000/0x4000",
    "--or-mark 0x8000",
    "--and-mark 0xff",
    "--xor-mark 0x4000",
  ];
  const input = `*mangle\n${changes.map((change) => `-A FORWARD -j MARK ${change}\n`).join("")}COMMIT\n`;
  const native = ["1", "mark and 0xffffbfff or 0x4000", "mark or 0x8000", "mark and 0xff", "mark xor 0x4000"];
  const rules = native.map((value) => `meta mark set ${value};`).join(" ");
  try {
    for (const variant of ["nft", "legacy"]) node.exec(`iptables-${variant}-restore`, [], { input });
    node.exec("nft", ["-f", "-"], { input: `table inet marks { chain every {\n${rules}\n}\n}\n` });
    const { chains } = new Facts(await capture(node.namespace));
    const marksOf = (wanted: (chain: (typeof chains)[number]) => boolean) =>
      chains.find(wanted)?.rules.map(({ mark }) => mark);
    const expected = [
      { keep: 0, flip: 1 },
      { keep: 0xffff_bfff, flip: 0x4000 },
      { keep: 0xffff_7fff, flip: 0x8000 },
      { keep: 0xff, flip: 0 },
      { keep: 0xffff_ffff, flip: 0x4000 },
    ];
    const isForward = (variant: string) => (chain: (typeof chains)[number]) =>
      chain.variant === variant && chain.table === "mangle" && chain.name === "FORWARD";
    assert.deepEqual(marksOf(isForward("nftables")), expected);
    assert.deepEqual(marksOf(isForward("legacy")), expected);
    assert.deepEqual(
      marksOf(({ table, name }) => table === "marks" && name === "every"),
      expected,
    );
  } finally {
    node.exec("iptables-legacy-restore", [], { input: "*mangle\n:FORWARD ACCEPT\nCOMMIT\n" });
  }
});

/** What `forward-drop` finds with the rules that stand. */
async function dropped(): Promise<readonly string[]> {
  const nodeObject = {
    name: "node",
    addresses: [parseAddress("192.0.2.11")],
    podCIDRs: [parsePrefix("10.244.1.0/24")],
  };
  const cluster = { services: [], slices: [], pods: [], nodes: [nodeObject] };
  const facts = new Facts(await capture(node.namespace), { cluster });
  assert.deepEqual(
    facts.podBridges.map(({ name }) => name),
    ["cni0"],
  );
  return findFaults(facts).map(({ check, message }) => `${check} ${message}`);
}

/** What Docker writes. */
const docker = {
  chains: ["FORWARD DROP", "DOCKER -", "DOCKER-USER -", "DOCKER-ISOLATION-STAGE-1 -", "DOCKER-ISOLATION-STAGE-2 -"],
  rules: [
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
    "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -o docker0 -j DOCKER",
    "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    "-A FORWARD -i docker0 -o docker0 -j ACCEPT",
    "-A DOCKER ! -i docker0 -o docker0 -j DROP",
    "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2",
    "-A DOCKER-ISOLATION-STAGE-1 -j RETURN",
    "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
    "-A DOCKER-ISOLATION-STAGE-2 -j RETURN",
    "-A DOCKER-USER -j RETURN",
  ],
} as const;
/** What flannel adds. */
const flannel = [
  "-A FORWARD -j FLANNEL-FWD",
  "-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment flanneld -j ACCEPT",
  "-A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment flanneld -j ACCEPT",
];

test("Docker's policy drops pods' packets, unless the overlay has them accepted", async () => {
  load("nft", docker.chains, docker.rules);
  const [found, ...more] = await dropped();
  assert.match(found ?? "", /^forward-drop nftables table ip filter, chain FORWARD, drops by its policy/);
  assert.deepEqual(more, []);
  load("nft", [...docker.chains, "FLANNEL-FWD -"], [...docker.rules, ...flannel]);
  assert.deepEqual(await dropped(), []);
});

test("a firewall that rejects what no zone accepts is found, and one whose zone has the pods is not", async () => {
  const firewall = (zone: string) => `table inet firewalld
delete table inet firewalld
table inet firewalld {
  chain filter_FORWARD { type filter hook forward priority 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    jump filter_FORWARD_ZONES
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD_ZONES { ${zone} }
  chain filter_FWD_trusted { accept; }
}`;
  node.exec("nft", ["-f", "-"], { input: firewall("") });
  assert.match(
    (await dropped()).join(),
    /forward-drop nftables table inet firewalld, chain filter_FORWARD, drops with rule 6 everything/,
  );
  node.exec("nft", ["-f", "-"], { input: firewall('iifname "cni0" goto filter_FWD_trusted;') });
  assert.deepEqual(await dropped(), []);
});

/** As kube-proxy 1.36 writes them, for Service shop/web with two endpoints, the second of which is gone. */
const kubeProxy = `
table ip kube-proxy {
  comment "rules for kube-proxy"
  set cluster-ips { type ipv4_addr; elements = { 10.96.0.10 }; }
  set nodeport-ips { type ipv4_addr; elements = { 192.0.2.11 }; }
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.10 . tcp . 80 : goto service-ULMVA6XW-shop/web/tcp/ }
  }
  map service-nodeports { type inet_proto . inet_service : verdict; }
  map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
  chain services {
    ip daddr @cluster-ips ip saddr != 10.244.0.0/16 meta mark set meta mark or 0x4000
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
  }
  chain masquerading { meta mark & 0x4000 != 0 meta mark set meta mark xor 0x4000 masquerade fully-random; }
  chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }
  chain nat-output { type nat hook output priority -100; policy accept; jump services; }
  chain nat-postrouting { type nat hook postrouting priority srcnat; policy accept; jump masquerading; }
  chain service-ULMVA6XW-shop/web/tcp/ {
    meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.244.1.2 . 8080, 1 : 10.244.1.99 . 8080 }
  }
}
`;

test("kube-proxy's table is known, and read: its endpoints, node addresses, Services, hooks", async () => {
  const look = async (): Promise<readonly string[]> => {
    const node1 = { name: "node", addresses: [parseAddress("192.0.2.11")], podCIDRs: [parsePrefix("10.244.1.0/24")] };
    const cluster = healthyCluster({ nodes: [node1], pods: [] });
    const facts = new Facts(await capture(node.namespace), { cluster });
    assert.deepEqual(
      facts.proxies.map(({ kind, title }) => [kind, title]),
      [["kube-proxy", "kube-proxy's table ip kube-proxy"]],
    );
    return findFaults(facts)
      .filter(({ check }) => !["no-endpoints", "forward-drop"].includes(check))
      .map(({ check, message }) => `${check} ${message}`);
  };
  node.exec("nft", ["-f", "-"], { input: kubeProxy });
  const [stale = "", ...more] = await look();
  assert.match(stale, /^stale-endpoint .* leads to an endpoint that no EndpointSlice has: 10\.244\.1\.99:8080\./);
  assert.deepEqual(more, []);
  node.exec("nft", ["flush", "chain", "ip", "kube-proxy", "service-ULMVA6XW-shop/web/tcp/"]);
  assert.match((await look()).join(), /unserved-service .*service shop\/web\. /);
  const whole = kubeProxy.replace(", 1 : 10.244.1.99 . 8080", "").replace("mod 2", "mod 1");
  node.exec("nft", ["-f", "-"], { input: `delete table ip kube-proxy\n${whole}` });
  assert.deepEqual(await look(), []);
  node.exec("nft", ["add", "element", "ip", "kube-proxy", "nodeport-ips", "{ 192.0.2.99 }"]);
  assert.match(
    (await look()).join(),
    /^node-address .* serves node ports on 192\.0\.2\.99, which this machine does not have/,
  );
  node.exec("nft", ["delete", "element", "ip", "kube-proxy", "nodeport-ips", "{ 192.0.2.99 }"]);
  node.exec("nft", ["flush", "map", "ip", "kube-proxy", "service-ips"]);
  assert.match((await look()).join(), /unserved-service .*service shop\/web/);
  node.exec("nft", ["flush", "chain", "ip", "kube-proxy", "nat-output"]);
  assert.match((await look()).join(), /proxy-rules .*chain nat-output has no rules/);
});
