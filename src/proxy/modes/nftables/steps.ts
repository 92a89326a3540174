/** The vocabulary in which `ruleset.ts` writes rules: small pieces of nf_tables expressions that read like nft's text. */
import type { CompareOp, Expression, Register } from "../../../kernel/nftables/index.ts";
import { firstRegister, register } from "../../../kernel/nftables/index.ts";
import { type Address, addressBytes, addressLength, type Family } from "../../../net/address.ts";
import { type Prefix, prefixAddress, prefixLength } from "../../../net/prefix.ts";
import type { Field, SetName } from "./sets.ts";
import { poolMask } from "./word.ts";

/** A set of constants inside of a rule: goes on if the register is one of them. */
export interface InlineSet {
  readonly kind: "inline set";
  readonly sreg: Register;
  readonly field: "l4proto";
  readonly values: readonly Uint8Array[];
}

/** A map from constants to verdicts inside of a rule. */
export interface InlineVerdicts {
  readonly kind: "inline verdicts";
  readonly sreg: Register;
  readonly field: "priority";
  readonly entries: readonly (readonly [Uint8Array, Verdict])[];
}

/** What to do with a packet, or where to go on with it. */
export type Verdict = { readonly kind: "drop" | "return" } | { readonly kind: "jump" | "goto"; readonly chain: string };

/** A part of a rule. */
export type Step = Expression | InlineSet | InlineVerdicts;

/** A number in host byte order, four bytes: marks, priorities, slots. */
export function hostNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** How many registers a field takes. */
function words(field: Field, family: Family): number {
  return field === "saddr" || field === "daddr" ? addressLength(family) / 4 : 1;
}

/** Loads one field, from the first register on unless said otherwise. */
function load(field: Field, family: Family, dreg: Register): Step {
  switch (field) {
    case "saddr":
      return {
        kind: "payload",
        dreg,
        base: "network",
        offset: family === "IPv4" ? 12 : 8,
        length: addressLength(family),
      };
    case "daddr":
      return {
        kind: "payload",
        dreg,
        base: "network",
        offset: family === "IPv4" ? 16 : 24,
        length: addressLength(family),
      };
    case "l4proto":
      return { kind: "meta", dreg, key: "l4proto" };
    case "dport":
      return { kind: "payload", dreg, base: "transport", offset: 2, length: 2 };
    case "priority":
      return { kind: "meta", dreg, key: "priority" };
    case "random":
      throw new TypeError("a random number needs its bound: use random()");
  }
}

/** Loads fields one after the other, as the key of a concatenation. */
export function key(fields: readonly Field[], family: Family): readonly Step[] {
  let at = 0;
  return fields.map((field) => {
    const step = load(field, family, register(at));
    at += words(field, family);
    return step;
  });
}

/** Goes on if the loaded key is in the set (`inverted`: if it is not). */
export function inSet(set: SetName, inverted = false): Step {
  return { kind: "lookup", set, sreg: firstRegister, ...(inverted && { inverted }) };
}

/** `meta priority set KEY map @set`: goes on if the map has the key. */
export function priorityFromMap(fields: readonly Field[], set: SetName, family: Family): readonly Step[] {
  return [
    ...key(fields, family),
    { kind: "lookup", set, sreg: firstRegister, dreg: firstRegister },
    { kind: "meta set", sreg: firstRegister, key: "priority" },
  ];
}

/** `meta priority set meta priority . numgen random mod MODULUS map @set`. */
export function priorityFromSlot(modulus: number, set: SetName): readonly Step[] {
  return [
    ...slot(modulus),
    { kind: "lookup", set, sreg: firstRegister, dreg: firstRegister },
    { kind: "meta set", sreg: firstRegister, key: "priority" },
  ];
}

/** `meta priority set VALUE`. */
export function setPriority(value: number): readonly Step[] {
  return [
    { kind: "immediate", dreg: firstRegister, data: hostNumber(value) },
    { kind: "meta set", sreg: firstRegister, key: "priority" },
  ];
}

/** `meta priority set meta priority & POOL`: forgets everything but the pool. */
export function keepPool(): readonly Step[] {
  return [...maskedPriority(poolMask), { kind: "meta set", sreg: firstRegister, key: "priority" }];
}

/** Loads the pool and a slot drawn at random from the first `modulus`. */
export function slot(modulus: number): readonly Step[] {
  return [
    { kind: "meta", dreg: firstRegister, key: "priority" },
    { kind: "numgen", dreg: register(1), mode: "random", modulus },
  ];
}

