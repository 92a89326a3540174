/** Every expression's attributes (`NFTA_*` of `linux/netfilter/nf_tables.h`), once for writing and reading. */
import type { ObjectType } from "../types.ts";
import { type CodecTable, ExpressionCodec } from "./codec.ts";
import type { Expression } from "./expression.ts";
import {
  addressFamily,
  bit,
  bytes,
  choice,
  choice8,
  choiceOrNone,
  type Field,
  flags,
  flags16,
  optional,
  register,
  text,
  u8,
  u16,
  u32,
  u64,
  value,
  verdict,
  withFallback,
} from "./fields.ts";
import { ctKeys, metaKeys } from "./load.ts";

const payloadBases = ["link", "network", "transport", "inner", "tunnel"] as const;
const directions = ["original", "reply"] as const;
const exthdrOps = ["ipv6", "tcp option", "ipv4 option", "sctp chunk", "dccp option"] as const;

/** Types of named objects in the kernel's order (`NFT_OBJECT_*`). */
export const objectTypes: Readonly<Record<ObjectType, number>> = {
  counter: 1,
  quota: 2,
  "ct helper": 3,
  limit: 4,
  connlimit: 5,
  tunnel: 6,
  "ct timeout": 7,
  secmark: 8,
  "ct expectation": 9,
  synproxy: 10,
};

const xfrmKeys = {
  "daddr ip": 1,
  "daddr ip6": 2,
  "saddr ip": 3,
  "saddr ip6": 4,
  reqid: 5,
  spi: 6,
} as const;
const fibFlags = { saddr: 1, daddr: 2, mark: 4, iif: 8, oif: 16, present: 32 } as const;

/** `NF_NAT_RANGE_*`; 1 (addresses given) and 2 (ports given) follow from the registers. */
const natFlags = { random: 4, persistent: 8, "fully-random": 16, "port-offset": 32, netmap: 64 } as const;
const impliedNatFlags = 3;

const logFlags = { "tcp seq": 1, "tcp options": 2, "ip options": 4, skuid: 8, nflog: 16, mac: 32 } as const;
const synproxyFlags = { mss: 1, wscale: 2, sack: 4, timestamp: 8 } as const;

/** A range whose ends are equal is one value: the kernel writes it twice. */
function single<E extends { readonly [K in "addressMax" | "addressMin" | "portMax" | "portMin"]?: number }>(nat: E): E {
  const { addressMax, portMax, ...rest } = nat;
  return {
    ...rest,
    ...(addressMax !== undefined && addressMax !== nat.addressMin ? { addressMax } : {}),
    ...(portMax !== undefined && portMax !== nat.portMin ? { portMax } : {}),
  } as E;
}

/** The number of bits of a shift: a register value in host byte order. */
const shiftBits: Field<number> = {
  attribute: 7,
  write: (writer, attribute, bits) => value(7).write(writer, attribute, Uint8Array.of(bits, 0, 0, 0), {}),
  read: (a) => value(7).read(a)?.[0],
};

/** Several expressions, or one, for each element that the rule adds. */
const dynsetExpressions: Field<readonly Expression[]> = {
  attribute: 10,
  alsoRead: [7],
  write: (writer, attribute, expressions, whole) => {
    const [first] = expressions;
    if (expressions.length === 1 && first !== undefined) {
      expressionCodec.encode(writer, 7, first);
      return;
    }
    // The kernel demands the flag for lists; of two attributes of a number it takes the last.
    writer.attributeU32BE(9, 2 | ("inverted" in whole && whole.inverted ? 1 : 0));
    expressionCodec.encodeList(writer, attribute, expressions);
  },
  read: (a) => (a.type === 7 ? [expressionCodec.decode(a.nested())] : expressionCodec.decodeList(a.nested())),
};

const innerExpression: Field<Expression> = {
  attribute: 5,
  write: (writer, attribute, expression) => expressionCodec.encode(writer, attribute, expression),
  read: (a) => expressionCodec.decode(a.nested()),
};

