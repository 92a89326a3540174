import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, beforeEach, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import * as ffi from "../../src/kernel/ffi.ts";
import { type CtKey, type Expression, listRules, type MetaKey, openNftables } from "../../src/kernel/nftables/index.ts";

// This process gets a network namespace of its own, which goes with it.
ffi.unshare(ffi.CLONE.newnet);
const socket = openNftables();
after(() => socket.close());
beforeEach(() => execFileSync("nft", ["flush", "ruleset"]));

/** A rule's text for `nft`, and what one of its expressions must be read as. */
type Case = readonly [text: string, expected: Readonly<Record<string, unknown>>];

const metas: Partial<Record<MetaKey, string>> = {
  len: "1000",
  protocol: "ip6",
  priority: "1:2",
  mark: "1",
  iif: "lo",
  oif: "lo",
  iifname: "x",
  oifname: "x",
  iiftype: "ether",
  oiftype: "ether",
  skuid: "5",
  skgid: "5",
  rtclassid: "1",
  pkttype: "multicast",
  cpu: "1",
  iifgroup: "1",
  oifgroup: "1",
  cgroup: "1",
  random: "1",
  iifkind: "veth",
  oifkind: "veth",
  time: '"2030-01-01 00:00"',
  day: '"Sunday"',
  hour: '"10:00"',
  sdif: "lo",
  sdifname: "x",
  ipsec: "exists",
  secmark: "set ct secmark",
};

const cts: Partial<Record<CtKey, string>> = {
  state: "new",
  direction: "reply",
  status: "snat",
  mark: "1",
  expiration: "5s",
  helper: '"ftp"',
  id: "5",
  zone: "5",
  packets: "5",
  bytes: "5",
  avgpkt: "5",
  label: "5",
};

const cases: readonly Case[] = [
  ...Object.entries(metas).map(
    ([key, value]): Case => [
      `meta ${key === "len" ? "length" : key} ${value}`,
      { kind: key === "secmark" ? "meta set" : "meta", key },
    ],
  ),
  ["meta nfproto ipv6 counter", { kind: "meta", key: "nfproto" }],
  ["meta l4proto udp counter", { kind: "meta", key: "l4proto" }],
  ...Object.entries(cts).map(([key, value]): Case => [`ct ${key} ${value}`, { kind: "ct", key }]),
  ["meta l4proto tcp ct original proto-src 5", { kind: "ct", key: "proto-src", direction: "original" }],
  ["meta l4proto tcp ct reply proto-dst 5", { kind: "ct", key: "proto-dst", direction: "reply" }],
  ["ct original ip saddr 10.0.0.1", { kind: "ct", key: "saddr ip", direction: "original" }],
  ["ct reply ip6 daddr fd00::1", { kind: "ct", key: "daddr ip6", direction: "reply" }],
  ["ct original l3proto ipv4", { kind: "ct", key: "l3proto" }],
  ["ct reply protocol tcp", { kind: "ct", key: "protocol" }],
  ["ct secmark set meta secmark", { kind: "ct set", key: "secmark" }],
  ["ct zone set 5", { kind: "ct set", key: "zone" }],
  ["rt classid 5", { kind: "rt", key: "classid" }],
  ["rt mtu 1400", { kind: "rt", key: "mtu" }],
  ["rt ip nexthop 10.0.0.1", { kind: "rt", key: "nexthop ip" }],
  ["rt ip6 nexthop fd00::1", { kind: "rt", key: "nexthop ip6" }],
  ["rt ipsec exists", { kind: "rt", key: "ipsec" }],
  ["ipsec out ip6 daddr fd00::1", { kind: "xfrm", key: "daddr ip6", direction: "out" }],
  ["ipsec in spnum 1 spi 5", { kind: "xfrm", key: "spi", direction: "in", index: 1 }],
  ["ipsec out reqid 5", { kind: "xfrm", key: "reqid", direction: "out" }],
  ["mh type binding-update", { kind: "exthdr", op: "ipv6", type: 135 }],
  ["tcp option 99 exists", { kind: "exthdr", op: "tcp option", type: 99, present: true }],
  ["reject with icmpv6 type admin-prohibited", { kind: "reject", type: "icmp", code: 1 }],
  ["reject with icmpx type admin-prohibited", { kind: "reject", type: "icmpx", code: 3 }],
  ["log level warn flags skuid flags tcp sequence", { kind: "log", level: 4, flags: ["tcp seq", "skuid"] }],
  ["quota over 5 bytes", { kind: "quota", bytes: 5, inverted: true }],
  ["limit rate over 7/hour burst 3 packets", { kind: "limit", rate: 7, unit: 3600, burst: 3, inverted: true }],
  ["meta l4proto tcp masquerade to :5-6 persistent", { kind: "masq", flags: ["persistent"] }],
  ["ip saddr != 10.0.0.1-10.0.0.9", { kind: "range", op: "neq" }],
  ["return", { kind: "verdict", verdict: { kind: "return" } }],
  ["continue", { kind: "verdict", verdict: { kind: "continue" } }],
];

test("an expression is read as what nft was told", async (t) => {
  for (const [text, expected] of cases) {
    await t.test(text, () => {
      const type = expected.kind === "masq" ? "nat" : "filter";
      const hook = /sdif|ipsec (in|exists)|reject/.test(text) && !text.startsWith("rt") ? "input" : "postrouting";
      const chain = `type ${type} hook ${hook} priority 100\n ${text}`;
      execFileSync("nft", ["-f", "-"], { input: `table inet demo { chain c { ${chain}\n }\n }` });
      const expressions = listRules(socket).flatMap((rule) => rule.expressions);
      assert.ok(
        expressions.some((expression) => matches(expression, expected)),
        JSON.stringify(expressions),
      );
      execFileSync("nft", ["flush", "ruleset"]);
    });
  }
});

function matches(expression: Expression, expected: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(expected).every(([name, value]) =>
    isDeepStrictEqual((expression as unknown as Readonly<Record<string, unknown>>)[name], value),
  );
}
