/**
 * The data types that `nft` knows for keys and values of sets: the kernel only cares for lengths, but `nft` and we want
 * to read a set's elements (nftables' `datatype.h`; the numbers are part of the interface between nft versions).
 */
import type { Register } from "./expressions/register.ts";
import { encodeTypeof, type TypeofExpression } from "./typeof.ts";
import type { KeyLayout, SetData } from "./types.ts";

/** What there is to know about a data type. */
export interface DataType {
  /** `nft`'s number, below 64. */
  readonly id: number;
  /** Bytes; 0 if that depends on where it is used. */
  readonly length: number;
  /** How a number is stored. */
  readonly byteOrder: "host" | "network" | "none";
}

/** Data types by the names that `nft` uses. */
export const dataTypes = {
  nf_proto: { id: 2, length: 1, byteOrder: "none" },
  integer: { id: 4, length: 0, byteOrder: "none" },
  string: { id: 5, length: 0, byteOrder: "host" },
  ll_addr: { id: 6, length: 0, byteOrder: "network" },
  ipv4_addr: { id: 7, length: 4, byteOrder: "network" },
  ipv6_addr: { id: 8, length: 16, byteOrder: "network" },
  ether_addr: { id: 9, length: 6, byteOrder: "network" },
  ether_type: { id: 10, length: 2, byteOrder: "network" },
  arp_op: { id: 11, length: 2, byteOrder: "network" },
  inet_proto: { id: 12, length: 1, byteOrder: "network" },
  inet_service: { id: 13, length: 2, byteOrder: "network" },
  icmp_type: { id: 14, length: 1, byteOrder: "network" },
  tcp_flag: { id: 15, length: 1, byteOrder: "network" },
  dccp_pkttype: { id: 16, length: 1, byteOrder: "network" },
  mh_type: { id: 17, length: 1, byteOrder: "network" },
  time: { id: 18, length: 8, byteOrder: "host" },
  mark: { id: 19, length: 4, byteOrder: "host" },
  iface_index: { id: 20, length: 4, byteOrder: "host" },
  iface_type: { id: 21, length: 2, byteOrder: "host" },
  realm: { id: 22, length: 4, byteOrder: "host" },
  classid: { id: 23, length: 4, byteOrder: "host" },
  uid: { id: 24, length: 4, byteOrder: "host" },
  gid: { id: 25, length: 4, byteOrder: "host" },
  ct_state: { id: 26, length: 4, byteOrder: "host" },
  ct_dir: { id: 27, length: 1, byteOrder: "none" },
  ct_status: { id: 28, length: 4, byteOrder: "host" },
  icmpv6_type: { id: 29, length: 1, byteOrder: "network" },
  ct_label: { id: 30, length: 16, byteOrder: "host" },
  pkt_type: { id: 31, length: 1, byteOrder: "host" },
  icmp_code: { id: 32, length: 1, byteOrder: "network" },
  icmpv6_code: { id: 33, length: 1, byteOrder: "network" },
  icmpx_code: { id: 34, length: 1, byteOrder: "network" },
  devgroup: { id: 35, length: 4, byteOrder: "host" },
  dscp: { id: 36, length: 1, byteOrder: "network" },
  ecn: { id: 37, length: 1, byteOrder: "network" },
  fib_addrtype: { id: 38, length: 4, byteOrder: "host" },
  boolean: { id: 39, length: 1, byteOrder: "none" },
  ct_event: { id: 40, length: 4, byteOrder: "host" },
  ifname: { id: 41, length: 16, byteOrder: "host" },
  igmp_type: { id: 42, length: 1, byteOrder: "network" },
  time_date: { id: 43, length: 8, byteOrder: "host" },
  time_hour: { id: 44, length: 8, byteOrder: "host" },
  time_day: { id: 45, length: 1, byteOrder: "host" },
  cgroupsv2: { id: 46, length: 8, byteOrder: "host" },
} as const satisfies Record<string, DataType>;

/** A name of {@link dataTypes}. */
export type DataTypeName = keyof typeof dataTypes;

const namesById = new Map<number, DataTypeName>(
  (Object.entries(dataTypes) as [DataTypeName, DataType][]).map(([name, { id }]) => [id, name]),
);

/** Types have 6 bits each in the number of a concatenation, the first in the highest. */
const typeBits = 6;

/** Bytes with which a part of a concatenation starts at a register: rounded up to a multiple of four. */
export function padded(length: number): number {
  return (length + 3) & ~3;
}

/**
 * The layout of a key or value of one type, or of several one after the other (`ipv4_addr . inet_service`).
 *
 * `integer` has no length of its own: use {@link typeofLayout} for keys with numbers.
 *
 * @throws {RangeError} for no types, more than five, or one without a fixed length.
 */
export function keyLayout(...names: readonly DataTypeName[]): KeyLayout {
  return layoutOf(names.map((name) => ({ type: name, length: dataTypes[name].length })));
}

/**
 * The layout of a key or value that is what these expressions load, as `nft` writes it with `typeof`: for keys with
 * parts that have no type of their own, such as a number from `numgen`. If a map's key is declared so, its values must
 * be too: `nft` takes both or neither.
 */
export function typeofLayout(...parts: readonly TypeofExpression[]): KeyLayout {
  const byteOrder = parts.length === 1 ? parts[0]?.byteOrder : undefined;
  return { ...layoutOf(parts), ...(byteOrder === undefined ? {} : { byteOrder }), typeOf: encodeTypeof(parts) };
}