const table: CodecTable = {
  payload: {
    name: "payload",
    fields: { dreg: register(1), base: choice(2, payloadBases), offset: u32(3), length: u32(4) },
  },
  "payload set": {
    name: "payload",
    fields: {
      sreg: register(5),
      base: choice(2, payloadBases),
      offset: u32(3),
      length: u32(4),
      checksum: choiceOrNone(6, { inet: 1, sctp: 2 }),
      checksumOffset: optional(u32(7), 0),
      pseudoHeader: optional(bit(8, 1), false),
    },
  },
  meta: { name: "meta", fields: { key: choice(2, metaKeys), dreg: register(1) } },
  "meta set": { name: "meta", fields: { key: choice(2, metaKeys), sreg: register(3) } },
  ct: {
    name: "ct",
    fields: { key: choice(2, ctKeys), dreg: register(1), direction: optional(choice8(3, directions)) },
  },
  "ct set": {
    name: "ct",
    fields: { key: choice(2, ctKeys), sreg: register(4), direction: optional(choice8(3, directions)) },
  },
  rt: {
    name: "rt",
    fields: { key: choice(2, ["classid", "nexthop ip", "nexthop ip6", "mtu", "ipsec"]), dreg: register(1) },
  },
  socket: {
    name: "socket",
    fields: {
      key: choice(1, ["transparent", "mark", "wildcard", "cgroupv2"]),
      dreg: register(2),
      level: optional(u32(3)),
    },
  },
  fib: {
    name: "fib",
    fields: { dreg: register(1), result: choice(2, { oif: 1, oifname: 2, type: 3 }), flags: flags(3, fibFlags) },
  },
  jhash: {
    name: "hash",
    fields: {
      sreg: register(1),
      dreg: register(2),
      length: u32(3),
      modulus: u32(4),
      seed: optional(u32(5)),
      offset: optional(u32(6), 0),
    },
    fixed: { 7: 0 },
  },
  symhash: {
    name: "hash",
    fields: { dreg: register(2), modulus: u32(4), offset: optional(u32(6), 0) },
    fixed: { 7: 1 },
  },
  numgen: {
    name: "numgen",
    fields: { dreg: register(1), modulus: u32(2), mode: choice(3, ["inc", "random"]), offset: optional(u32(4), 0) },
  },
  exthdr: {
    name: "exthdr",
    fields: {
      dreg: register(1),
      type: u8(2),
      offset: u32(3),
      length: u32(4),
      present: optional(bit(5, 1), false),
      op: withFallback(choice(6, exthdrOps), "ipv6"),
    },
  },
  "exthdr set": {
    name: "exthdr",
    fields: { sreg: register(7), type: u8(2), offset: u32(3), length: u32(4), op: choice(6, exthdrOps) },
    padding: [5],
  },
  "exthdr reset": { name: "exthdr", fields: { type: u8(2), op: choice(6, exthdrOps) }, padding: [3, 4, 5] },
  osf: { name: "osf", fields: { dreg: register(1), ttl: u8(2), version: optional(bit(3, 1), false) } },
  tunnel: {
    name: "tunnel",
    fields: {
      key: choice(1, ["path", "id"]),
      dreg: register(2),
      mode: choiceOrNone(3, { rx: 1, tx: 2 }),
    },
  },
  xfrm: {
    name: "xfrm",
    fields: {
      dreg: register(1),
      key: choice(2, xfrmKeys),
      direction: choice8(3, ["in", "out"]),
      index: optional(u32(4), 0),
    },
  },

  cmp: {
    name: "cmp",
    fields: { sreg: register(1), op: choice(2, ["eq", "neq", "lt", "lte", "gt", "gte"]), data: value(3) },
  },
  range: { name: "range", fields: { sreg: register(1), op: choice(2, ["eq", "neq"]), from: value(3), to: value(4) } },
  bitwise: {
    name: "bitwise",
    fields: { sreg: register(1), dreg: register(2), length: u32(3), mask: value(4), xor: value(5) },
    // Attribute 6 is the operation: 0, mask and xor.
    fixed: { 6: 0 },
  },
  "bitwise shift": {
    name: "bitwise",
    fields: {
      sreg: register(1),
      dreg: register(2),
      length: u32(3),
      direction: choice(6, { left: 1, right: 2 }),
      bits: shiftBits,
    },
  },
  "bitwise op": {
    name: "bitwise",
    fields: {
      sreg: register(1),
      dreg: register(2),
      length: u32(3),
      op: choice(6, { and: 3, or: 4, xor: 5 }),
      data: optional(value(7)),
      sreg2: optional(register(8)),
    },
  },
  byteorder: {
    name: "byteorder",
    fields: {
      sreg: register(1),
      dreg: register(2),
      op: choice(3, ["ntoh", "hton"]),
      length: u32(4),
      size: u32(5),
    },
  },
  lookup: {
    name: "lookup",
    fields: {
      set: text(1),
      sreg: register(2),
      dreg: optional(register(3)),
      setId: optional(u32(4)),
      inverted: optional(bit(5, 1), false),
    },
  },
  dynset: {
    name: "dynset",
    fields: {
      set: text(1),
      setId: optional(u32(2)),
      op: choice(3, ["add", "update", "delete"]),
      sreg: register(4),
      dataReg: optional(register(5)),
      timeout: optional(u64(6), 0),
      inverted: optional(bit(9, 1, 2), false),
      expressions: optional(dynsetExpressions),
    },
    padding: [8],
  },
  connlimit: { name: "connlimit", fields: { count: u32(1), inverted: optional(bit(2, 1), false) } },
  inner: {
    name: "inner",
    fields: { type: u32(2), flags: u32(3), headerSize: u32(4), expression: innerExpression },
    // The number of headers: always 1.
    fixed: { 1: 0 },
  },

  immediate: { name: "immediate", fields: { dreg: register(1), data: value(2) } },
  verdict: { name: "immediate", fields: { verdict: verdict(2) }, fixed: { 1: 0 } },
  nat: {
    name: "nat",
    fields: {
      type: choice(1, ["snat", "dnat"]),
      family: addressFamily(2),
      addressMin: optional(register(3)),
      addressMax: optional(register(4)),
      portMin: optional(register(5)),
      portMax: optional(register(6)),
      flags: optional(flags(7, natFlags, impliedNatFlags)),
    },
    normalize: single,
  },
  masq: {
    name: "masq",
    fields: {
      flags: optional(flags(1, natFlags, impliedNatFlags)),
      portMin: optional(register(2)),
      portMax: optional(register(3)),
    },
    normalize: single,
  },
  redir: {
    name: "redir",
    fields: {
      portMin: optional(register(1)),
      portMax: optional(register(2)),
      flags: optional(flags(3, natFlags, impliedNatFlags)),
    },
    normalize: single,
  },
  reject: {
    name: "reject",
    fields: { type: choice(1, ["icmp", "tcp reset", "icmpx"]), code: optional(u8(2)) },
  },
  tproxy: {
    name: "tproxy",
    fields: {
      family: choice(1, { any: 0, ip: 2, ip6: 10 }),
      addressReg: optional(register(2)),
      portReg: optional(register(3)),
    },
  },
  counter: { name: "counter", fields: { bytes: u64(1), packets: u64(2) }, padding: [3] },
  limit: {
    name: "limit",
    fields: {
      rate: u64(1),
      unit: u64(2),
      burst: optional(u32(3), 0),
      type: withFallback(choice(4, ["packets", "bytes"]), "packets"),
      inverted: optional(bit(5, 1), false),
    },
    padding: [6],
  },
  quota: {
    name: "quota",
    // Bit 2 says that it is used up.
    fields: { bytes: u64(1), inverted: optional(bit(2, 1, 2), false), consumed: optional(u64(4), 0) },
    padding: [3],
  },
  last: { name: "last", fields: { set: withFallback(bit(1, 1), false), msecs: optional(u64(2)) }, padding: [3] },
  log: {
    name: "log",
    fields: {
      group: optional(u16(1)),
      prefix: optional(text(2)),
      snaplen: optional(u32(3), 0),
      queueThreshold: optional(u16(4), 0),
      level: optional(u32(5)),
      flags: optional(flags(6, logFlags)),
    },
  },
  queue: {
    name: "queue",
    fields: {
      number: optional(u16(1)),
      total: optional(u16(2), 1),
      flags: optional(flags16(3, { bypass: 1, fanout: 2 })),
      sreg: optional(register(4)),
    },
  },
  dup: { name: "dup", fields: { addressReg: optional(register(1)), deviceReg: optional(register(2)) } },
  fwd: {
    name: "fwd",
    fields: { deviceReg: register(1), addressReg: optional(register(2)), family: optional(addressFamily(3)) },
  },
  notrack: { name: "notrack", fields: {} },
  synproxy: {
    name: "synproxy",
    fields: { mss: u16(1), wscale: u8(2), flags: optional(flags(3, synproxyFlags)) },
  },
  objref: { name: "objref", fields: { type: choice(1, objectTypes), name: text(2) } },
  "objref map": { name: "objref", fields: { sreg: register(3), set: text(4), setId: optional(u32(5)) } },
  "flow offload": { name: "flow_offload", fields: { flowtable: text(1) } },
  match: { name: "match", fields: { name: text(1), revision: u32(2), info: bytes(3) } },
  target: { name: "target", fields: { name: text(1), revision: u32(2), info: bytes(3) } },
};

/** Writes and reads expressions. */
export const expressionCodec = new ExpressionCodec(table);