/** `meta priority & MASK`, into the first register unless said otherwise. */
export function maskedPriority(mask: number, dreg: Register = firstRegister): readonly Step[] {
  return [
    { kind: "meta", dreg, key: "priority" },
    { kind: "bitwise", sreg: dreg, dreg, length: 4, mask: hostNumber(mask), xor: hostNumber(0) },
  ];
}

/** `meta priority & MASK == VALUE` or `!=`. */
export function wordBits(mask: number, op: CompareOp & ("eq" | "neq"), value: number): readonly Step[] {
  return [...maskedPriority(mask), { kind: "cmp", sreg: firstRegister, op, data: hostNumber(value) }];
}

/** Translates the destination to what the map has for the loaded key. */
export function dnatFromMap(set: SetName, family: Family): readonly Step[] {
  return [
    { kind: "lookup", set, sreg: firstRegister, dreg: firstRegister },
    {
      kind: "nat",
      type: "dnat",
      family: family === "IPv4" ? "ip" : "ip6",
      addressMin: firstRegister,
      portMin: register(words("daddr", family)),
    },
  ];
}

/** `meta mark set meta mark | BIT`. */
export function setMark(bit: number): readonly Step[] {
  return changeMark(~bit >>> 0, bit);
}

/** `meta mark & BIT != 0`, then `meta mark set meta mark ^ BIT`. */
export function takeMark(bit: number): readonly Step[] {
  return [
    { kind: "meta", dreg: firstRegister, key: "mark" },
    { kind: "bitwise", sreg: firstRegister, dreg: firstRegister, length: 4, mask: hostNumber(bit), xor: hostNumber(0) },
    { kind: "cmp", sreg: firstRegister, op: "neq", data: hostNumber(0) },
    ...changeMark(0xffffffff, bit),
  ];
}

function changeMark(mask: number, xor: number): readonly Step[] {
  return [
    { kind: "meta", dreg: firstRegister, key: "mark" },
    {
      kind: "bitwise",
      sreg: firstRegister,
      dreg: firstRegister,
      length: 4,
      mask: hostNumber(mask),
      xor: hostNumber(xor),
    },
    { kind: "meta set", sreg: firstRegister, key: "mark" },
  ];
}

/** `fib saddr type local` and the like (RTN_LOCAL is 2). */
export function isLocal(which: "saddr" | "daddr", op: "eq" | "neq" = "eq"): readonly Step[] {
  return [
    { kind: "fib", dreg: firstRegister, result: "type", flags: [which] },
    { kind: "cmp", sreg: firstRegister, op, data: hostNumber(2) },
  ];
}

/** `ip saddr PREFIX` and the like. */
export function inPrefix(
  which: "saddr" | "daddr",
  prefix: Prefix,
  family: Family,
  op: "eq" | "neq" = "eq",
): readonly Step[] {
  const address = addressBytes(prefixAddress(prefix));
  const length = prefixLength(prefix);
  const mask = address.map((_, i) => 0xff00 >> Math.min(8, Math.max(0, length - 8 * i)));
  return [
    load(which, family, firstRegister),
    {
      kind: "bitwise",
      sreg: firstRegister,
      dreg: firstRegister,
      length: address.length,
      mask,
      xor: new Uint8Array(address.length),
    },
    { kind: "cmp", sreg: firstRegister, op, data: address },
  ];
}

/** `ip daddr != ADDRESS`. */
export function isNotAddress(which: "saddr" | "daddr", address: Address, family: Family): readonly Step[] {
  return [
    load(which, family, firstRegister),
    { kind: "cmp", sreg: firstRegister, op: "neq", data: addressBytes(address) },
  ];
}

/** `iifname "NAME"`, or `iifname "NAME*"` for all names that start so. */
export function inInterface(name: string, start = false): readonly Step[] {
  const bytes = new Uint8Array(start ? Buffer.byteLength(name) : 16);
  bytes.set(Buffer.from(name).subarray(0, 15));
  return [
    { kind: "meta", dreg: firstRegister, key: "iifname" },
    { kind: "cmp", sreg: firstRegister, op: "eq", data: bytes },
  ];
}

/** `meta l4proto { NUMBERS }`. */
export function inProtocols(numbers: readonly number[]): Step {
  return {
    kind: "inline set",
    sreg: firstRegister,
    field: "l4proto",
    values: numbers.map((number) => Uint8Array.of(number)),
  };
}

/** Ends the rule with a verdict. */
export function then(verdict: Verdict): Step {
  return { kind: "verdict", verdict };
}

/** Continues in a chain and comes back. */
export function jump(chain: string): Step {
  return then({ kind: "jump", chain });
}

/** Continues in a chain and comes back to where this chain was jumped to from. */
export function goto(chain: string): Step {
  return then({ kind: "goto", chain });
}
