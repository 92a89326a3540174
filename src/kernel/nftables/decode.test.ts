import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NetlinkFormatError } from "../netlink/errors.ts";
import { MessageReader } from "../netlink/reader.ts";
import { NetlinkWriter } from "../netlink/writer.ts";
import { keyLayout, typeofLayout, valueData } from "./datatypes.ts";
import { decodeChain, decodeElements, decodeObject, decodeRule, decodeSet, decodeTable } from "./decode.ts";
import { describeMessage } from "./describe.ts";
import { encodeChain, encodeElement, encodeObject, encodeRule, encodeSet, encodeTable } from "./encode.ts";
import { decodeNftEvent } from "./monitor.ts";
import { familyNumber, messageType, operation } from "./protocol.ts";
import * as rules from "./rules.ts";
import { decodeTrace } from "./trace.ts";
import { typeOf, typeofNumgen } from "./typeof.ts";
import type { Chain, Element, NftObject, NftSet, Rule, Table, TableFamily } from "./types.ts";

const tables: Table[] = [
  { family: "ip", table: "plain" },
  { family: "inet", table: "full", flags: ["dormant"], comment: "über alles" },
];

const chains: Chain[] = [
  { family: "ip6", table: "t", chain: "plain", comment: "nothing special" },
  { family: "ip", table: "t", chain: "in", base: { type: "filter", hook: "input", priority: -150, policy: "drop" } },
  {
    family: "netdev",
    table: "t",
    chain: "many",
    base: { type: "filter", hook: "egress", priority: 5, policy: "accept", devices: ["eth0", "eth1"] },
  },
  {
    family: "arp",
    table: "t",
    chain: "one",
    base: { type: "filter", hook: "output", priority: 0, policy: "accept", devices: ["eth0"] },
    flags: ["offload"],
  },
];

const ruleList: Rule[] = [
  { family: "bridge", table: "t", chain: "c", expressions: [] },
  {
    family: "ip",
    table: "t",
    chain: "c",
    handle: 2 ** 40 + 5,
    comment: "default/web",
    expressions: [...rules.loadKey([rules.field.ip4Destination, rules.field.protocol]), rules.isIn("s"), rules.accept],
  },
  {
    family: "ip",
    table: "t",
    chain: "c",
    compat: { protocol: 6, flags: 1 },
    userdata: Uint8Array.of(9, 1, 7),
    expressions: [{ kind: "match", name: "recent", revision: 1, info: Uint8Array.of(1, 2, 3) }],
  },
];

/** What is implied is read as well, so it is given here. */
const sets: NftSet[] = [
  { family: "ip", table: "t", set: "s", key: keyLayout("ipv4_addr", "inet_proto", "inet_service"), comment: "hello" },
  {
    family: "ip",
    table: "t",
    set: "m",
    flags: ["map"],
    key: typeofLayout(typeOf("ip daddr"), typeofNumgen("random", 2)),
    data: valueData(typeofLayout(typeOf("ip daddr"), typeOf("th dport"))),
    size: 1000,
    policy: "memory",
  },
  {
    family: "inet",
    table: "t",
    set: "d",
    flags: ["interval", "timeout", "dynamic", "concat", "expressions"],
    key: keyLayout("ipv6_addr", "inet_service"),
    timeout: 5000,
    gcInterval: 1000,
    autoMerge: true,
    expressions: [rules.counter(), { kind: "connlimit", count: 5 }],
  },
  {
    family: "ip",
    table: "t",
    set: "v",
    flags: ["map"],
    key: typeofLayout(typeofNumgen("inc", 2)),
    data: { kind: "verdict" },
  },
  {
    family: "ip",
    table: "t",
    set: "o",
    flags: ["object"],
    key: keyLayout("mark"),
    data: { kind: "object", type: "quota" },
  },
  {
    family: "ip",
    table: "t",
    set: "prefixes",
    flags: ["map"],
    key: keyLayout("ipv4_addr"),
    data: { kind: "value", layout: keyLayout("ipv4_addr"), interval: true },
  },
];

const elements: Element[] = [
  { key: Uint8Array.of(1, 2, 3, 4) },
  { key: Uint8Array.of(1, 2, 3, 5), intervalEnd: true },
  { key: Uint8Array.of(1), keyEnd: Uint8Array.of(2), data: Uint8Array.of(3), comment: "c" },
  { key: new Uint8Array(), catchAll: true, verdict: { kind: "jump", chain: "x" } },
  { key: Uint8Array.of(1), timeout: 1000, expiration: 999, object: "o", expressions: [rules.counter()] },
  { key: Uint8Array.of(1), expressions: [rules.counter(), { kind: "last", set: false }] },
];

