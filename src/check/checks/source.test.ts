/** Checks of source addresses and of marks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../net/address.ts";
import { Facts } from "../facts.ts";
import {
  type Changes,
  found,
  healthyCluster,
  healthyNode,
  messages,
  service,
  setMark,
  vxlan,
  withNftables,
} from "../testing.ts";
import { sourceAddress } from "./source-address.ts";

const nat = { family: "ip", table: "nat" } as const;
const postrouting = {
  ...nat,
  chain: "POSTROUTING",
  base: { type: "nat", hook: "postrouting", priority: 100 },
} as const;
const masquerade = { kind: "masq" } as const;
/** `ip saddr` or `ip daddr` in 10.244.0.0/16, or not. */
const pods = (end: "source" | "destination", op: "eq" | "neq") => [
  { kind: "payload", dreg: 8, base: "network", offset: end === "source" ? 12 : 16, length: 4 },
  { kind: "bitwise", sreg: 8, dreg: 8, length: 4, mask: "ffff0000", xor: "00000000" },
  { kind: "cmp", sreg: 8, op, data: "0af40000" },
];
const leavingBy = (name: string) => [
  { kind: "meta", dreg: 8, key: "oifname" },
  { kind: "cmp", sreg: 8, op: "eq", data: Buffer.from(`${name}\0`.padEnd(16, "\0")).toString("hex") },
];
/** A chain of table nat that masquerades by this rule. */
const withRule = (expressions: readonly object[]): Changes =>
  withNftables({ tables: [nat], chains: [postrouting], rules: [{ ...postrouting, base: undefined, expressions }] });
const title = "rule 1 of nftables table ip nat, chain POSTROUTING";

test("rules that masquerade what goes from pod to pod are found, and those for the world outside are not", () => {
  assert.deepEqual(found(withRule([...pods("source", "eq"), ...pods("destination", "neq"), masquerade])), []);
  assert.deepEqual(found(withRule([...pods("source", "eq"), masquerade])), [`source-address: ${title}`]);
  assert.match(
    messages(withRule([...leavingBy("eth0"), masquerade])),
    /^rule 1 .* gives packets from pod shop\/web-1 to pod shop\/web-2 the source 192\.0\.2\.11: servers/,
  );
  assert.match(
    messages(withRule([...leavingBy("cbr0"), masquerade])),
    /^rule 1 .* gives packets from pod shop\/web-2 to pod shop\/web-1 the source 10\.244\.1\.1: servers/,
  );
});

/** What a proxy does with a node port: translate and, as if its policy were Cluster, mark; and the rule that masquerades. */
const nodePort = (marks: boolean): Changes => {
  const translate = [
    { kind: "meta", dreg: 8, key: "l4proto" },
    { kind: "cmp", sreg: 8, op: "eq", data: "06" },
    { kind: "payload", dreg: 8, base: "transport", offset: 2, length: 2 },
    { kind: "cmp", sreg: 8, op: "eq", data: "7580" },
    ...(marks ? setMark("ffbfffff", "00400000") : []),
    { kind: "immediate", dreg: 8, data: "0af40102" },
    { kind: "immediate", dreg: 9, data: "1f90" },
    { kind: "nat", type: "dnat", family: "ip", addressMin: 8, portMin: 9 },
  ];
  const marked = [
    { kind: "meta", dreg: 8, key: "mark" },
    { kind: "bitwise", sreg: 8, dreg: 8, length: 4, mask: "00400000", xor: "00000000" },
    { kind: "cmp", sreg: 8, op: "neq", data: "00000000" },
    masquerade,
  ];
  const prerouting = { ...nat, chain: "PREROUTING", base: { type: "nat", hook: "prerouting", priority: -110 } };
  const rule = (chain: string, expressions: readonly object[]) => ({ ...nat, chain, expressions });
  return withNftables({
    tables: [nat],
    chains: [prerouting, postrouting],
    rules: [rule("PREROUTING", translate), rule("POSTROUTING", marked)],
  });
};

test("a Service of local traffic whose clients are masqueraded is found with both rules, one of policy Cluster is not", () => {
  const ports = [{ name: "", protocol: "TCP", port: 80, nodePort: 30_080 }] as const;
  const look = (externalTrafficPolicy: "Local" | "Cluster", marks: boolean) => {
    const cluster = healthyCluster({ services: [service({ type: "NodePort", ports, externalTrafficPolicy })] });
    return sourceAddress.run(new Facts(healthyNode(nodePort(marks)), { cluster })).map(({ message }) => message);
  };
  assert.deepEqual(look("Cluster", true), []);
  assert.deepEqual(look("Local", false), []);
  const [message = "", ...more] = look("Local", true);
  assert.deepEqual(more, []);
  assert.match(message, /from outside to service shop\/web \(externalTrafficPolicy Local\) the source 10\.244\.1\.1/);
  assert.match(message, /for the mark that rule 1 of nftables table ip nat, chain PREROUTING gave it/);
});

