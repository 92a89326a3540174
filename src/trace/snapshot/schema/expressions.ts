/** The expressions of nf_tables rules. */
import { ctKeys, metaKeys } from "../../../kernel/nftables/index.ts";
import { byKind, bytes, type Fields, flag, list, maybe, oneOf, type Shape, whole } from "../shape.ts";
import { count, name, u8, u16, u32 } from "./values.ts";

const register = whole(8, 23);
/** A key or a value. */
export const data = bytes(64);

const payload = {
  base: oneOf("link", "network", "transport", "inner", "tunnel"),
  offset: u32,
  length: whole(1, 64),
};
const direction = maybe(oneOf("original", "reply"));
const natFlags = maybe(list(oneOf("random", "persistent", "fully-random", "port-offset", "netmap"), 8));
const ports = { portMin: maybe(register), portMax: maybe(register) };
const exthdr = {
  op: oneOf("ipv6", "tcp option", "ipv4 option", "sctp chunk", "dccp option"),
  type: u8,
};
const verdictKinds = ["accept", "drop", "return", "continue", "break", "stolen", "repeat", "stop"];
/** What a rule or an element says. */
export const verdict = byKind({
  ...Object.fromEntries(verdictKinds.map((kind) => [kind, {}])),
  queue: { queue: u16 },
  jump: { chain: name },
  goto: { chain: name },
});
/** What a named object is. */
export const objectType = oneOf(
  "counter",
  "quota",
  "ct helper",
  "limit",
  "connlimit",
  "tunnel",
  "ct timeout",
  "secmark",
  "ct expectation",
  "synproxy",
);

/** An expression. Expressions hold expressions: looked up when a value is read. */
export const expression: Shape = (value, path) => anyExpression(value, path);

const compute = { sreg: register, dreg: register, length: whole(1, 64) };
const kinds: Readonly<Record<string, Fields>> = {
  payload: { dreg: register, ...payload },
  "payload set": {
    sreg: register,
    ...payload,
    checksum: maybe(oneOf("inet", "sctp")),
    checksumOffset: maybe(u32),
    pseudoHeader: maybe(flag),
  },
  meta: { dreg: register, key: oneOf(...metaKeys) },
  "meta set": { sreg: register, key: oneOf(...metaKeys) },
  ct: { dreg: register, key: oneOf(...ctKeys), direction },
  "ct set": { sreg: register, key: oneOf(...ctKeys), direction },
  rt: { dreg: register, key: oneOf("classid", "nexthop ip", "nexthop ip6", "mtu", "ipsec") },
  socket: { dreg: register, key: oneOf("transparent", "mark", "wildcard", "cgroupv2"), level: maybe(u32) },
  fib: {
    dreg: register,
    result: oneOf("oif", "oifname", "type"),
    flags: list(oneOf("saddr", "daddr", "mark", "iif", "oif", "present"), 6),
  },
  jhash: { sreg: register, dreg: register, length: u32, modulus: u32, seed: maybe(u32), offset: maybe(u32) },
  symhash: { dreg: register, modulus: u32, offset: maybe(u32) },
  numgen: { dreg: register, mode: oneOf("inc", "random"), modulus: u32, offset: maybe(u32) },
  exthdr: { dreg: register, ...exthdr, offset: u32, length: u32, present: maybe(flag) },
  "exthdr set": { sreg: register, ...exthdr, offset: u32, length: u32 },
  "exthdr reset": exthdr,
  osf: { dreg: register, ttl: u8, version: maybe(flag) },
  tunnel: { dreg: register, key: oneOf("path", "id"), mode: maybe(oneOf("rx", "tx")) },
  xfrm: {
    dreg: register,
    key: oneOf("daddr ip", "daddr ip6", "saddr ip", "saddr ip6", "reqid", "spi"),
    direction: oneOf("in", "out"),
    index: maybe(u32),
  },
  cmp: { sreg: register, op: oneOf("eq", "neq", "lt", "lte", "gt", "gte"), data },
  range: { sreg: register, op: oneOf("eq", "neq"), from: data, to: data },
  bitwise: { ...compute, mask: data, xor: data },
  "bitwise shift": { ...compute, direction: oneOf("left", "right"), bits: u32 },
  "bitwise op": { ...compute, op: oneOf("and", "or", "xor"), sreg2: maybe(register), data: maybe(data) },
  byteorder: { ...compute, op: oneOf("ntoh", "hton"), size: whole(1, 8) },
  lookup: { set: name, sreg: register, dreg: maybe(whole(0, 23)), inverted: maybe(flag) },
  dynset: {
    set: name,
    op: oneOf("add", "update", "delete"),
    sreg: register,
    dataReg: maybe(register),
    timeout: maybe(count),
    inverted: maybe(flag),
    expressions: maybe(list(expression, 16)),
  },
  connlimit: { count: u32, inverted: maybe(flag) },
  inner: { type: u32, flags: u32, headerSize: u32, expression },
  immediate: { dreg: register, data },
  verdict: { verdict },
  nat: {
    type: oneOf("snat", "dnat"),
    family: oneOf("ip", "ip6"),
    addressMin: maybe(register),
    addressMax: maybe(register),
    ...ports,
    flags: natFlags,
  },
  masq: { ...ports, flags: natFlags },
  redir: { ...ports, flags: natFlags },
  reject: { type: oneOf("icmp", "tcp reset", "icmpx"), code: maybe(u8) },
  tproxy: { family: oneOf("ip", "ip6", "any"), addressReg: maybe(register), portReg: maybe(register) },
  counter: { packets: count, bytes: count },
  limit: { type: oneOf("packets", "bytes"), rate: count, unit: count, burst: maybe(u32), inverted: maybe(flag) },
  quota: { bytes: count, consumed: maybe(count), inverted: maybe(flag) },
  last: { set: flag, msecs: maybe(count) },
  log: {
    prefix: maybe(name),
    level: maybe(u8),
    flags: maybe(list(oneOf("tcp seq", "tcp options", "ip options", "skuid", "nflog", "mac"), 6)),
    group: maybe(u16),
    snaplen: maybe(u32),
    queueThreshold: maybe(u16),
  },
  queue: {
    number: maybe(u16),
    sreg: maybe(register),
    total: maybe(u16),
    flags: maybe(list(oneOf("bypass", "fanout"), 2)),
  },
  dup: { addressReg: maybe(register), deviceReg: maybe(register) },
  fwd: { deviceReg: register, addressReg: maybe(register), family: maybe(oneOf("ip", "ip6")) },
  notrack: {},
  synproxy: { mss: u16, wscale: u8, flags: maybe(list(oneOf("mss", "wscale", "sack", "timestamp"), 4)) },
  objref: { type: objectType, name },
  "objref map": { sreg: register, set: name },
  "flow offload": { flowtable: name },
  match: { name, revision: u32, info: bytes(65_536) },
  target: { name, revision: u32, info: bytes(65_536) },
  unknown: { name, data: bytes(65_536) },
};
const anyExpression = byKind(kinds);