const objects: NftObject[] = [
  {
    family: "ip",
    table: "t",
    name: "c",
    type: "counter",
    state: { kind: "counter", packets: 1, bytes: 2 },
    comment: "x",
  },
  { family: "ip", table: "t", name: "q", type: "quota", state: { kind: "quota", bytes: 5, consumed: 3 } },
  {
    family: "ip",
    table: "t",
    name: "h",
    type: "ct helper",
    state: { kind: "unknown", name: "ct helper", data: Uint8Array.of(8, 0, 1, 0, 102, 116, 112, 0) },
  },
];

function message(number: number, family: TableFamily, write: (writer: NetlinkWriter) => void): Uint8Array {
  const writer = new NetlinkWriter();
  writer.begin(messageType(number), 0, 7);
  writer.u8(familyNumber(family));
  writer.u8(0);
  writer.u16BE(0);
  write(writer);
  writer.end();
  return writer.toBytes();
}

function read<T>(bytes: Uint8Array, decode: (message: MessageReader) => T): T {
  const reader = new MessageReader(bytes);
  assert.ok(reader.next());
  return decode(reader);
}

const messages = {
  tables: tables.map((table) => message(operation.newTable, table.family, (w) => encodeTable(w, table))),
  chains: chains.map((chain) => message(operation.newChain, chain.family, (w) => encodeChain(w, chain))),
  rules: ruleList.map((rule) => message(operation.newRule, rule.family, (w) => encodeRule(w, rule))),
  sets: sets.map((set) => message(operation.newSet, set.family, (w) => encodeSet(w, set, 1))),
  objects: objects.map((object) => message(operation.newObject, object.family, (w) => encodeObject(w, object))),
  elements: [
    message(operation.newElements, "ip", (writer) => {
      writer.attributeString(1, "t");
      writer.attributeString(2, "s");
      const list = writer.beginNested(3);
      for (const element of elements) encodeElement(writer, element);
      writer.endNested(list);
    }),
  ],
};

test("every kind of object is read as it was written", () => {
  assert.deepEqual(
    messages.tables.map((bytes) => read(bytes, decodeTable)),
    tables,
  );
  assert.deepEqual(
    messages.chains.map((bytes) => read(bytes, decodeChain)),
    chains,
  );
  assert.deepEqual(
    messages.rules.map((bytes) => read(bytes, decodeRule)),
    ruleList,
  );
  assert.deepEqual(
    messages.sets.map((bytes) => read(bytes, decodeSet)).map((set) => ({ ...set, userdata: undefined })),
    sets.map((set) => ({ ...set, userdata: undefined })),
  );
  assert.deepEqual(
    messages.objects.map((bytes) => read(bytes, decodeObject)),
    objects,
  );
  assert.deepEqual(
    messages.elements.map((bytes) => read(bytes, decodeElements)),
    [{ family: "ip", table: "t", set: "s", elements }],
  );
});

test("cut and changed messages are read or refused, never more", () => {
  const all = Object.values(messages).flat();
  const changes = fc.array(fc.tuple(fc.nat(600), fc.nat(255)), { maxLength: 4 });
  fc.assert(
    fc.property(fc.nat(all.length - 1), changes, fc.nat(600), fc.nat(33), (which, edits, end, number) => {
      const bytes = (all[which] as Uint8Array).slice();
      for (const [at, byte] of edits) if (at < bytes.length) bytes[at] = byte;
      const part = end < bytes.length && edits.length === 0 ? bytes.subarray(0, end) : bytes;
      if (edits.length === 3 && bytes.length > 4) bytes[4] = number;
      for (const decode of [decodeNftEvent, decodeTrace]) {
        try {
          for (const reader = new MessageReader(part); reader.next(); ) decode(reader);
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError, String(error));
        }
      }
    }),
    { numRuns: 3000 },
  );
});

test("a message is described by its verb, its object and the part that an offset points to", () => {
  const describe = (bytes: Uint8Array | undefined, offset?: number) =>
    bytes === undefined ? "" : describeMessage(bytes, bytes.length, 7, offset);
  assert.equal(describe(messages.tables[0]), "add table ip plain");
  assert.equal(describe(messages.chains[1]), "add chain ip t in");
  assert.equal(describe(messages.sets[1]), "add set ip t m");
  assert.equal(describe(messages.elements[0], 20), "add element ip t s");
  const list = messages.elements[0] as Uint8Array;
  const offsets = new Set(Array.from(list, (_, offset) => describe(list, offset)));
  assert.ok(offsets.has("add element ip t s { key 01020305 }"));
  const rule = messages.rules[1] as Uint8Array;
  const parts = new Set(Array.from(rule, (_, offset) => describe(rule, offset)));
  assert.ok(parts.has("add rule ip t c (expression 3, lookup)"), [...parts].join("\n"));
  assert.equal(describeMessage(rule, rule.length, 99), "nf_tables transaction");
});
