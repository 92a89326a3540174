import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NetlinkFormatError } from "../../netlink/errors.ts";
import { AttributeReader } from "../../netlink/reader.ts";
import { NetlinkWriter } from "../../netlink/writer.ts";
import type { Expression } from "./expression.ts";
import { ctKeys, metaKeys } from "./load.ts";
import { expressionCodec } from "./table.ts";

type Kind = Expression["kind"];

/** Expressions of every kind, with registers, numbers and bytes as they come. */
function samples(
  r: number,
  n: number,
  data: Uint8Array,
  name: string,
): { readonly [K in Kind]: readonly Extract<Expression, { kind: K }>[] } {
  const small = (n & 0x7fff) + 1;
  const byte = n & 0xff;
  return {
    payload: [
      { kind: "payload", dreg: r, base: "network", offset: small, length: 4 },
      { kind: "payload", dreg: r, base: "tunnel", offset: 0, length: 1 },
    ],
    "payload set": [
      { kind: "payload set", sreg: r, base: "link", offset: n, length: 2 },
      {
        kind: "payload set",
        sreg: r,
        base: "network",
        offset: 1,
        length: 2,
        checksum: "inet",
        checksumOffset: 10,
        pseudoHeader: true,
      },
    ],
    meta: metaKeys.map((key) => ({ kind: "meta", dreg: r, key })),
    "meta set": [{ kind: "meta set", sreg: r, key: "mark" }],
    ct: [
      ...ctKeys.map((key) => ({ kind: "ct", dreg: r, key }) as const),
      { kind: "ct", dreg: r, key: "proto-dst", direction: "reply" },
    ],
    "ct set": [
      { kind: "ct set", sreg: r, key: "mark" },
      { kind: "ct set", sreg: r, key: "zone", direction: "original" },
    ],
    rt: [{ kind: "rt", dreg: r, key: "nexthop ip6" }],
    socket: [
      { kind: "socket", dreg: r, key: "wildcard" },
      { kind: "socket", dreg: r, key: "cgroupv2", level: small },
    ],
    fib: [
      { kind: "fib", dreg: r, result: "type", flags: ["daddr", "iif"] },
      { kind: "fib", dreg: r, result: "oif", flags: ["saddr", "mark", "present"] },
    ],
    jhash: [
      { kind: "jhash", sreg: r, dreg: r, length: small, modulus: small },
      { kind: "jhash", sreg: r, dreg: r, length: 4, modulus: 7, seed: n, offset: small },
    ],
    symhash: [
      { kind: "symhash", dreg: r, modulus: small },
      { kind: "symhash", dreg: r, modulus: 2, offset: small },
    ],
    numgen: [
      { kind: "numgen", dreg: r, mode: "random", modulus: small },
      { kind: "numgen", dreg: r, mode: "inc", modulus: 3, offset: small },
    ],
    exthdr: [
      { kind: "exthdr", dreg: r, op: "ipv6", type: byte, offset: small, length: 2 },
      { kind: "exthdr", dreg: r, op: "tcp option", type: byte, offset: 0, length: 1, present: true },
    ],
    "exthdr set": [{ kind: "exthdr set", sreg: r, op: "tcp option", type: byte, offset: 2, length: 2 }],
    "exthdr reset": [{ kind: "exthdr reset", op: "tcp option", type: byte }],
    osf: [
      { kind: "osf", dreg: r, ttl: 1 },
      { kind: "osf", dreg: r, ttl: 2, version: true },
    ],
    tunnel: [
      { kind: "tunnel", dreg: r, key: "id" },
      { kind: "tunnel", dreg: r, key: "path", mode: "tx" },
    ],
    xfrm: [
      { kind: "xfrm", dreg: r, key: "reqid", direction: "in" },
      { kind: "xfrm", dreg: r, key: "saddr ip6", direction: "out", index: small },
    ],
    cmp: (["eq", "neq", "lt", "lte", "gt", "gte"] as const).map((op) => ({ kind: "cmp", sreg: r, op, data })),
    range: [{ kind: "range", sreg: r, op: "neq", from: data, to: data }],
    bitwise: [{ kind: "bitwise", sreg: r, dreg: r, length: small, mask: data, xor: data }],
    "bitwise shift": [{ kind: "bitwise shift", sreg: r, dreg: r, length: 4, direction: "right", bits: byte }],
    "bitwise op": [
      { kind: "bitwise op", op: "xor", sreg: r, dreg: r, length: 4, sreg2: r },
      { kind: "bitwise op", op: "and", sreg: r, dreg: r, length: 4, data },
    ],
    byteorder: [{ kind: "byteorder", sreg: r, dreg: r, op: "hton", length: small, size: 2 }],
    lookup: [
      { kind: "lookup", set: name, sreg: r },
      { kind: "lookup", set: name, sreg: r, dreg: 0 },
      { kind: "lookup", set: name, sreg: r, dreg: r, inverted: true, setId: n },
    ],
    dynset: [
      { kind: "dynset", set: name, op: "add", sreg: r },
      { kind: "dynset", set: name, op: "update", sreg: r, dataReg: r, timeout: small, inverted: true, setId: n },
      { kind: "dynset", set: name, op: "add", sreg: r, expressions: [{ kind: "counter", packets: n, bytes: n }] },
      {
        kind: "dynset",
        set: name,
        op: "add",
        sreg: r,
        inverted: true,
        expressions: [
          { kind: "connlimit", count: n },
          { kind: "last", set: false },
        ],
      },
    ],
    connlimit: [
      { kind: "connlimit", count: n },
      { kind: "connlimit", count: n, inverted: true },
    ],
    inner: [
      {
        kind: "inner",
        type: 1,
        flags: 15,
        headerSize: 8,
        expression: { kind: "payload", dreg: r, base: "network", offset: 16, length: 4 },
      },
    ],
    immediate: [{ kind: "immediate", dreg: r, data }],
    verdict: [
      { kind: "verdict", verdict: { kind: "accept" } },
      { kind: "verdict", verdict: { kind: "drop" } },
      { kind: "verdict", verdict: { kind: "continue" } },
      { kind: "verdict", verdict: { kind: "queue", queue: n & 0x7fff } },
      { kind: "verdict", verdict: { kind: "jump", chain: name } },
      { kind: "verdict", verdict: { kind: "goto", chain: name } },
    ],
    nat: [
      { kind: "nat", type: "dnat", family: "ip", addressMin: r, portMin: r },
      {
        kind: "nat",
        type: "snat",
        family: "ip6",
        addressMin: r,
        addressMax: r + 1,
        portMin: r,
        portMax: r + 1,
        flags: ["random", "netmap"],
      },
      { kind: "nat", type: "snat", family: "ip" },
    ],
    masq: [{ kind: "masq" }, { kind: "masq", flags: ["fully-random"] }, { kind: "masq", portMin: r, portMax: r + 1 }],
    redir: [{ kind: "redir" }, { kind: "redir", portMin: r, flags: ["persistent"] }],
    reject: [
      { kind: "reject", type: "tcp reset" },
      { kind: "reject", type: "icmpx", code: 1 },
    ],
    tproxy: [
      { kind: "tproxy", family: "ip", addressReg: r, portReg: r },
      { kind: "tproxy", family: "any", portReg: r },
    ],
    counter: [{ kind: "counter", packets: n, bytes: n * 1000 }],
    limit: [
      { kind: "limit", type: "packets", rate: n, unit: 3600, burst: small },
      { kind: "limit", type: "bytes", rate: n, unit: 1, inverted: true },
    ],
    quota: [
      { kind: "quota", bytes: n },
      { kind: "quota", bytes: n, inverted: true, consumed: small },
    ],
    last: [
      { kind: "last", set: true, msecs: n },
      { kind: "last", set: false },
    ],
    log: [
      { kind: "log", prefix: name, level: 4 },
      { kind: "log", group: small, snaplen: small, queueThreshold: small, flags: ["tcp seq", "skuid"] },
    ],
    queue: [
      { kind: "queue", number: small },
      { kind: "queue", sreg: r, total: 4, flags: ["bypass", "fanout"] },
    ],
    dup: [
      { kind: "dup", addressReg: r },
      { kind: "dup", addressReg: r, deviceReg: r },
    ],
    fwd: [
      { kind: "fwd", deviceReg: r },
      { kind: "fwd", deviceReg: r, addressReg: r, family: "ip6" },
    ],
    notrack: [{ kind: "notrack" }],
    synproxy: [{ kind: "synproxy", mss: small, wscale: 7, flags: ["mss", "timestamp"] }],
    objref: [{ kind: "objref", type: "ct helper", name }],
    "objref map": [{ kind: "objref map", sreg: r, set: name, setId: n }],
    "flow offload": [{ kind: "flow offload", flowtable: name }],
    match: [{ kind: "match", name, revision: 3, info: data }],
    target: [{ kind: "target", name, revision: 0, info: data }],
    unknown: [{ kind: "unknown", name: "from-the-future", data: Uint8Array.of(5, 0, 1, 0, byte, 0, 0, 0) }],
  };
}

