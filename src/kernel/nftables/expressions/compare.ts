/** Expressions that compare and compute on registers, and that look values up in sets. */
import type { Expression } from "./expression.ts";
import type { Register } from "./register.ts";

/** How a register is compared, byte by byte from the first (network order). */
export type CompareOp = "eq" | "neq" | "lt" | "lte" | "gt" | "gte";

/** Goes on with the rule if the comparison holds. */
export interface Cmp {
  readonly kind: "cmp";
  readonly sreg: Register;
  readonly op: CompareOp;
  /** The value on the right; its length is how many bytes are compared. */
  readonly data: Uint8Array;
}

/** Goes on with the rule if the register lies between two values, both included (or, with `neq`, if it does not). */
export interface Range {
  readonly kind: "range";
  readonly sreg: Register;
  readonly op: "eq" | "neq";
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/** `dreg = (sreg & mask) ^ xor`. */
export interface Bitwise {
  readonly kind: "bitwise";
  readonly sreg: Register;
  readonly dreg: Register;
  readonly length: number;
  readonly mask: Uint8Array;
  readonly xor: Uint8Array;
}

/** `dreg = sreg << bits` or `>>`, as a number whose words are in host byte order. */
export interface BitwiseShift {
  readonly kind: "bitwise shift";
  readonly sreg: Register;
  readonly dreg: Register;
  readonly length: number;
  readonly direction: "left" | "right";
  readonly bits: number;
}

/** `dreg = sreg op sreg2`, or `sreg op data` (kernel 6.13 and later). */
export interface BitwiseOp {
  readonly kind: "bitwise op";
  readonly op: "and" | "or" | "xor";
  readonly sreg: Register;
  readonly dreg: Register;
  readonly length: number;
  readonly sreg2?: Register;
  readonly data?: Uint8Array;
}

/** Swaps the bytes of `length` bytes in units of `size`. */
export interface Byteorder {
  readonly kind: "byteorder";
  readonly sreg: Register;
  readonly dreg: Register;
  readonly op: "ntoh" | "hton";
  readonly length: number;
  readonly size: number;
}

/** Goes on with the rule if the set contains the key (or, inverted, if not); with `dreg` loads what it maps to. */
export interface Lookup {
  readonly kind: "lookup";
  readonly set: string;
  readonly sreg: Register;
  /** Where the map's value goes: 0 if that is a verdict. */
  readonly dreg?: Register;
  readonly inverted?: boolean;
  /** For anonymous sets made in the same transaction: see `Transaction.addSet`. Not in dumps. */
  readonly setId?: number;
}

/** Adds, refreshes or removes an element of a dynamic set. */
export interface Dynset {
  readonly kind: "dynset";
  readonly set: string;
  readonly op: "add" | "update" | "delete";
  /** The key's register. */
  readonly sreg: Register;
  /** For maps: the value's register. */
  readonly dataReg?: Register;
  /** Milliseconds, instead of the set's. */
  readonly timeout?: number;
  /** Goes on with the rule if it could not be added. */
  readonly inverted?: boolean;
  /** Stateful expressions for the element. */
  readonly expressions?: readonly Expression[];
  /** For anonymous sets made in the same transaction. Not in dumps. */
  readonly setId?: number;
}

/** Goes on with the rule if the number of connections (in this rule or element) is at most (inverted: above) `count`. */
export interface Connlimit {
  readonly kind: "connlimit";
  readonly count: number;
  readonly inverted?: boolean;
}

/** Runs a load expression on the packet inside a tunnel. */
export interface Inner {
  readonly kind: "inner";
  /** The tunnel's type: 0 VXLAN, 1 Geneve, and so on (`enum nft_inner_type`). */
  readonly type: number;
  readonly flags: number;
  /** Bytes of the tunnel's header. */
  readonly headerSize: number;
  readonly expression: Expression;
}

/** All of them. */
export type CompareExpression =
  | Cmp
  | Range
  | Bitwise
  | BitwiseShift
  | BitwiseOp
  | Byteorder
  | Lookup
  | Dynset
  | Connlimit
  | Inner;
