import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseAddress } from "../../../net/address.ts";
import { parsePrefix } from "../../../net/prefix.ts";
import type { Decision } from "../../../service/decision.ts";
import { here, port } from "../../../service/testing.ts";
import type { Context } from "./context.ts";
import { compileService } from "./service.ts";
import { context, decisionOf } from "./testing.ts";

/** All rules as `-A` lines with table; the hash of shop/web and of its endpoints shortened. */
function lines(decision: Decision, where: Context = context(), comments = true): string[] {
  const { shared, own } = compileService(decision, where, comments);
  return [
    ...shared.map(({ table, chain, rule }) => `${table} ${chain} ${rule}`),
    ...own.flatMap(({ name, rules }) => rules.map((rule) => `${name} ${rule}`)),
  ].map((line) => line.replace(/KUBE-(SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}/g, "$1"));
}

const noPods = { ...here, families: { IPv4: { detector: false } } };

describe("the rules of a service port", () => {
  test("of a cluster IP are those of kube-proxy", () => {
    assert.deepEqual(lines(decisionOf({}, ["10.244.0.1", "10.244.1.1"])), [
      'nat KUBE-SERVICES -m comment --comment "shop/web cluster IP" -m tcp -p tcp -d 10.96.0.1 --dport 80 -j SVC',
      'SVC -m comment --comment "shop/web cluster IP" -m tcp -p tcp -d 10.96.0.1 --dport 80 ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ',
      'SVC -m comment --comment "shop/web -> 10.244.0.1:8080" -m statistic --mode random --probability 0.5000000000 -j SEP',
      'SVC -m comment --comment "shop/web -> 10.244.1.1:8080" -j SEP',
      "SEP -m comment --comment shop/web -s 10.244.0.1 -j KUBE-MARK-MASQ",
      "SEP -m comment --comment shop/web -m tcp -p tcp -j DNAT --to-destination 10.244.0.1:8080",
      "SEP -m comment --comment shop/web -s 10.244.1.1 -j KUBE-MARK-MASQ",
      "SEP -m comment --comment shop/web -m tcp -p tcp -j DNAT --to-destination 10.244.1.1:8080",
    ]);
  });

  test("tell pods from others as the detector can", () => {
    const first = (detector: Parameters<typeof context>[0], policy = here) =>
      lines(decisionOf({}, ["10.244.0.1"], policy), context(detector)).filter((line) =>
        line.endsWith("KUBE-MARK-MASQ"),
      )[0];
    const match = 'SVC -m comment --comment "shop/web cluster IP" -m tcp -p tcp -d 10.96.0.1 --dport 80';
    assert.equal(
      first({ detector: { kind: "prefixes", prefixes: [parsePrefix("10.1.0.0/16")] } }),
      `${match} ! -s 10.1.0.0/16 -j KUBE-MARK-MASQ`,
    );
    assert.equal(first({ detector: { kind: "bridge", interface: "cbr0" } }), `${match} ! -i cbr0 -j KUBE-MARK-MASQ`);
    assert.equal(
      first({ detector: { kind: "interfacePrefix", prefix: "veth" } }),
      `${match} ! -i veth+ -j KUBE-MARK-MASQ`,
    );
    assert.equal(
      first({ detector: { kind: "interfacePrefix", prefix: "fifteen-letters" } }),
      `${match} ! -i fifteen-letters -j KUBE-MARK-MASQ`,
    );
    assert.equal(first({}, { ...here, masqueradeAll: true }), `${match} -j KUBE-MARK-MASQ`);
    assert.match(first({ detector: { kind: "none" } }, noPods) ?? "", /^SEP /);
  });

  test("of traffic policy Local short-circuit pods only where they are known", () => {
    const change = { type: "NodePort", externalTrafficPolicy: "Local", ports: [port(80, "", "TCP", 30080)] } as const;
    const external = (where: Context, policy = here) =>
      lines(decisionOf(change, ["10.244.1.1 @there"], policy), where).filter((line) => line.startsWith("EXT"));
    const local = [
      'EXT -m comment --comment "masquerade LOCAL traffic for shop/web external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ',
      'EXT -m comment --comment "route LOCAL traffic for shop/web external destinations" -m addrtype --src-type LOCAL -j SVC',
    ];
    assert.deepEqual(external(context({ detector: { kind: "none" } }), noPods), local);
    assert.deepEqual(external(context({ detector: { kind: "bridge", interface: "cbr0" } })), [
      'EXT -m comment --comment "pod traffic for shop/web external destinations" -i cbr0 -j SVC',
      ...local,
    ]);
  });

  test("carry no comments in their own chains in large clusters", () => {
    const own = lines(decisionOf({ affinitySeconds: 10 }, ["10.244.0.1"]), context(), false).slice(2);
    assert.deepEqual(own, [
      "SVC -m recent --name SEP --rcheck --seconds 10 --reap -j SEP",
      "SVC -j SEP",
      "SEP -s 10.244.0.1 -j KUBE-MARK-MASQ",
      "SEP -m recent --name SEP --set -m tcp -p tcp -j DNAT --to-destination 10.244.0.1:8080",
    ]);
  });

  test("refuse in table filter, with no chain of their own, where there are no endpoints", () => {
    const change = {
      type: "LoadBalancer",
      externalIPs: ["192.0.2.1"],
      loadBalancerIPs: ["192.0.2.2"],
      loadBalancerSourceRanges: ["203.0.113.0/24"],
      ports: [port(53, "dns", "UDP", 30053)],
    } as const;
    assert.deepEqual(lines(decisionOf(change, [])), [
      'filter KUBE-SERVICES -m comment --comment "shop/web:dns has no endpoints" -m udp -p udp -d 10.96.0.1 --dport 53 -j REJECT',
      'filter KUBE-EXTERNAL-SERVICES -m comment --comment "shop/web:dns has no endpoints" -m udp -p udp -d 192.0.2.1 --dport 53 -j REJECT',
      'filter KUBE-EXTERNAL-SERVICES -m comment --comment "shop/web:dns has no endpoints" -m udp -p udp -d 192.0.2.2 --dport 53 -j REJECT',
      'filter KUBE-EXTERNAL-SERVICES -m comment --comment "shop/web:dns has no endpoints" -m addrtype --dst-type LOCAL -m udp -p udp --dport 30053 -j REJECT',
    ]);
  });

  test("count connections to node ports on localhost where the kernel has the counter", () => {
    const decision = decisionOf({ type: "NodePort", ports: [port(80, "", "TCP", 30080)] }, ["10.244.0.1"]);
    const nodePorts = (where: Context) =>
      lines(decision, where).filter((line) => line.startsWith("nat KUBE-NODEPORTS"));
    const plain = "nat KUBE-NODEPORTS -m comment --comment shop/web -m tcp -p tcp --dport 30080 -j EXT";
    const counters = new Set(["localhost_nps_accepted_pkts"] as const);
    assert.deepEqual(nodePorts(context({ counters })), [plain]);
    assert.deepEqual(nodePorts(context({ counters, nodePortAddresses: { kind: "all", loopback: true } })), [
      "nat KUBE-NODEPORTS -m comment --comment shop/web -m tcp -p tcp -d 127.0.0.0/8 --dport 30080 -m nfacct --nfacct-name localhost_nps_accepted_pkts -j EXT",
      plain,
    ]);
    const nodePortAddresses = { kind: "addresses", addresses: [parseAddress("127.0.0.1")] } as const;
    assert.equal(nodePorts(context({ counters, nodePortAddresses })).length, 2);
  });
});
