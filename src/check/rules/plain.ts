/**
 * Rules of nf_tables and of iptables' old variant in one form: what a rule asks of a packet, as far as it can be told
 * here, and what it decides. Enough to say that a rule is about all packets of some prefix, not to follow a packet.
 */
import type { Family } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";

/** A value that a packet must have, or must not have. */
export interface Wanted<T> {
  readonly value: T;
  readonly not: boolean;
}

/** What a rule asks. All conditions must hold. */
export interface Conditions {
  /** The name of the input interface; with `+` at its end, the beginning of the name. */
  readonly input?: Wanted<string>;
  readonly output?: Wanted<string>;
  readonly source?: Wanted<Prefix>;
  readonly destination?: Wanted<Prefix>;
  /** Bits of the connection's state, of which it must have one: 1 invalid, 2 established, 4 related, 8 new, 64 untracked. */
  readonly states?: number;
  /** The number of the transport protocol. */
  readonly protocol?: Wanted<number>;
  /** The family, where the rule asks. */
  readonly family?: Family;
  /** Whatever else it asks, by the name of the expression or match. */
  readonly others: readonly string[];
}

/** What a rule decides. */
export type Decided =
  | { readonly kind: "accept" | "drop" | "reject" | "return" | "other" }
  | { readonly kind: "jump" | "goto"; readonly chain: string };

/** A rule. */
export interface PlainRule {
  readonly conditions: Conditions;
  readonly decided: Decided;
  /** What becomes of the packet's mark, where the rule changes it in a way that is known. */
  readonly mark?: MarkChange;
}

/** A change of a packet's mark: `new = (old & keep) ^ flip`, each of 32 bits. */
export interface MarkChange {
  readonly keep: number;
  readonly flip: number;
}

/** The bits that are 1 after a change, whatever they were. */
export function bitsSet({ keep, flip }: MarkChange): number {
  return (flip & ~keep) >>> 0;
}

/** The bits that are 0 after a change, whatever they were. */
export function bitsCleared({ keep, flip }: MarkChange): number {
  return (~flip & ~keep) >>> 0;
}

/** A condition while it is being read. */
export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Bits of all states, translated and not. */
export const allStates = 0x7f;
