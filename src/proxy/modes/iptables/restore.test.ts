import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseAddress } from "../../../net/address.ts";
import { parsePrefix } from "../../../net/prefix.ts";
import type { Decision } from "../../../service/decision.ts";
import { port } from "../../../service/testing.ts";
import { compare } from "./expected.ts";
import { headRules, tailRules } from "./fixed.ts";
import { changeInput, fullInput } from "./restore.ts";
import { context, decisionOf, finish } from "./testing.ts";

const nodePort = { type: "NodePort", ports: [port(80, "", "TCP", 30080)] } as const;
const none = decisionOf(nodePort, []);
const one = decisionOf(nodePort, ["10.244.0.1"]);
const two = decisionOf(nodePort, ["10.244.0.1", "10.244.0.2"]);

function changed(before: Decision, after: Decision): readonly string[] {
  return finish(changeInput([{ before, after }], context(), true)).input;
}

/** What each line does, and the tables. */
function summary(input: Iterable<string>): string[] {
  const lines = [...input]
    .join("")
    .split("\n")
    .filter((line) => line !== "" && line !== "COMMIT");
  return lines.map((line) => /^(\*\w+|:\S+|-\w \S+)/.exec(line)?.[0].replace(/-[A-Z2-7]{16}$/, "") ?? line);
}

describe("the input for a change", () => {
  test("of endpoints touches no chain that others share", () => {
    assert.deepEqual(summary(changed(one, two)), [
      "*nat",
      ":KUBE-SVC",
      ":KUBE-SEP",
      "-A KUBE-SVC",
      "-A KUBE-SVC",
      "-A KUBE-SVC",
      "-A KUBE-SEP",
      "-A KUBE-SEP",
    ]);
    assert.deepEqual(summary(changed(two, one)), [
      "*nat",
      ":KUBE-SVC",
      "-A KUBE-SVC",
      "-A KUBE-SVC",
      ":KUBE-SEP",
      "-X KUBE-SEP",
    ]);
  });

  test("that changes no rule is empty", () => {
    assert.deepEqual(changed(one, { ...one }), []);
  });

  test("stops refusing only once the way to the endpoints is complete", () => {
    const input = summary(changed(none, one));
    assert.deepEqual(
      input.filter((line) => /^\*|SERVICES/.test(line)),
      ["*nat", "-I KUBE-SERVICES", "*filter", "-D KUBE-SERVICES", "-D KUBE-EXTERNAL-SERVICES"],
    );
    assert(input.indexOf("-A KUBE-SEP") < input.indexOf("-I KUBE-SERVICES"));
  });

  test("refuses before the way to the endpoints goes", () => {
    const input = summary(changed(one, none));
    assert.deepEqual(
      input.filter((line) => /^\*|SERVICES/.test(line)),
      ["*filter", "-A KUBE-SERVICES", "-A KUBE-EXTERNAL-SERVICES", "*nat", "-D KUBE-SERVICES"],
    );
  });

  test("opens and closes a load balancer's firewall without letting anyone pass", () => {
    const open = { type: "LoadBalancer", loadBalancerIPs: ["192.0.2.2"] } as const;
    const closed = { ...open, loadBalancerSourceRanges: ["203.0.113.0/24"] } as const;
    const before = decisionOf(open, ["10.244.0.1"]);
    const after = decisionOf(closed, ["10.244.0.1"]);
    const tables = (input: readonly string[]) => summary(input).filter((line) => /^\*|FIREWALL/.test(line));
    assert.deepEqual(tables(changed(before, after)), ["*filter", "-A KUBE-PROXY-FIREWALL", "*nat"]);
    assert.deepEqual(tables(changed(after, before)), ["*nat", "*filter", "-D KUBE-PROXY-FIREWALL"]);
  });
});

describe("the input for everything", () => {
  test("makes every chain before a rule leads to it, in transactions of so many services", () => {
    const decisions = [one, decisionOf({ ...nodePort, name: "api", clusterIPs: ["10.96.0.2"] }, [])];
    const differences = finish(compare(decisions, context(), []));
    for (const servicesPerTransaction of [1, Number.POSITIVE_INFINITY]) {
      const input = fullInput(decisions, context(), differences, { comments: true, servicesPerTransaction });
      const known: Record<string, Set<string>> = { filter: new Set(), nat: new Set(), mangle: new Set() };
      let table = "";
      for (const line of [...input].join("").split("\n")) {
        if (line.startsWith("*")) table = line.slice(1);
        else if (line.startsWith(":")) known[table]?.add(line.slice(1, line.indexOf(" ")));
        const target = / -j (KUBE-\S+)/.exec(line)?.[1];
        if (target !== undefined) assert(known[table]?.has(target), line);
      }
      assert.deepEqual([...input], [...input], "it can be read again, to name a line");
    }
  });
});

describe("the fixed rules", () => {
  const of = (chain: string, where: ReturnType<typeof context>) =>
    [...headRules(where), ...tailRules(where)].filter((rule) => rule.chain === chain).map(({ rule }) => rule);
  const note = '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"';

  test("lead to the node ports on the addresses that are configured", () => {
    const addresses = ["192.0.2.1", "127.0.0.1"].map(parseAddress);
    const six = ["fd00::1", "::1"].map(parseAddress);
    const cases = [
      [context(), ["-m addrtype --dst-type LOCAL ! -d 127.0.0.0/8"]],
      [context({ nodePortAddresses: { kind: "all", loopback: true } }), ["-m addrtype --dst-type LOCAL"]],
      [context({ family: "IPv6" }), ["-m addrtype --dst-type LOCAL ! -d ::1/128"]],
      [context({ nodePortAddresses: { kind: "addresses", addresses } }), ["-d 192.0.2.1", "-d 127.0.0.1"]],
      [context({ family: "IPv6", nodePortAddresses: { kind: "addresses", addresses: six } }), ["-d fd00::1"]],
    ] as const;
    for (const [where, matches] of cases) {
      assert.deepEqual(
        of("KUBE-SERVICES", where),
        matches.map((match) => `${note} ${match} -j KUBE-NODEPORTS`),
      );
    }
  });

  test("close 127.0.0.0/8 to others only where it is routed", () => {
    assert.deepEqual(of("KUBE-FIREWALL", context()), []);
    assert.equal(of("KUBE-FIREWALL", context({ nodePortAddresses: { kind: "all", loopback: true } })).length, 1);
  });

  test("drop packets that belong to no connection unless conntrack is told to be liberal", () => {
    const first = (where: ReturnType<typeof context>) => of("KUBE-FORWARD", where)[0];
    assert.equal(first(context()), "-m conntrack --ctstate INVALID -j DROP");
    assert.equal(
      first(context({ counters: new Set(["ct_state_invalid_dropped_pkts"]) })),
      "-m conntrack --ctstate INVALID -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP",
    );
    assert.match(first(context({ dropInvalid: false })) ?? "", /ACCEPT/);
  });

  test("refuse a detector that rules cannot express, by name", () => {
    const prefixes = [parsePrefix("10.1.0.0/16"), parsePrefix("10.2.0.0/16")];
    assert.throws(() => context({ detector: { kind: "prefixes", prefixes } }), /10\.1\.0\.0\/16, 10\.2\.0\.0\/16/);
  });
});