test("nothing is asked where no pods are known, and walks are few however many nodes and Services there are", () => {
  assert.deepEqual(found(withRule([...pods("source", "eq"), masquerade]), { pods: [] }), []);
  const [pod] = healthyCluster().pods;
  assert.ok(pod);
  const many = Array.from({ length: 5000 }, (_, i) => ({
    ...pod,
    name: `far-${i}`,
    node: `far-${i}`,
    addresses: [parseAddress(`10.${i >> 8}.${i & 255}.2`)],
  }));
  const began = process.cpuUsage().user;
  sourceAddress.run(new Facts(healthyNode(), { cluster: healthyCluster({ pods: [pod, ...many] }) }));
  assert.ok(process.cpuUsage().user - began < 5_000_000);
});

/** The rules of healthyNode, whose masquerade bit is 0x4000, and a chain of somebody else's on a hook. */
const withMark = (hook: string, expressions: readonly object[], more: Changes = {}): Changes => {
  const vpn = { family: "inet", table: "vpn", chain: "marks" } as const;
  return {
    ...withNftables({
      tables: [{ family: "inet", table: "vpn" }],
      chains: [{ ...vpn, base: { type: "filter", hook, priority: -150 } }],
      rules: [{ ...vpn, expressions }],
    }),
    ...more,
  };
};
/** `meta mark set VALUE`: all bits. */
const whole = (value: string) => [
  { kind: "immediate", dreg: 8, data: value },
  { kind: "meta set", sreg: 8, key: "mark" },
];
const vpnChain = "nftables table inet vpn, chain marks";

test("rules of others that set the proxy's bit are found, or clear it where it is missed", () => {
  assert.deepEqual(found(withMark("prerouting", whole("6cca0000"))), [`mark-bits: ${vpnChain}, sets 0x4000`]);
  assert.deepEqual(found(withMark("input", whole("6cca0000"))), []);
  assert.deepEqual(found(withMark("prerouting", whole("01000000"))), [], "the proxy sets its bit later");
  assert.deepEqual(found(withMark("forward", whole("01000000"))), [`mark-bits: ${vpnChain}, clears 0x4000`]);
  assert.deepEqual(found(withMark("forward", setMark("feffffff", "01000000"))), []);
});

test("a mark that is routed by is found if the proxy's bit is in it", () => {
  const { rules } = healthyNode();
  const routed = (value: number, mask: number) =>
    found(withMark("input", [], { rules: [...rules, { ...rules[0], priority: 100, mark: { value, mask } }] }));
  assert.deepEqual(routed(0xca6c, 0xffff_ffff), ["mark-bits: routing rule 100 (IPv4), 0x4000"]);
  assert.deepEqual(routed(0x80000, 0xff0000), []);
});

test("kube-proxy's and kubelet's bits are those of their own chains, in both variants of iptables", () => {
  const table = (rules: readonly string[]): Changes => ({
    iptables: [
      {
        family: "IPv4",
        name: "nat",
        chains: [
          { name: "KUBE-MARK-MASQ", rules: ["-j MARK --set-xmark 0x10000/0x10000"] },
          { name: "KUBE-MARK-DROP", rules: ["-j MARK --set-xmark 0x20000/0x20000"] },
          { name: "OUTPUT", policy: "ACCEPT", rules },
        ],
      },
    ],
  });
  const marksOf = (rules: readonly string[]) => found(table(rules)).filter((each) => each.startsWith("mark-bits"));
  assert.deepEqual(marksOf(["-j MARK --set-xmark 0x400/0x400"]), []);
  assert.deepEqual(marksOf(["-p udp -j MARK --set-xmark 0x10000/0xffffffff"]), [
    "mark-bits: iptables-legacy table nat, chain OUTPUT, sets 0x10000",
  ]);
  assert.deepEqual(marksOf(["-j MARK --set-xmark 0x20000/0x0"]), [], "what flips may be set or not");
  assert.deepEqual(marksOf(["-j MARK --set-xmark 0x20000/0x20000"]), [
    "mark-bits: iptables-legacy table nat, chain OUTPUT, sets 0x20000",
  ]);
});

test("a mark that stays on what a VXLAN carries is found", () => {
  const nodeWith = (rules: readonly string[], more: Changes = { links: [...healthyNode().links, vxlan] }) => {
    const chains = [{ name: "KUBE-POSTROUTING", rules }];
    const changes = { ...more, iptables: [{ family: "IPv4", name: "nat", chains }] };
    return found(changes).filter((each) => each.startsWith("double"));
  };
  const old = ["-m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully"];
  const now = [
    "-m mark ! --mark 0x4000/0x4000 -j RETURN",
    "-j MARK --set-xmark 0x4000/0x0",
    "-j MASQUERADE --random-fully",
  ];
  assert.deepEqual(nodeWith(old), ["double-masquerade: iptables-legacy table nat, chain KUBE-POSTROUTING"]);
  assert.deepEqual(nodeWith(now), []);
  assert.deepEqual(nodeWith(old, {}), []);
});