const inputs = [
  fc.integer({ min: 8, max: 22 }),
  fc.nat(0xffff_ffff),
  fc.uint8Array({ minLength: 1, maxLength: 64 }),
  fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
] as const;

function encode(expressions: readonly Expression[]): Uint8Array {
  const writer = new NetlinkWriter();
  for (const expression of expressions) expressionCodec.encode(writer, 1, expression);
  return writer.toBytes();
}

test("every kind of expression is read as it was written", () => {
  fc.assert(
    fc.property(...inputs, (r, n, data, name) => {
      for (const [kind, list] of Object.entries(samples(r, n, data, name))) {
        assert.deepEqual(expressionCodec.decodeList(new AttributeReader(encode(list))), list, kind);
      }
    }),
    { numRuns: 100 },
  );
});

test("registers of 16 bytes are read as the words that they are", () => {
  // payload load 4b @ network header + 16 => reg 2, as the kernel writes it.
  const hex =
    "2c0001000c0001007061796c6f6164001c00028008000100000000020800020000000001080003000000001008000400" + "00000004";
  const bytes = Uint8Array.from(Buffer.from(hex.replace("2c00", "3400").replace("1c0002", "240002"), "hex"));
  assert.deepEqual(expressionCodec.decodeList(new AttributeReader(bytes)), [
    { kind: "payload", dreg: 12, base: "network", offset: 16, length: 4 },
  ]);
});

