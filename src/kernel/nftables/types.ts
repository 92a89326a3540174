/** The objects of nf_tables as plain values: what a dump returns is what a transaction takes (`linux/netfilter/nf_tables.h`). */
import type { Expression } from "./expressions/expression.ts";

/** The families of tables, by the names that `nft` uses. */
export type TableFamily = "inet" | "ip" | "ip6" | "arp" | "bridge" | "netdev";

/** Hooks, by the names that `nft` uses. Which of them a family has differs. */
export type Hook = "prerouting" | "input" | "forward" | "output" | "postrouting" | "ingress" | "egress";

/** Types of base chains. */
export type ChainType = "filter" | "nat" | "route";

/** Priorities with a name, for the families ip, ip6 and inet: a chain of a lower number runs first. */
export const priorities = {
  raw: -300,
  mangle: -150,
  dstnat: -100,
  filter: 0,
  security: 50,
  srcnat: 100,
} as const;

/** Names a table. */
export interface TableRef {
  readonly family: TableFamily;
  readonly table: string;
}

/** A table. */
export interface Table extends TableRef {
  readonly flags?: readonly TableFlag[];
  readonly comment?: string;
  /** Given by the kernel. */
  readonly handle?: number;
  /** How many chains, sets and objects it has; given by the kernel. */
  readonly use?: number;
}

/** `dormant`: no chain of it runs. `owner`: belongs to the socket that made it. `persist`: stays without its owner. */
export type TableFlag = "dormant" | "owner" | "persist";

/** Names a chain. */
export interface ChainRef extends TableRef {
  readonly chain: string;
}

/** A chain. */
export interface Chain extends ChainRef {
  /** How the chain is hooked into the packet's way; a chain without is reached by jump and goto only. */
  readonly base?: BaseChain;
  readonly comment?: string;
  /** `binding`: an anonymous chain that belongs to one rule. */
  readonly flags?: readonly ChainFlag[];
  /** Given by the kernel. */
  readonly handle?: number;
  /** How many rules and verdicts refer to it; given by the kernel. */
  readonly use?: number;
}

/** Flags of chains beyond what {@link Chain.base} says. */
export type ChainFlag = "offload" | "binding";

/** A chain's place in the packet's way. */
export interface BaseChain {
  readonly type: ChainType;
  readonly hook: Hook;
  /** Order among the chains of the hook, lower first: see {@link priorities}. */
  readonly priority: number;
  /** What happens to packets at the chain's end; `accept` if not given. */
  readonly policy?: "accept" | "drop";
  /** The interfaces of `netdev` chains and of ingress. */
  readonly devices?: readonly string[];
}

/** A rule. */
export interface Rule extends ChainRef {
  readonly expressions: readonly Expression[];
  /** At most 127 bytes of UTF-8, so that `nft` shows it. */
  readonly comment?: string;
  /** User data beyond the comment, as it is (type, length, value): of rules that others wrote. */
  readonly userdata?: Uint8Array;
  /** For rules with xtables matches: the protocol that they are checked against. */
  readonly compat?: { readonly protocol: number; readonly flags: number };
  /** Given by the kernel; names the rule. */
  readonly handle?: number;
}

/** Names a set or map. */
export interface SetRef extends TableRef {
  readonly set: string;
}

/** Flags of sets beyond those that follow from the other fields. */
export type SetFlag =
  | "anonymous"
  | "constant"
  | "interval"
  | "map"
  | "timeout"
  | "dynamic"
  | "object"
  | "concat"
  | "expressions";

/**
 * A set or map. `key` and `data` describe the layout to `nft` and to ourselves (see `datatypes.ts`); the kernel only
 * cares for their lengths.
 */
