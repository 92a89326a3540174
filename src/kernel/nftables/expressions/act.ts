/** Expressions that do something to the packet or its connection, decide, count or report. */
import type { ObjectType, Verdict } from "../types.ts";
import type { Register } from "./register.ts";

/** Puts a constant into a register. */
export interface Immediate {
  readonly kind: "immediate";
  readonly dreg: Register;
  readonly data: Uint8Array;
}

/** Decides. */
export interface VerdictExpression {
  readonly kind: "verdict";
  readonly verdict: Verdict;
}

/** How a translated port or address is chosen. */
export type NatFlag = "random" | "persistent" | "fully-random" | "port-offset" | "netmap";

/** Translates the source or destination of the connection. */
export interface Nat {
  readonly kind: "nat";
  readonly type: "snat" | "dnat";
  readonly family: "ip" | "ip6";
  /** The register of the new address, or of the first of a range. */
  readonly addressMin?: Register;
  /** The register of the last address of a range. */
  readonly addressMax?: Register;
  /** The register of the new port (two bytes in network order), or of the first of a range. */
  readonly portMin?: Register;
  readonly portMax?: Register;
  readonly flags?: readonly NatFlag[];
}

/** Translates the source to an address of the outgoing interface. */
export interface Masq {
  readonly kind: "masq";
  readonly portMin?: Register;
  readonly portMax?: Register;
  readonly flags?: readonly NatFlag[];
}

/** Translates the destination to an address of this machine. */
export interface Redir {
  readonly kind: "redir";
  readonly portMin?: Register;
  readonly portMax?: Register;
  readonly flags?: readonly NatFlag[];
}

/** Drops the packet and answers with an error. */
export interface Reject {
  readonly kind: "reject";
  /** `icmpx`: an ICMP or ICMPv6 error, as the packet requires. */
  readonly type: "icmp" | "tcp reset" | "icmpx";
  /**
   * For `icmpx`: 0 no route, 1 port unreachable, 2 host unreachable, 3 administratively prohibited. For `icmp`: the
   * code of ICMP's or ICMPv6's "destination unreachable".
   */
  readonly code?: number;
}

/** Gives the packet to a local transparent socket. */
export interface Tproxy {
  readonly kind: "tproxy";
  /** `any`: both, without an address. */
  readonly family: "ip" | "ip6" | "any";
  readonly addressReg?: Register;
  readonly portReg?: Register;
}

/** Counts. */
export interface Counter {
  readonly kind: "counter";
  readonly packets: number;
  readonly bytes: number;
}

/** Goes on with the rule while the rate is not exceeded (inverted: once it is). */
export interface Limit {
  readonly kind: "limit";
  readonly type: "packets" | "bytes";
  /** How many in each {@link unit}. */
  readonly rate: number;
  /** Seconds. */
  readonly unit: number;
  readonly burst?: number;
  readonly inverted?: boolean;
}

/** Goes on with the rule until (inverted: from when) so many bytes have passed. */
export interface Quota {
  readonly kind: "quota";
  readonly bytes: number;
  readonly consumed?: number;
  readonly inverted?: boolean;
}

/** Remembers when it was last reached. */
export interface Last {
  readonly kind: "last";
  /** False if it never was. */
  readonly set: boolean;
  /** Milliseconds ago. */
  readonly msecs?: number;
}

/** What a log line shows beyond the usual. */
export type LogFlag = "tcp seq" | "tcp options" | "ip options" | "skuid" | "nflog" | "mac";

/** Writes a line to the kernel's log, or sends the packet to a log group. */
export interface Log {
  readonly kind: "log";
  readonly prefix?: string;
  /** The syslog level 0 (emergency) to 7 (debug), 8 for audit: without a group. */
  readonly level?: number;
  readonly flags?: readonly LogFlag[];
  /** The log group. */
  readonly group?: number;
  /** How many bytes of the packet. */
  readonly snaplen?: number;
  readonly queueThreshold?: number;
}

/** Gives the packet to a program. */
export interface Queue {
  readonly kind: "queue";
  /** The first queue; or its register. */
  readonly number?: number;
  readonly sreg?: Register;
  /** Over how many queues packets are spread. */
  readonly total?: number;
  readonly flags?: readonly ("bypass" | "fanout")[];
}

/** Sends a copy of the packet to a gateway or interface. */
export interface Dup {
  readonly kind: "dup";
  readonly addressReg?: Register;
  readonly deviceReg?: Register;
}

/** Sends the packet out of another interface. */
export interface Fwd {
  readonly kind: "fwd";
  readonly deviceReg: Register;
  readonly addressReg?: Register;
  readonly family?: "ip" | "ip6";
}

/** Leaves the packet out of connection tracking. */
export interface Notrack {
  readonly kind: "notrack";
}

/** Answers SYNs with cookies on behalf of the server. */
export interface Synproxy {
  readonly kind: "synproxy";
  readonly mss: number;
  readonly wscale: number;
  readonly flags?: readonly ("mss" | "wscale" | "sack" | "timestamp")[];
}

/** Uses a named object. */
export interface Objref {
  readonly kind: "objref";
  readonly type: ObjectType;
  readonly name: string;
}

/** Uses the named object that a map gives for a key. */
export interface ObjrefMap {
  readonly kind: "objref map";
  readonly sreg: Register;
  readonly set: string;
  readonly setId?: number;
}

/** Lets later packets of the connection bypass the hooks. */
export interface FlowOffload {
  readonly kind: "flow offload";
  readonly flowtable: string;
}

/** A match of xtables, as iptables-nft writes it where nf_tables has no expression of its own. */
export interface XtMatch {
  readonly kind: "match";
  readonly name: string;
  readonly revision: number;
  /** The match's own structure. */
  readonly info: Uint8Array;
}

/** A target of xtables, as iptables-nft writes it. */
export interface XtTarget {
  readonly kind: "target";
  readonly name: string;
  readonly revision: number;
  /** The target's own structure. */
  readonly info: Uint8Array;
}

/** All of them. */
export type ActExpression =
  | Immediate
  | VerdictExpression
  | Nat
  | Masq
  | Redir
  | Reject
  | Tproxy
  | Counter
  | Limit
  | Quota
  | Last
  | Log
  | Queue
  | Dup
  | Fwd
  | Notrack
  | Synproxy
  | Objref
  | ObjrefMap
  | FlowOffload
  | XtMatch
  | XtTarget;