test("what the kernel adds by itself to translations is left out", () => {
  const writer = new NetlinkWriter();
  const nest = writer.beginNested(1);
  writer.attributeString(1, "nat");
  const data = writer.beginNested(2);
  const attributes = [
    [1, 1],
    [2, 2],
    [3, 1],
    [4, 1],
    [5, 9],
    [6, 9],
    [7, 3],
  ] as const;
  for (const [type, number] of attributes) writer.attributeU32BE(type, number);
  writer.endNested(data);
  writer.endNested(nest);
  assert.deepEqual(expressionCodec.decodeList(new AttributeReader(writer.toBytes())), [
    { kind: "nat", type: "dnat", family: "ip", addressMin: 8, portMin: 9 },
  ]);
});

test("an expression with anything unknown about it is unknown as a whole", () => {
  const writer = new NetlinkWriter();
  const nest = writer.beginNested(1);
  writer.attributeString(1, "masq");
  const data = writer.beginNested(2);
  writer.attributeU32BE(1, 4);
  writer.attributeU32BE(99, 1);
  writer.endNested(data);
  writer.endNested(nest);
  const [expression] = expressionCodec.decodeList(new AttributeReader(writer.toBytes()));
  assert.equal(expression?.kind, "unknown");
  assert.deepEqual(expressionCodec.decodeList(new AttributeReader(encode(expression ? [expression] : []))), [
    expression,
  ]);
});

test("an expression without a required field is refused", () => {
  const incomplete = { kind: "cmp", sreg: 8, op: "eq" } as unknown as Expression;
  assert.throws(() => encode([incomplete]), new RangeError("cmp expression without data"));
  const wrong = { kind: "meta", dreg: 8, key: "nonsense" } as unknown as Expression;
  assert.throws(() => encode([wrong]), RangeError);
});

test("changed bytes are read or refused, never more", () => {
  const changes = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(...inputs, changes, (r, n, data, name, edits) => {
      for (const list of Object.values(samples(r, n, data, name))) {
        const bytes = encode(list);
        for (const [at, byte] of edits) bytes[at % bytes.length] = byte;
        try {
          expressionCodec.decodeList(new AttributeReader(bytes));
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError, String(error));
        }
      }
    }),
    { numRuns: 100 },
  );
});
