/** Expressions that load something about the packet into a register, or store a register into it. */
import type { Register } from "./register.ts";

/** Which header an offset counts from. `tunnel`: the tunnel header, inside an `inner` expression. */
export type PayloadBase = "link" | "network" | "transport" | "inner" | "tunnel";

/** Loads bytes of the packet. */
export interface Payload {
  readonly kind: "payload";
  readonly dreg: Register;
  readonly base: PayloadBase;
  /** In bytes from the start of the base header. */
  readonly offset: number;
  /** In bytes, at most 64. */
  readonly length: number;
}

/** Overwrites bytes of the packet, and corrects a checksum. */
export interface PayloadSet {
  readonly kind: "payload set";
  readonly sreg: Register;
  readonly base: PayloadBase;
  readonly offset: number;
  readonly length: number;
  /** The checksum to correct; absent: none. */
  readonly checksum?: "inet" | "sctp";
  /** Where the checksum is, in bytes from the base header. */
  readonly checksumOffset?: number;
  /** True if the bytes are part of the pseudo header, so that the transport's checksum changes too. */
  readonly pseudoHeader?: boolean;
}

/** Facts about the packet that are not in it, in the order of `enum nft_meta_keys`. */
export const metaKeys = [
  "len",
  "protocol",
  "priority",
  "mark",
  "iif",
  "oif",
  "iifname",
  "oifname",
  "iiftype",
  "oiftype",
  "skuid",
  "skgid",
  "nftrace",
  "rtclassid",
  "secmark",
  "nfproto",
  "l4proto",
  "ibrname",
  "obrname",
  "pkttype",
  "cpu",
  "iifgroup",
  "oifgroup",
  "cgroup",
  "random",
  "ipsec",
  "iifkind",
  "oifkind",
  "ibrpvid",
  "ibrvproto",
  "time",
  "day",
  "hour",
  "sdif",
  "sdifname",
  "broute",
  "ibrhwaddr",
] as const;

/** One of {@link metaKeys}. */
export type MetaKey = (typeof metaKeys)[number];

/** Loads a fact about the packet. Numbers are in host byte order, except `protocol`; names have 16 bytes. */
export interface Meta {
  readonly kind: "meta";
  readonly dreg: Register;
  readonly key: MetaKey;
}

/** Sets a fact about the packet: `mark`, `priority`, `nftrace`, `pkttype`, `secmark`, `broute`. */
export interface MetaSet {
  readonly kind: "meta set";
  readonly sreg: Register;
  readonly key: MetaKey;
}

/** Facts about the packet's connection, in the order of `enum nft_ct_keys`. */
export const ctKeys = [
  "state",
  "direction",
  "status",
  "mark",
  "secmark",
  "expiration",
  "helper",
  "l3proto",
  "saddr",
  "daddr",
  "protocol",
  "proto-src",
  "proto-dst",
  "label",
  "packets",
  "bytes",
  "avgpkt",
  "zone",
  "event",
  "saddr ip",
  "daddr ip",
  "saddr ip6",
  "daddr ip6",
  "id",
] as const;

/** One of {@link ctKeys}. */
export type CtKey = (typeof ctKeys)[number];

/** Loads a fact about the connection; for its addresses, ports and counters in one direction or the sum of both. */
export interface Ct {
  readonly kind: "ct";
  readonly dreg: Register;
  readonly key: CtKey;
  readonly direction?: "original" | "reply";
}

/** Sets a fact about the connection: `mark`, `zone`, `label`, `event`, `secmark`. */
export interface CtSet {
  readonly kind: "ct set";
  readonly sreg: Register;
  readonly key: CtKey;
  readonly direction?: "original" | "reply";
}

/** Loads a fact about the packet's route. */
export interface Rt {
  readonly kind: "rt";
  readonly dreg: Register;
  readonly key: "classid" | "nexthop ip" | "nexthop ip6" | "mtu" | "ipsec";
}

