/** The words in which `ruleset.ts` writes rules, made of nf_tables expressions: they read like nft's text for them. */
import {
  type CompareOp,
  type Expression,
  firstRegister,
  hostU32Bytes,
  type Register,
  register,
  rules,
  type Verdict,
} from "../../../kernel/nftables/index.ts";
import { type Address, addressBytes, addressLength, type Family } from "../../../net/address.ts";
import { type Prefix, prefixAddress, prefixLength } from "../../../net/prefix.ts";
import type { Field, SetName } from "./sets.ts";
import { poolMask } from "./word.ts";

const { field } = rules;

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

/** A part of a rule. */
export type Step = Expression | InlineSet | InlineVerdicts;

const priority = rules.meta("priority");

/** The load of a field. */
function loadOf(name: Exclude<Field, "random">, family: Family): rules.Load {
  switch (name) {
    case "saddr":
      return family === "IPv4" ? field.ip4Source : field.ip6Source;
    case "daddr":
      return family === "IPv4" ? field.ip4Destination : field.ip6Destination;
    case "l4proto":
      return field.protocol;
    case "dport":
      return field.destinationPort;
    case "priority":
      return priority;
  }
}

/** Loads fields one after the other, as the key of a concatenation. */
export function key(fields: readonly Exclude<Field, "random">[], family: Family): readonly Step[] {
  return rules.loadKey(fields.map((name) => loadOf(name, family)));
}

/** Goes on if the loaded key is in the set (`inverted`: if it is not). */
export function inSet(set: SetName, inverted = false): Step {
  return rules.isIn(set, { inverted });
}

/** `meta priority set KEY map @set`: goes on if the map has the key. */
export function priorityFromMap(
  fields: readonly Exclude<Field, "random">[],
  set: SetName,
  family: Family,
): readonly Step[] {
  return [...key(fields, family), rules.lookup(set, firstRegister), storePriority];
}

/** `meta priority set meta priority . numgen random mod MODULUS map @set`. */
export function priorityFromSlot(modulus: number, set: SetName): readonly Step[] {
  return [...slot(modulus), rules.lookup(set, firstRegister), storePriority];
}

/** `meta priority set none`. */
export function clearPriority(): readonly Step[] {
  return [{ kind: "immediate", dreg: firstRegister, data: hostU32Bytes(0) }, storePriority];
}

/** `meta priority set meta priority & POOL`: forgets everything but the pool. */
export function keepPool(): readonly Step[] {
  return [...maskedPriority(poolMask), storePriority];
}

const storePriority: Step = { kind: "meta set", sreg: firstRegister, key: "priority" };

/** Loads the pool and a slot drawn at random from the first `modulus`. */
export function slot(modulus: number): readonly Step[] {
  return rules.loadKey([priority, rules.numgen("random", modulus)]);
}

/** `meta priority & MASK`, into the first register unless said otherwise. */
export function maskedPriority(mask: number, dreg: Register = firstRegister): readonly Step[] {
  const xor = new Uint8Array(4);
  return [priority.into(dreg), { kind: "bitwise", sreg: dreg, dreg, length: 4, mask: hostU32Bytes(mask), xor }];
}

/** `meta priority & MASK == VALUE` or `!=`. */
export function wordBits(mask: number, op: CompareOp & ("eq" | "neq"), value: number): readonly Step[] {
  return rules.compareMasked(priority, hostU32Bytes(mask), op, hostU32Bytes(value));
}

/** Translates the destination to what the map has for the loaded key. */
export function dnatFromMap(set: SetName, family: Family): readonly Step[] {
  const port = register(addressLength(family) / 4);
  return [rules.lookup(set, firstRegister), rules.dnat(family === "IPv4" ? "ip" : "ip6", firstRegister, port)];
}

/** `fib saddr type local` and the like. */
export function isLocal(which: "saddr" | "daddr", op: "eq" | "neq" = "eq"): readonly Step[] {
  return rules.compare(rules.fibType(which), op, hostU32Bytes(rules.addressType.local));
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
  return rules.compareMasked(loadOf(which, family), mask, op, address);
}

/** `ip daddr ADDRESS`, `ip daddr != ADDRESS` and the like. */
export function compareAddress(
  which: "saddr" | "daddr",
  op: "eq" | "neq",
  address: Address,
  family: Family,
): readonly Step[] {
  return rules.compare(loadOf(which, family), op, addressBytes(address));
}

/** `iifname "START*"`. */
export function inInterfaceStarting(start: string): readonly Step[] {
  return rules.compare(field.inputInterface, "eq", new TextEncoder().encode(start));
}

/** `meta l4proto { NUMBERS }`, with the protocol loaded. */
export function inProtocols(numbers: readonly number[]): Step {
  const values = numbers.map((number) => Uint8Array.of(number));
  return { kind: "inline set", sreg: firstRegister, field: "l4proto", values };
}

/** `VERDICTS`, by the number that is loaded. */
export function verdictMap(entries: readonly (readonly [number, Verdict])[]): Step {
  return {
    kind: "inline verdicts",
    sreg: firstRegister,
    field: "priority",
    entries: entries.map(([value, verdict]) => [hostU32Bytes(value), verdict] as const),
  };
}
