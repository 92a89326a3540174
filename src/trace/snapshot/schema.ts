/** The fields of a snapshot, for reading one that somebody else may have written. */

import { setTypes } from "../../kernel/ipset/index.ts";
import { ctKeys, metaKeys } from "../../kernel/nftables/index.ts";
import {
  address,
  byKind,
  bytes,
  type Fields,
  flag,
  list,
  maybe,
  object,
  oneOf,
  prefix,
  record,
  type Shape,
  text,
  whole,
} from "./shape.ts";
import { schemaVersion } from "./types.ts";

const u8 = whole(0, 255);
const u16 = whole(0, 65_535);
const u32 = whole(0, 0xffff_ffff);
const count = whole();
const family = oneOf("IPv4", "IPv6");
const name = text(256);
const register = whole(8, 23);
const data = bytes(64);
const million = 1_000_000;

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
const verdict = byKind({
  ...Object.fromEntries(verdictKinds.map((kind) => [kind, {}])),
  queue: { queue: u16 },
  jump: { chain: name },
  goto: { chain: name },
});
const objectType = oneOf(
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

/** Expressions hold expressions: looked up when a value is read. */
const expression: Shape = (value, path) => anyExpression(value, path);

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

const table = { family: oneOf("inet", "ip", "ip6", "arp", "bridge", "netdev"), table: name };
const given = { handle: maybe(count), use: maybe(count) };
const layout = object({
  type: u32,
  length: whole(0, 64),
  fields: maybe(list(whole(1, 64), 16)),
  byteOrder: maybe(oneOf("host")),
  typeOf: maybe(bytes(65_536)),
});
const setFlags = oneOf(
  "anonymous",
  "constant",
  "interval",
  "map",
  "timeout",
  "dynamic",
  "object",
  "concat",
  "expressions",
);
const element = object({
  key: data,
  keyEnd: maybe(data),
  intervalEnd: maybe(flag),
  catchAll: maybe(flag),
  data: maybe(data),
  verdict: maybe(verdict),
  object: maybe(name),
  timeout: maybe(count),
  expiration: maybe(count),
  expressions: maybe(list(expression, 16)),
  comment: maybe(name),
});

const nftables = object({
  generation: u32,
  consistent: flag,
  tables: list(
    object({ ...table, flags: maybe(list(oneOf("dormant", "owner", "persist"), 3)), comment: maybe(name), ...given }),
  ),
  chains: list(
    object({
      ...table,
      chain: name,
      base: maybe(
        object({
          type: oneOf("filter", "nat", "route"),
          hook: oneOf("prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"),
          priority: whole(-0x8000_0000, 0x7fff_ffff),
          policy: maybe(oneOf("accept", "drop")),
          devices: maybe(list(name, 1024)),
        }),
      ),
      comment: maybe(name),
      flags: maybe(list(oneOf("offload", "binding"), 2)),
      ...given,
    }),
    million,
  ),
  rules: list(
    object({
      ...table,
      chain: name,
      expressions: list(expression, 256),
      comment: maybe(name),
      userdata: maybe(bytes(65_536)),
      compat: maybe(object({ protocol: u32, flags: u32 })),
      handle: maybe(count),
    }),
    million,
  ),
  sets: list(
    object({
      ...table,
      set: name,
      flags: maybe(list(setFlags, 16)),
      key: layout,
      data: maybe(byKind({ value: { layout, interval: maybe(flag) }, verdict: {}, object: { type: objectType } })),
      size: maybe(u32),
      timeout: maybe(count),
      gcInterval: maybe(count),
      policy: maybe(oneOf("performance", "memory")),
      expressions: maybe(list(expression, 16)),
      comment: maybe(name),
      autoMerge: maybe(flag),
      userdata: maybe(bytes(65_536)),
      handle: maybe(count),
      elements: list(element, 4 * million),
    }),
  ),
  objects: list(object({ ...table, name, type: objectType, state: expression, comment: maybe(name), ...given })),
});

const mac = text(100);
const state = oneOf("incomplete", "reachable", "stale", "delay", "probe", "failed", "noArp", "permanent", "none");
const link = object({
  index: u32,
  name,
  kind: maybe(name),
  hardware: u16,
  loopback: flag,
  up: flag,
  running: flag,
  noArp: flag,
  promiscuous: maybe(flag),
  operState: oneOf("unknown", "notPresent", "down", "lowerLayerDown", "testing", "dormant", "up"),
  mtu: u32,
  mac: maybe(mac),
  master: maybe(u32),
  link: maybe(u32),
  linkNamespace: maybe(whole(-0x8000_0000, 0x7fff_ffff)),
  alias: maybe(name),
  details: maybe(
    byKind({
      vxlan: { id: u32, port: u16, local: maybe(address), group: maybe(address), device: maybe(u32), learning: flag },
      bridge: { stp: flag, vlanFiltering: flag },
      vlan: { id: u16 },
    }),
  ),
  port: maybe(object({ state: u8, hairpin: flag, learning: flag, flood: flag })),
});
const interfaceAddress = object({
  interface: u32,
  address,
  prefixLength: whole(0, 128),
  peer: maybe(address),
  broadcast: maybe(address),
  label: maybe(name),
  scope: u8,
  secondary: flag,
  tentative: flag,
  duplicate: flag,
  deprecated: flag,
  permanent: flag,
});
const range = object({ first: u32, last: u32 });
const policyRule = object({
  family,
  priority: u32,
  action: byKind({
    lookup: { table: u32 },
    goto: { priority: u32 },
    nop: {},
    blackhole: {},
    unreachable: {},
    prohibit: {},
  }),
  invert: flag,
  source: maybe(prefix),
  destination: maybe(prefix),
  inInterface: maybe(name),
  outInterface: maybe(name),
  mark: maybe(object({ value: u32, mask: u32 })),
  tos: maybe(u8),
  protocol: maybe(u8),
  sourcePorts: maybe(range),
  destinationPorts: maybe(range),
  users: maybe(range),
  suppressPrefixLength: maybe(whole(-1, 0xffff_ffff)),
  vrf: flag,
});
const route = object({
  type: oneOf("unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw"),
  destination: prefix,
  source: maybe(prefix),
  table: u32,
  protocol: u8,
  scope: u8,
  priority: u32,
  tos: u8,
  preferredSource: maybe(address),
  mtu: maybe(u32),
  nextHops: list(
    object({
      interface: maybe(u32),
      gateway: maybe(address),
      weight: whole(1, 256),
      onLink: flag,
      dead: flag,
      linkDown: flag,
    }),
    4096,
  ),
  nextHopObject: maybe(u32),
});
const tuple = object({
  source: address,
  destination: address,
  protocol: u8,
  sourcePort: maybe(u16),
  destinationPort: maybe(u16),
  icmp: maybe(object({ type: u8, code: u8, id: u16 })),
});
const counters = object({ packets: count, bytes: count });
const setEntry: Shape = (() => {
  const addressAndPort = { address, protocol: oneOf("TCP", "UDP", "SCTP"), port: u16 };
  const shapes: Readonly<Record<string, Fields>> = {
    "hash:ip": { address },
    "hash:ip,port": addressAndPort,
    "hash:ip,port,ip": { second: address, ...addressAndPort },
    "hash:ip,port,net": { prefix, ...addressAndPort },
    "bitmap:port": { port: u16 },
    "list:set": { name },
  };
  const known = new Map(
    Object.entries(shapes).map(([type, fields]) => [type, object({ type: oneOf(type), ...fields })]),
  );
  const typed = object({ type: oneOf(...setTypes) });
  return (value, path) => {
    const type = typeof value === "object" && value !== null && "type" in value ? String(value.type) : "";
    return (known.get(type) ?? typed)(value, path);
  };
})();

/** A snapshot. */
export const snapshotShape: Shape = object({
  schemaVersion: whole(schemaVersion, schemaVersion),
  name,
  time: text(64),
  kernel: text(256),
  links: list(link),
  addresses: list(interfaceAddress, million),
  neighbours: list(object({ interface: u32, address, mac: maybe(mac), state, router: flag }), million),
  fdb: list(
    object({
      interface: u32,
      mac,
      bridge: maybe(u32),
      destination: maybe(address),
      port: maybe(u16),
      vni: maybe(u32),
      vlan: maybe(u16),
      state,
      externallyLearned: flag,
    }),
    million,
  ),
  rules: list(policyRule),
  routes: list(route, 4 * million),
  sysctls: record(text(4096)),
  nftables,
  iptables: list(
    object({
      family,
      name: oneOf("raw", "mangle", "nat", "filter", "security"),
      chains: list(object({ name, policy: maybe(text(64)), rules: list(text(65_536), million) }), million),
    }),
    10,
  ),
  ipsets: list(object({ name, type: oneOf(...setTypes), family, entries: list(setEntry, million) })),
  conntrack: list(
    object({
      family,
      original: tuple,
      reply: tuple,
      status: u32,
      timeout: count,
      mark: u32,
      zone: u16,
      id: u32,
      tcpState: maybe(
        oneOf(
          "none",
          "synSent",
          "synReceived",
          "established",
          "finWait",
          "closeWait",
          "lastAck",
          "timeWait",
          "close",
          "synSent2",
        ),
      ),
      helper: maybe(name),
      counters: maybe(object({ original: counters, reply: counters })),
    }),
    4 * million,
  ),
  sockets: list(
    object({ protocol: oneOf("TCP", "UDP"), address, port: u16, interface: maybe(u32), onlyIPv6: maybe(flag) }),
    million,
  ),
  missing: list(text(4096), 100),
});