/** Loads a fact about the local socket that would receive the packet. */
export interface Socket {
  readonly kind: "socket";
  readonly dreg: Register;
  readonly key: "transparent" | "mark" | "wildcard" | "cgroupv2";
  /** For `cgroupv2`: the level in the hierarchy. */
  readonly level?: number;
}

/** What a routing look-up takes into account; `present`: give 1 if there is a result, 0 otherwise. */
export type FibFlag = "saddr" | "daddr" | "mark" | "iif" | "oif" | "present";

/** Looks an address up in the routing tables: the interface's index or name, or the address type (`RTN_*`). */
export interface Fib {
  readonly kind: "fib";
  readonly dreg: Register;
  readonly result: "oif" | "oifname" | "type";
  readonly flags: readonly FibFlag[];
}

/** Jenkins' hash of registers, `offset` + hash modulo `modulus`, in host byte order. */
export interface JHash {
  readonly kind: "jhash";
  readonly sreg: Register;
  readonly dreg: Register;
  /** How many bytes are hashed. */
  readonly length: number;
  readonly modulus: number;
  /** Absent: the kernel chooses one. */
  readonly seed?: number;
  readonly offset?: number;
}

/** The connection's hash, which is the same in both directions, `offset` + hash modulo `modulus`. */
export interface SymHash {
  readonly kind: "symhash";
  readonly dreg: Register;
  readonly modulus: number;
  readonly offset?: number;
}

/** A number from `offset` to before `offset + modulus`: at random, or one after the other; in host byte order. */
export interface Numgen {
  readonly kind: "numgen";
  readonly dreg: Register;
  readonly mode: "inc" | "random";
  readonly modulus: number;
  readonly offset?: number;
}

/** Where extension headers and options are. */
export type ExthdrOp = "ipv6" | "tcp option" | "ipv4 option" | "sctp chunk" | "dccp option";

/** Loads bytes of an extension header or option, or (`present`) 1 if it is there and 0 if not. */
export interface Exthdr {
  readonly kind: "exthdr";
  readonly dreg: Register;
  readonly op: ExthdrOp;
  /** The header's or option's number. */
  readonly type: number;
  readonly offset: number;
  readonly length: number;
  readonly present?: boolean;
}

/** Overwrites bytes of a TCP option. */
export interface ExthdrSet {
  readonly kind: "exthdr set";
  readonly sreg: Register;
  readonly op: ExthdrOp;
  readonly type: number;
  readonly offset: number;
  readonly length: number;
}

/** Removes a TCP option, by overwriting it with no-operations. */
export interface ExthdrReset {
  readonly kind: "exthdr reset";
  readonly op: ExthdrOp;
  readonly type: number;
}

/** Loads the name of the sender's operating system as its SYN suggests it. */
export interface Osf {
  readonly kind: "osf";
  readonly dreg: Register;
  /** How strictly the TTL counts: 0 strict, 1 loose, 2 not at all. */
  readonly ttl: number;
  /** True to load name and version. */
  readonly version?: boolean;
}

/** Loads a fact about the tunnel that the packet came through. */
export interface Tunnel {
  readonly kind: "tunnel";
  readonly dreg: Register;
  readonly key: "path" | "id";
  readonly mode?: "rx" | "tx";
}

/** Loads a fact about the packet's IPsec state. */
export interface Xfrm {
  readonly kind: "xfrm";
  readonly dreg: Register;
  readonly key: "daddr ip" | "daddr ip6" | "saddr ip" | "saddr ip6" | "reqid" | "spi";
  readonly direction: "in" | "out";
  /** Which of several states. */
  readonly index?: number;
}

/** All of them. */
export type LoadExpression =
  | Payload
  | PayloadSet
  | Meta
  | MetaSet
  | Ct
  | CtSet
  | Rt
  | Socket
  | Fib
  | JHash
  | SymHash
  | Numgen
  | Exthdr
  | ExthdrSet
  | ExthdrReset
  | Osf
  | Tunnel
  | Xfrm;
