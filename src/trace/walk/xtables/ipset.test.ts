import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnySet, SetElement } from "../../../kernel/ipset/index.ts";
import { parseAddress } from "../../../net/address.ts";
import type { Packet } from "../packet.ts";
import type { State } from "../state.ts";
import type { World } from "../world.ts";
import { findInSet } from "./ipset.ts";

const packet: Packet = {
  family: "IPv4",
  source: parseAddress("10.1.0.2"),
  destination: parseAddress("10.2.0.2"),
  protocol: 6,
  sourcePort: 40_000,
  destinationPort: 80,
  mark: 0x1ff,
  priority: 0,
};

const address = (text: string) => ({ address: parseAddress(text) });
const net = (text: string, prefixLength: number) => ({ address: parseAddress(text), prefixLength });

/** Looks the packet up, by parts such as `dst,src`. */
function found(sets: readonly AnySet[], parts: string, change: Partial<Packet> = {}, touched: readonly string[] = []) {
  const state = { packet: { ...packet, ...change }, touched } as unknown as State;
  const world = { snapshot: { ipsets: sets }, linkName: (index: number) => `eth${index}` } as unknown as World;
  const sides = parts.split(",");
  const flags = sides.reduce((bits, side, i) => bits | (side === "src" ? 2 << i : 0), 0);
  const seen = { state, world, where: { family: "ip", hook: "forward" } } as const;
  return findInSet({ index: 0 }, sides.length, flags, seen).holds;
}

const one = (type: string, elements: readonly SetElement[], more: Partial<AnySet> = {}): AnySet[] => [
  { name: "s", type, family: "IPv4", index: 0, elements, ...more },
];

test("each part of a packet is looked up on the side that the rule names", () => {
  const pair = [{ ...address("10.2.0.2"), protocol: 6, port: 80 }];
  assert.equal(found(one("hash:ip,port", pair), "dst,dst"), true);
  assert.equal(found(one("hash:ip,port", pair), "src,dst"), false);
  assert.equal(found(one("hash:ip,port", pair), "dst,dst", { protocol: 17 }), false);
  const three = [{ ...pair[0], second: parseAddress("10.1.0.0"), secondPrefixLength: 24 }];
  assert.equal(found(one("hash:ip,port,net", three), "dst,dst,src"), true);
  assert.equal(found(one("hash:ip,port,net", three), "dst,dst,dst"), false);
  assert.equal(found(one("hash:ip,port", pair), "dst"), false);
});

test("of several prefixes the longest decides, and nomatch takes out what a wider one covers", () => {
  const nets = [net("10.0.0.0", 8), { ...net("10.2.0.0", 24), nomatch: true }, net("10.2.0.2", 32)];
  assert.equal(found(one("hash:net", nets), "dst"), true);
  assert.equal(found(one("hash:net", nets), "dst", { destination: parseAddress("10.2.0.3") }), false);
  assert.equal(found(one("hash:net", nets), "dst", { destination: parseAddress("10.3.0.3") }), true);
  assert.equal(found(one("hash:net", nets), "dst", { destination: parseAddress("11.0.0.1") }), false);
});

test("netmasks and masks of marks count before the look-up", () => {
  assert.equal(found(one("hash:ip", [address("10.2.0.0")], { netmask: 24 }), "dst"), true);
  const marked = one("hash:ip,mark", [{ ...address("10.1.0.2"), mark: 0xff }], { markMask: 0xff });
  assert.equal(found(marked, "src,src"), true);
  assert.equal(found(marked, "src,src", { mark: 1 }), false);
});

test("ports alone are those of TCP and UDP", () => {
  const ports = [{ name: "s", type: "bitmap:port", index: 0, elements: [{ port: 80 }] }];
  assert.equal(found(ports, "dst"), true);
  assert.equal(found(ports, "dst", { protocol: 132 }), false);
  assert.equal(found(ports, "dst", { protocol: 1, icmpType: 8 }), false);
});

test("a list is all of its sets, and packets of the other family are in none", () => {
  const list = [
    { name: "all", type: "list:set", index: 0, elements: [{ name: "a" }, { name: "b" }] },
    ...one("hash:ip", [], { name: "a", index: 1 }),
    ...one("hash:ip", [address("10.1.0.2")], { name: "b", index: 2 }),
  ];
  assert.equal(found(list, "src"), true);
  assert.equal(found(list, "dst"), false);
  const six = { family: "IPv6", source: parseAddress("fd00::1"), destination: parseAddress("fd00::2") } as const;
  assert.equal(found(one("hash:ip", [address("10.1.0.2")]), "src", six), false);
});

test("what is not known depends: a missing set, a port, a set that a rule has changed", () => {
  const hosts = one("hash:ip", [address("10.1.0.2")]);
  assert.equal(found([], "src"), undefined);
  assert.equal(found(hosts, "src", {}, ["ipset s"]), undefined);
  const { destinationPort: _, ...without } = packet;
  const pair = one("hash:ip,port", [{ ...address("10.2.0.2"), protocol: 6, port: 80 }]);
  assert.equal(found(pair, "dst,dst", { ...without, destinationPort: undefined } as unknown as Packet), undefined);
  assert.equal(found(one("hash:ip,port", []), "dst,dst", { destinationPort: undefined } as unknown as Packet), false);
});