export interface NftSet extends SetRef {
  /**
   * Written: `map`, `object`, `timeout`, `concat`, `expressions` need not be given where other fields imply them.
   * Read: as the kernel has them.
   */
  readonly flags?: readonly SetFlag[];
  readonly key: KeyLayout;
  /** What the set maps to; absent if it is not a map. */
  readonly data?: SetData;
  /**
   * The most elements; 0 or absent: no limit (dynamic sets: 65,535). With a size the kernel makes a hash table for so
   * many at once, which it need not enlarge later: filling the set takes less than half the time.
   */
  readonly size?: number;
  /** How long elements stay, in milliseconds, unless they say otherwise. */
  readonly timeout?: number;
  /** How often timed-out elements are collected, in milliseconds. */
  readonly gcInterval?: number;
  /** `performance` if absent. */
  readonly policy?: "performance" | "memory";
  /** Stateful expressions, such as a counter, of which each element gets its own. */
  readonly expressions?: readonly Expression[];
  readonly comment?: string;
  /** True if `nft` may merge adjacent elements (its `auto-merge`). */
  readonly autoMerge?: boolean;
  /** User data as it is, read; what {@link key}, {@link data} and {@link comment} say takes its place when written. */
  readonly userdata?: Uint8Array;
  /** Given by the kernel. */
  readonly handle?: number;
}

/** The layout of a set's keys, or of a map's values. Made by `keyLayout()` of `datatypes.ts`. */
export interface KeyLayout {
  /** `nft`'s number for the type, 6 bits for each part of a concatenation. */
  readonly type: number;
  /** Bytes, each part of a concatenation padded to a multiple of four. */
  readonly length: number;
  /** Bytes of each part of a concatenation without padding: the kernel needs them for intervals of concatenations. */
  readonly fields?: readonly number[];
  /** How a number is stored whose type does not say it (`integer`); absent: in network order, or it has none. */
  readonly byteOrder?: "host";
  /** The `typeof` expression for `nft` as it is stored in user data, where the type's number does not say everything. */
  readonly typeOf?: Uint8Array;
}

/** What a map maps to. */
export type SetData =
  /** `interval`: values are a first and a last one, as translations to networks need them (`dnat prefix`). */
  | { readonly kind: "value"; readonly layout: KeyLayout; readonly interval?: boolean }
  | { readonly kind: "verdict" }
  | { readonly kind: "object"; readonly type: ObjectType };

/** An element of a set or map. */
export interface Element {
  /** The key in the set's layout, or the first of a range. Empty for the catch-all element. */
  readonly key: Uint8Array;
  /** The last key of a range (sets with `interval` and a concatenated key). */
  readonly keyEnd?: Uint8Array;
  /** For sets with `interval` and a simple key: this is the first key that is no longer in the range. */
  readonly intervalEnd?: boolean;
  /** Stands for all keys that no other element covers; {@link key} is empty. */
  readonly catchAll?: boolean;
  /** For maps to values: the value in the map's layout. */
  readonly data?: Uint8Array;
  /** For maps to verdicts. */
  readonly verdict?: Verdict;
  /** For maps to objects: the object's name. */
  readonly object?: string;
  /** Milliseconds from when it is added until it goes, instead of the set's. */
  readonly timeout?: number;
  /** Milliseconds left. */
  readonly expiration?: number;
  /** Stateful expressions of this element, such as its counter. */
  readonly expressions?: readonly Expression[];
  readonly comment?: string;
}

/** What a rule decides for a packet. */
export type Verdict =
  | { readonly kind: "accept" | "drop" | "return" | "continue" | "break" | "stolen" | "repeat" | "stop" }
  | { readonly kind: "queue"; readonly queue: number }
  | { readonly kind: "jump" | "goto"; readonly chain: string };

/** Types of named stateful objects. */
export type ObjectType =
  | "counter"
  | "quota"
  | "ct helper"
  | "limit"
  | "connlimit"
  | "tunnel"
  | "ct timeout"
  | "secmark"
  | "ct expectation"
  | "synproxy";

/** A named stateful object. */
export interface NftObject extends TableRef {
  readonly name: string;
  readonly type: ObjectType;
  /**
   * What it does and its state: an expression of the like-named kind for counter, quota, limit, connlimit and synproxy;
   * `unknown` with the object's attributes for the others.
   */
  readonly state: Expression;
  readonly comment?: string;
  /** Given by the kernel. */
  readonly handle?: number;
  /** How many rules and elements refer to it; given by the kernel. */
  readonly use?: number;
}

/** Which state the rule set has, and whose change made it so. */
export interface Generation {
  /** Goes up by one with each transaction of anybody in the network namespace; wraps at 2^32, never 0. */
  readonly id: number;
  /** The process that asked, or that changed it (in events). */
  readonly processId?: number;
  /** Its command name, cut to 15 bytes. */
  readonly processName?: string;
}