/** A map's data: values in this layout. */
export function valueData(layout: KeyLayout): SetData {
  return { kind: "value", layout };
}

function layoutOf(parts: readonly { readonly type: DataTypeName; readonly length: number }[]): KeyLayout {
  if (parts.length === 0 || parts.length > 5) throw new RangeError(`a key has 1 to 5 parts, not ${parts.length}`);
  let type = 0;
  for (const part of parts) {
    if (part.length === 0) throw new RangeError(`${part.type} has no length of its own`);
    type = (type << typeBits) | dataTypes[part.type].id;
  }
  const fields = parts.map((part) => part.length);
  const [only] = fields;
  if (fields.length === 1 && only !== undefined) return { type, length: only };
  return { type, length: fields.reduce((sum, length) => sum + padded(length), 0), fields };
}

/** A part of a key: its type's name if it is known, its bytes, and where it starts. */
export interface KeyPart {
  readonly type: DataTypeName | undefined;
  readonly offset: number;
  readonly length: number;
}

/**
 * The parts of a key, first to last: one if it is no concatenation. Types that are not known and do not add up to the
 * layout's length give one part of an unknown type.
 */
export function keyParts(layout: KeyLayout): readonly KeyPart[] {
  const types: (DataTypeName | undefined)[] = [];
  for (let rest = layout.type; rest > 0; rest = Math.floor(rest / 2 ** typeBits)) {
    types.unshift(namesById.get(rest % 2 ** typeBits));
  }
  if (types.length <= 1) return [{ type: types[0], offset: 0, length: layout.length }];
  const lengths = layout.fields ?? inferLengths(types, layout.length);
  if (lengths?.length !== types.length) return [{ type: undefined, offset: 0, length: layout.length }];
  let offset = 0;
  return lengths.map((length, i) => {
    const part = { type: types[i], offset, length };
    offset += padded(length);
    return part;
  });
}

/** The lengths of the parts, if at most one of them has no fixed length: that one takes what is left. */
function inferLengths(types: readonly (DataTypeName | undefined)[], total: number): number[] | undefined {
  const lengths: number[] = types.map((type) => (type === undefined ? 0 : dataTypes[type].length));
  const left = total - lengths.reduce((sum, length) => sum + padded(length), 0);
  const open = lengths.filter((length) => length === 0).length;
  if (open > 1 || (open === 1 ? left <= 0 : left !== 0)) return undefined;
  return lengths.map((length) => length || left);
}

/** The number of a set's user data for host byte order. */
export const hostOrder = 1;

/** How `nft` is told the byte order of a key or value: 0 for concatenations and what has none, 1 host, 2 network. */
export function byteOrderNumber(layout: KeyLayout): number {
  if (layout.byteOrder !== undefined) return hostOrder;
  const [first, ...others] = keyParts(layout);
  if (others.length > 0 || first?.type === undefined) return 0;
  return { none: 0, host: hostOrder, network: 2 }[dataTypes[first.type].byteOrder];
}

/**
 * Puts the parts of a concatenated key together, each padded with zeros to a multiple of four bytes.
 *
 * @param into where to write, if a buffer shall be used again; it must have exactly the key's length.
 */
export function concatKey(parts: readonly Uint8Array[], into?: Uint8Array): Uint8Array {
  let length = 0;
  for (const part of parts) length += padded(part.length);
  const key = into ?? new Uint8Array(length);
  if (key.length !== length) throw new RangeError(`a key of ${length} bytes does not fit ${key.length}`);
  let at = 0;
  for (const part of parts) {
    key.set(part, at);
    key.fill(0, at + part.length, at + padded(part.length));
    at += padded(part.length);
  }
  return key;
}

/** The registers at which the parts of a concatenation start, if it starts at `first`. */
export function partRegisters(layout: KeyLayout, first: Register): readonly Register[] {
  return keyParts(layout).map((part) => first + part.offset / 4);
}

/** A number of 16 bits in network order, such as a port. */
export function u16Bytes(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value);
}

/** A number of 32 bits in network order. */
export function u32Bytes(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** A number of 32 bits in host order (little-endian), such as a mark or what `numgen` loads. */
export function hostU32Bytes(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

/** An interface's name as it stands in registers: 16 bytes, filled with zeros. @throws {RangeError} above 15 bytes. */
export function interfaceNameBytes(name: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const { read, written } = new TextEncoder().encodeInto(name, bytes.subarray(0, 15));
  if (read !== name.length || written === 0) throw new RangeError(`${JSON.stringify(name)} is no interface name`);
  return bytes;
}

/** True for all-ones: a range up to there has no element behind it. */
function isLast(key: Uint8Array): boolean {
  return key.every((byte) => byte === 255);
}

/**
 * The elements that stand for a range of keys in a set with `interval` and a simple key: its first key, and the first
 * key behind it.
 */
export function rangeElements(
  first: Uint8Array,
  last: Uint8Array,
): readonly { readonly key: Uint8Array; readonly intervalEnd?: boolean }[] {
  if (isLast(last)) return [{ key: first }];
  const after = last.slice();
  for (let i = after.length - 1; i >= 0; i--) {
    after[i] = ((after[i] ?? 0) + 1) & 255;
    if (after[i] !== 0) break;
  }
  return [{ key: first }, { key: after, intervalEnd: true }];
}
