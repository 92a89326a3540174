/**
 * Short forms for the expressions that rules are usually made of, so that code which writes rules reads like them:
 *
 * ```ts
 * transaction.addRule({
 *   ...{ family: "ip", table: "demo", chain: "input" },
 *   expressions: [...rules.isProtocol(6), ...rules.isDestinationPort(80), rules.counter(), rules.accept],
 * });
 * ```
 *
 * Comparisons use the first register; a part that loads a key for a lookup says where it goes ({@link loadKey}).
 */

import { hostU32Bytes, interfaceNameBytes, padded, u16Bytes } from "./datatypes.ts";
import type { NatFlag } from "./expressions/act.ts";
import type { CompareOp } from "./expressions/compare.ts";
import type { Expression } from "./expressions/expression.ts";
import type { CtKey, FibFlag, MetaKey, PayloadBase } from "./expressions/load.ts";
import { firstRegister, type Register } from "./expressions/register.ts";
import type { Verdict } from "./types.ts";

/** Something that can be loaded into a register: how many bytes, and the expression that does it. */
export interface Load {
  readonly length: number;
  into(register: Register): Expression;
}

/** Bytes of the packet. */
export function payload(base: PayloadBase, offset: number, length: number): Load {
  return { length, into: (dreg) => ({ kind: "payload", dreg, base, offset, length }) };
}

/** A fact about the packet. `length` is 4 for most, 16 for names, 1 for protocols. */
export function meta(key: MetaKey, length = 4): Load {
  return { length, into: (dreg) => ({ kind: "meta", dreg, key }) };
}

/** A fact about the connection. */
export function ct(key: CtKey, length = 4, direction?: "original" | "reply"): Load {
  return { length, into: (dreg) => ({ kind: "ct", dreg, key, ...(direction === undefined ? {} : { direction }) }) };
}

/** A number from `offset` to before `offset + modulus`, at random or in turn. */
export function numgen(mode: "inc" | "random", modulus: number, offset = 0): Load {
  return { length: 4, into: (dreg) => ({ kind: "numgen", dreg, mode, modulus, ...(offset === 0 ? {} : { offset }) }) };
}

/** The type (`RTN_*`) of the source or destination address, as the routing tables know it. */
export function fibType(...flags: readonly FibFlag[]): Load {
  return { length: 4, into: (dreg) => ({ kind: "fib", dreg, result: "type", flags }) };
}

/** The loads that rules use most. */
export const field = {
  ip4Source: payload("network", 12, 4),
  ip4Destination: payload("network", 16, 4),
  ip6Source: payload("network", 8, 16),
  ip6Destination: payload("network", 24, 16),
  sourcePort: payload("transport", 0, 2),
  destinationPort: payload("transport", 2, 2),
  /** The transport protocol's number. */
  protocol: meta("l4proto", 1),
  /** The network protocol: 2 IPv4, 10 IPv6. */
  family: meta("nfproto", 1),
  mark: meta("mark"),
  inputInterface: meta("iifname", 16),
  outputInterface: meta("oifname", 16),
  ctState: ct("state"),
  ctStatus: ct("status"),
} as const;

/** Bits of `ct state` (`NF_CT_STATE_BIT`). */
export const ctState = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;

/** Bits of `ct status` (`enum ip_conntrack_status`). */
export const ctStatus = {
  expected: 1,
  seenReply: 2,
  assured: 4,
  confirmed: 8,
  snat: 16,
  dnat: 32,
  dying: 512,
} as const;

/** Address types (`RTN_*`) that {@link fibType} gives. */
export const addressType = { unicast: 1, local: 2, broadcast: 3, anycast: 4, multicast: 5 } as const;

/** Loads the parts of a key one after the other from a register on, as lookups in concatenated sets need them. */
export function loadKey(parts: readonly Load[], first: Register = firstRegister): Expression[] {
  let register = first;
  return parts.map((part) => {
    const expression = part.into(register);
    register += padded(part.length) / 4;
    return expression;
  });
}

/** Goes on if what is loaded compares to the bytes. */
export function compare(load: Load, op: CompareOp, data: Uint8Array, register: Register = firstRegister): Expression[] {
  return [load.into(register), { kind: "cmp", sreg: register, op, data }];
}

/** Goes on if `(loaded & mask)` compares to `data`; all have the load's length. */
export function compareMasked(load: Load, mask: Uint8Array, op: CompareOp, data: Uint8Array): Expression[] {
  const sreg = firstRegister;
  const xor = new Uint8Array(mask.length);
  return [
    load.into(sreg),
    { kind: "bitwise", sreg, dreg: sreg, length: load.length, mask, xor },
    { kind: "cmp", sreg, op, data },
  ];
}

