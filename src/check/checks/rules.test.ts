/** Checks of rules, whoever wrote them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../net/address.ts";
import { endpointChain, serviceChains } from "../../proxy/modes/iptables/names.ts";
import { found, fromPrefix, healthyNode, messages, podOf, service, slice, withNftables } from "../testing.ts";

/** No rules of nf_tables. */
const none = { nftables: { ...healthyNode().nftables, tables: [], chains: [], rules: [], sets: [] } };

test("a node without any rules for Services is found, unless Cilium serves", () => {
  assert.deepEqual(found(none), ["proxy-rules: Services over IPv4"]);
  assert.deepEqual(found({ ...none, anonymised: true }), [], "whose rules they are cannot be told");
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
    /leads to no endpoint for 1 of 2 Services, though they have some: service shop\/other/,
  );
});

test("in iptables, a Service that is not led to, or whose chains are empty, is found", () => {
  const name = { namespace: "shop", name: "web", port: "", protocol: "TCP" } as const;
  const { cluster, external } = serviceChains(name);
  const behind = ["10.244.1.2", "10.244.2.2"].map((address) =>
    endpointChain(name, { address: parseAddress(address), port: 8080, local: false }),
  );
  const whole: Readonly<Record<string, readonly string[]>> = {
    "KUBE-SERVICES": [`-d 10.96.0.10/32 -j ${cluster}`, "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"],
    "KUBE-NODEPORTS": [`-p tcp -m tcp --dport 30080 -j ${external}`],
    [external]: [`-j ${cluster}`],
    [cluster]: behind.map((chain) => `-j ${chain}`),
    ...Object.fromEntries(behind.map((chain) => [chain, ["-j DNAT --to-destination 10.244.1.2:8080"]])),
  };
  const services = [service({ type: "NodePort", ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 30_080 }] })];
  const of = (changes: Readonly<Record<string, readonly string[]>>) => {
    const chains = Object.entries({ ...whole, ...changes }).map(([chain, rules]) => ({ name: chain, rules }));
    return found({ ...none, iptables: [{ family: "IPv4", name: "nat", chains }] }, { services }).filter((each) =>
      each.startsWith("unserved"),
    );
  };
  const missing = ["unserved-service: chain KUBE-SERVICES of iptables-legacy"];
  const [first = "", second = ""] = behind;
  assert.deepEqual(of({}), []);
  assert.deepEqual(of({ "KUBE-SERVICES": whole["KUBE-SERVICES"]?.slice(1) ?? [] }), missing);
  assert.deepEqual(of({ [cluster]: [] }), missing);
  assert.deepEqual(of({ "KUBE-NODEPORTS": [] }), missing);
  assert.deepEqual(of({ [external]: [] }), missing);
  assert.deepEqual(of({ [first]: [] }), [], "there is another");
  assert.deepEqual(of({ [first]: [], [second]: [] }), missing);
  const elsewhere = whole["KUBE-SERVICES"]?.slice(0, 1) ?? [];
  assert.deepEqual(of({ "KUBE-SERVICES": elsewhere, "KUBE-NODEPORTS": [] }), [], "node ports are not served here");
});

