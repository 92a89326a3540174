/**
 * How the fields of an expression are written as netlink attributes and read back: one description for both directions.
 */
import type { AttributeReader } from "../../netlink/reader.ts";
import type { NetlinkWriter } from "../../netlink/writer.ts";
import type { Verdict } from "../types.ts";
import { decodeVerdict, encodeVerdict } from "../verdict.ts";
import { canonicalRegister, type Register } from "./register.ts";

/** One field of an expression as one attribute. */
export interface Field<T> {
  readonly attribute: number;
  /** Attributes of other numbers that hold the same field. */
  readonly alsoRead?: readonly number[];
  /** @param whole the expression that the field belongs to. */
  write(writer: NetlinkWriter, attribute: number, value: T, whole: object): void;
  /** @returns undefined if the attribute holds something that the field's type has no value for. */
  read(attribute: AttributeReader): T | undefined;
  /** For required fields: the value if the attribute is missing. */
  readonly fallback?: T;
}

/** A field that is absent when it has its default value. */
export interface OptionalField<T> extends Field<T> {
  readonly optional: true;
  /** True for the value that the kernel writes although it is the default. */
  isDefault(value: T): boolean;
}

/** The fields of an expression type: optional properties need {@link optional} fields. */
export type FieldsOf<E> = {
  readonly [K in Exclude<keyof E, "kind">]-?: Record<never, never> extends Pick<E, K>
    ? OptionalField<Exclude<E[K], undefined>>
    : Field<E[K]>;
};

/** Makes a field optional. Without `defaultValue` any value that the kernel writes is kept. */
export function optional<T>(field: Field<T>, defaultValue?: T): OptionalField<T> {
  const isDefault = (value: T) => value === defaultValue || (Array.isArray(value) && value.length === 0);
  return { ...field, optional: true, isDefault };
}

/** A required field that the kernel may leave out when it has this value. */
export function withFallback<T>(field: Field<T>, fallback: T): Field<T> {
  return { ...field, fallback };
}

/** A number of 8 bits. */
export function u8(attribute: number): Field<number> {
  return { attribute, write: (writer, type, value) => writer.attributeU8(type, value), read: (a) => a.u8() };
}

/** A number of 16 bits. */
export function u16(attribute: number): Field<number> {
  return { attribute, write: (writer, type, value) => writer.attributeU16BE(type, value), read: (a) => a.u16BE() };
}

/** A number of 32 bits. */
export function u32(attribute: number): Field<number> {
  return { attribute, write: (writer, type, value) => writer.attributeU32BE(type, value), read: (a) => a.u32BE() };
}

/** A number of 64 bits, exact up to 2^53. */
export function u64(attribute: number): Field<number> {
  return { attribute, write: (writer, type, value) => writer.attributeU64BE(type, value), read: (a) => a.u64BE() };
}

/** A register. */
export function register(attribute: number): Field<Register> {
  return { ...u32(attribute), read: (a) => canonicalRegister(a.u32BE()) };
}

/** Text. */
export function text(attribute: number): Field<string> {
  return { attribute, write: (writer, type, value) => writer.attributeString(type, value), read: (a) => a.string() };
}

/** Bytes. */
export function bytes(attribute: number): Field<Uint8Array> {
  return { attribute, write: (writer, type, value) => writer.attributeBytes(type, value), read: (a) => a.copy() };
}

const dataValue = 1;
const dataVerdict = 2;

/** A value of a register (`NFTA_DATA_VALUE` inside). */
export function value(attribute: number): Field<Uint8Array> {
  return {
    attribute,
    write: writeValue,
    read: (a) => {
      let found: Uint8Array | undefined;
      for (const part = a.nested(); part.next(); ) {
        if (part.type !== dataValue) return undefined;
        found = part.copy();
      }
      return found;
    },
  };
}

/** Writes bytes as `NFTA_DATA_VALUE` inside an attribute. */
export function writeValue(writer: NetlinkWriter, attribute: number, data: Uint8Array): void {
  const nest = writer.beginNested(attribute);
  writer.attributeBytes(dataValue, data);
  writer.endNested(nest);
}

/** A verdict (`NFTA_DATA_VERDICT` inside). */
export function verdict(attribute: number): Field<Verdict> {
  return {
    attribute,
    write: writeVerdict,
    read: (a) => {
      let found: Verdict | undefined;
      for (const part = a.nested(); part.next(); ) {
        if (part.type !== dataVerdict) return undefined;
        found = decodeVerdict(part.nested());
      }
      return found;
    },
  };
}