/** Goes on if any of the bits is set in a number of 32 bits in host order, such as a mark or `ct state`. */
export function anyBit(load: Load, bits: number): Expression[] {
  return compareMasked(load, hostU32Bytes(bits), "neq", hostU32Bytes(0));
}

/** Goes on if none of the bits is set. */
export function noBit(load: Load, bits: number): Expression[] {
  return compareMasked(load, hostU32Bytes(bits), "eq", hostU32Bytes(0));
}

/** Goes on if the packet's transport protocol has this number. */
export function isProtocol(number: number): Expression[] {
  return compare(field.protocol, "eq", Uint8Array.of(number));
}

/** Goes on if the destination port is this one. A check of the protocol must come before. */
export function isDestinationPort(port: number): Expression[] {
  return compare(field.destinationPort, "eq", u16Bytes(port));
}

/** Goes on if the packet came in (or goes out) through the interface. */
export function isInterface(direction: "input" | "output", name: string, op: "eq" | "neq" = "eq"): Expression[] {
  const load = direction === "input" ? field.inputInterface : field.outputInterface;
  return compare(load, op, interfaceNameBytes(name));
}

/** Goes on if the set contains the key that stands in the registers from `sreg` on. */
export function isIn(set: string, options: { sreg?: Register; setId?: number; inverted?: boolean } = {}): Expression {
  const { sreg = firstRegister, setId, inverted } = options;
  return {
    kind: "lookup",
    set,
    sreg,
    ...(setId === undefined ? {} : { setId }),
    ...(inverted ? { inverted } : {}),
  };
}

/** Loads what a map has for the key; goes on if it has something. `dreg` 0: a verdict, which is taken. */
export function lookup(map: string, dreg: Register, options: { sreg?: Register; setId?: number } = {}): Expression {
  const { sreg = firstRegister, setId } = options;
  return { kind: "lookup", set: map, sreg, dreg, ...(setId === undefined ? {} : { setId }) };
}

/** Changes the bits of the packet's mark: `mark = (mark & ~clear) ^ set`. To set bits surely, clear them too. */
export function changeMark(clear: number, set: number): Expression[] {
  const sreg = firstRegister;
  return [
    field.mark.into(sreg),
    { kind: "bitwise", sreg, dreg: sreg, length: 4, mask: hostU32Bytes(~clear), xor: hostU32Bytes(set) },
    { kind: "meta set", key: "mark", sreg },
  ];
}

/** Decides. */
export function decide(verdict: Verdict): Expression {
  return { kind: "verdict", verdict };
}

/** The verdicts as expressions. */
export const accept = decide({ kind: "accept" });
export const drop = decide({ kind: "drop" });
export const returns = decide({ kind: "return" });

/** Goes on in another chain, and comes back at its end. */
export function jump(chain: string): Expression {
  return decide({ kind: "jump", chain });
}

/** Goes on in another chain, and does not come back. */
export function goTo(chain: string): Expression {
  return decide({ kind: "goto", chain });
}

/** Counts packets and bytes from 0. */
export function counter(): Expression {
  return { kind: "counter", packets: 0, bytes: 0 };
}

/** Translates the destination to the address (and port) in registers. */
export function dnat(
  family: "ip" | "ip6",
  addressMin: Register,
  portMin?: Register,
  flags?: readonly NatFlag[],
): Expression {
  return nat("dnat", family, addressMin, portMin, flags);
}

/** Translates the source to the address (and port) in registers. */
export function snat(
  family: "ip" | "ip6",
  addressMin: Register,
  portMin?: Register,
  flags?: readonly NatFlag[],
): Expression {
  return nat("snat", family, addressMin, portMin, flags);
}

function nat(
  type: "snat" | "dnat",
  family: "ip" | "ip6",
  addressMin: Register,
  portMin: Register | undefined,
  flags: readonly NatFlag[] = [],
): Expression {
  return {
    kind: "nat",
    type,
    family,
    addressMin,
    ...(portMin === undefined ? {} : { portMin }),
    ...(flags.length === 0 ? {} : { flags }),
  };
}

/** Translates the source to an address of the outgoing interface. */
export function masquerade(...flags: readonly NatFlag[]): Expression {
  return { kind: "masq", ...(flags.length === 0 ? {} : { flags }) };
}

/** Drops, and answers with the ICMP error that fits the packet: connection refused, for UDP. */
export const rejectPortUnreachable: Expression = { kind: "reject", type: "icmpx", code: 1 };

/** Drops, and answers a TCP packet with a reset. Anything else but TCP must be excluded before. */
export const rejectReset: Expression = { kind: "reject", type: "tcp reset" };