test("a proxy's table beside chains of the mode iptables is found, and not that the chains are not whole", () => {
  const chains = [{ name: "KUBE-SERVICES", rules: ["-d 10.96.0.99/32 -j KUBE-SVC-A"] }];
  const left = { iptables: [{ family: "IPv4", name: "nat", chains }] };
  assert.deepEqual(found(left), ["two-proxies: proxies for IPv4"]);
  assert.match(messages(left), /Portolan's table ip portolan, and chain KUBE-SERVICES of iptables-legacy\. /);
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
    found({ ...none, iptables: [nat(healthy), canary("mangle"), canary("filter")] }).filter(
      (each) => each === "proxy-rules: chain KUBE-SERVICES of iptables-legacy",
    ),
    [],
  );
  assert.match(
    messages({ ...none, iptables: [nat([]), canary("mangle"), canary("filter")] }),
    /chain PREROUTING of table nat has no jump to KUBE-SERVICES/,
  );
  assert.match(messages({ ...none, iptables: [nat(healthy), canary("filter")] }), /table mangle was flushed/);
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

test("a policy that drops is found where the rules before it accept other packets than pods'", () => {
  const firewall = { family: "inet", table: "firewall" };
  const base = { type: "filter", hook: "forward", priority: 0, policy: "drop" };
  const accepting = (port: string) => [
    { kind: "meta", dreg: 8, key: "l4proto" },
    { kind: "cmp", sreg: 8, op: "eq", data: "06" },
    { kind: "payload", dreg: 8, base: "transport", offset: 2, length: 2 },
    { kind: "cmp", sreg: 8, op: "eq", data: port },
    { kind: "verdict", verdict: { kind: "accept" } },
  ];
  const of = (port: string) =>
    withNftables({
      tables: [firewall],
      chains: [{ ...firewall, chain: "forward", base }],
      rules: [{ ...firewall, chain: "forward", expressions: accepting(port) }],
    });
  assert.deepEqual(found(of("0016")), ["forward-drop: nftables table inet firewall, chain forward"]);
  assert.match(messages(of("0016")), /for example connections from pod shop\/web-1 to pod shop\/web-2/);
  assert.deepEqual(found(of("1f90")), [], "the port of the pods");
});

test("packets to Services that others keep from the proxy's rules are found", () => {
  const raw = { family: "ip", table: "raw" };
  const notrack = (hook: string) =>
    withNftables({
      tables: [raw],
      chains: [{ ...raw, chain: hook, base: { type: "filter", hook, priority: -300, policy: "accept" } }],
      rules: [{ ...raw, chain: hook, expressions: [{ kind: "notrack" }] }],
    });
  assert.deepEqual(found(notrack("prerouting")), ["proxy-rules: Portolan's table ip portolan, from pods"]);
  assert.deepEqual(found(notrack("output")), ["proxy-rules: Portolan's table ip portolan, from this node"]);
  assert.match(messages(notrack("output")), /rule 1 of table ip raw, chain output, matches on the way/);
  const nowhere = { routes: healthyNode().routes.slice(1) };
  assert.deepEqual(found(nowhere), ["proxy-rules: Portolan's table ip portolan, from this node"]);
  assert.match(messages(nowhere), /find no route/);
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
  assert.deepEqual(found({ ...native, ...filter("ACCEPT", ["-j KUBE-FIREWALL"]) }), [], "what is kubelet's, too");
});

test("a node with its pods elsewhere than its podCIDR says is judged by its pods", () => {
  const pods = [podOf("web-1", "node1", "172.30.0.5")];
  assert.deepEqual(found({}, { pods }), ["cluster-cidr: Portolan's table ip portolan"]);
});

test("rules that somebody added to the proxy's chains by hand are found", () => {
  const table = { family: "ip", table: "portolan" };
  const drop = [{ kind: "verdict", verdict: { kind: "drop" } }];
  const mine = withNftables({ rules: [{ ...table, chain: "masquerade-by-client", expressions: drop }] });
  assert.match(messages(mine), /rule 2 of chain masquerade-by-client is not the proxy's: it says drop/);
  const chain = (name: string, rules: readonly string[]) => ({ name, rules });
  const service = (rule: string) => ({
    ...none,
    iptables: [
      {
        family: "IPv4",
        name: "nat",
        chains: [chain("KUBE-SERVICES", ["-j KUBE-NODEPORTS"]), chain("KUBE-SVC-A", [rule])],
      },
    ],
  });
  const endpoint = "-m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-B";
  assert.doesNotMatch(messages(service(endpoint)), /not the proxy's/);
  assert.match(
    messages(service("-s 10.244.1.7/32 -j ACCEPT")),
    /rule 1 of chain KUBE-SVC-A is not the proxy's: it says accept/,
  );
});