/** Writes a verdict as `NFTA_DATA_VERDICT` inside an attribute. */
export function writeVerdict(writer: NetlinkWriter, attribute: number, decision: Verdict): void {
  const nest = writer.beginNested(attribute);
  const inner = writer.beginNested(dataVerdict);
  encodeVerdict(writer, decision);
  writer.endNested(inner);
  writer.endNested(nest);
}

/** Names and their numbers; a list numbers its names from 0. */
export type Names<T extends string> = readonly T[] | Readonly<Partial<Record<T, number>>>;

/** One of several names. */
export function choice<const T extends string>(attribute: number, names: Names<T>): Field<T> {
  const { numberOf, nameOf } = numbering(names);
  return {
    attribute,
    write: (writer, type, name) => writer.attributeU32BE(type, numberOf(name)),
    read: (a) => nameOf(a.u32BE()),
  };
}

/** As {@link choice}, in 8 bits. */
export function choice8<const T extends string>(attribute: number, names: Names<T>): Field<T> {
  const { numberOf, nameOf } = numbering(names);
  return {
    attribute,
    write: (writer, type, name) => writer.attributeU8(type, numberOf(name)),
    read: (a) => nameOf(a.u8()),
  };
}

/** As {@link choice}, of an optional field that is absent when the number is 0. */
export function choiceOrNone<const T extends string>(attribute: number, names: Names<T>): OptionalField<T> {
  const { numberOf, nameOf } = numbering(names);
  const none = "none" as T;
  return {
    attribute,
    optional: true,
    write: (writer, type, name) => writer.attributeU32BE(type, numberOf(name)),
    read: (a) => (a.u32BE() === 0 ? none : nameOf(a.u32BE())),
    isDefault: (name) => name === none,
  };
}

/** The two directions of a list or table of names. `numberOf` throws a {@link RangeError} for an unknown name. */
export function numbering<T extends string>(
  names: Names<T>,
): { numberOf(name: T): number; nameOf(number: number): T | undefined } {
  const entries = Array.isArray(names)
    ? (names as readonly T[]).map((name, number) => [name, number] as const)
    : (Object.entries(names) as [T, number][]);
  const byName = new Map<T, number>(entries);
  const byNumber = new Map<number, T>(entries.map(([name, number]) => [number, name]));
  return {
    numberOf: (name) => {
      const number = byName.get(name);
      if (number === undefined)
        throw new RangeError(`${JSON.stringify(name)} is none of ${[...byName.keys()].join(", ")}`);
      return number;
    },
    nameOf: (number) => byNumber.get(number),
  };
}

/** Protocol families of addresses (`NFPROTO_*`). */
export function addressFamily(attribute: number): Field<"ip" | "ip6"> {
  return choice(attribute, { ip: 2, ip6: 10 });
}

/**
 * A set of names, each a bit.
 *
 * @param ignored bits that are dropped when read, because other fields imply them.
 */
export function flags<const T extends string>(
  attribute: number,
  bits: Readonly<Record<T, number>>,
  ignored = 0,
): Field<readonly T[]> {
  return {
    attribute,
    write: (writer, type, names) => writer.attributeU32BE(type, toBits(bits, names)),
    read: (a) => fromBits(bits, a.u32BE() & ~ignored),
  };
}

/** As {@link flags}, in 16 bits. */
export function flags16<const T extends string>(
  attribute: number,
  bits: Readonly<Record<T, number>>,
): Field<readonly T[]> {
  return {
    attribute,
    write: (writer, type, names) => writer.attributeU16BE(type, toBits(bits, names)),
    read: (a) => fromBits(bits, a.u16BE()),
  };
}

/** One bit of a number of 32 bits, the others of `ignored` being dropped when read. */
export function bit(attribute: number, mask: number, ignored = 0): Field<boolean> {
  return {
    attribute,
    write: (writer, type, on) => writer.attributeU32BE(type, on ? mask : 0),
    read: (a) => {
      const number = a.u32BE() & ~ignored;
      return (number & ~mask) === 0 ? number === mask : undefined;
    },
  };
}

/** The number of a set of names. */
export function toBits<T extends string>(bits: Readonly<Record<T, number>>, names: readonly T[]): number {
  let number = 0;
  for (const name of names) number |= bits[name];
  return number >>> 0;
}

/** The names of a number, in the order of the table; undefined if it has a bit without a name. */
export function fromBits<T extends string>(
  bits: Readonly<Record<T, number>>,
  number: number,
): readonly T[] | undefined {
  const names: T[] = [];
  let left = number >>> 0;
  for (const name of Object.keys(bits) as T[]) {
    if ((left & bits[name]) === 0) continue;
    names.push(name);
    left = (left & ~bits[name]) >>> 0;
  }
  return left === 0 ? names : undefined;
}
