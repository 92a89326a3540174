/** What expressions compute on values of registers. */
import type { Bytes } from "./packet.ts";
import { compareKnown, equals } from "./registers.ts";

/** How a value is compared. */
export type CompareOp = "eq" | "neq" | "lt" | "lte" | "gt" | "gte";

/** Compares as the kernel does, from the first byte on; undefined if it depends on what is not known. */
export function compare(value: Bytes, op: CompareOp, data: Uint8Array): boolean | undefined {
  if (op === "eq" || op === "neq") {
    const equal = equals(value, data);
    return equal === undefined ? undefined : equal === (op === "eq");
  }
  const order = compareKnown(value, data);
  if (order === undefined) return undefined;
  return { lt: order < 0, lte: order <= 0, gt: order > 0, gte: order >= 0 }[op];
}

/** Shifts words in host byte order, the first word most significant. */
export function shift(data: Uint8Array, direction: "left" | "right", bits: number): Uint8Array {
  const length = Math.ceil(data.length / 4);
  const bytes = new Uint8Array(4 * length);
  bytes.set(data);
  const view = new DataView(bytes.buffer);
  let carry = 0;
  for (let i = 0; i < length; i++) {
    const at = 4 * (direction === "left" ? length - 1 - i : i);
    const word = view.getUint32(at, true);
    const moved = direction === "left" ? (bits > 31 ? 0 : word << bits) : bits > 31 ? 0 : word >>> bits;
    view.setUint32(at, (moved | carry) >>> 0, true);
    carry = bits === 0 ? 0 : direction === "left" ? word >>> (32 - bits) : word << (32 - bits);
  }
  return bytes.slice(0, data.length);
}

/** Swaps the bytes of each unit of `size`. */
export function swap(data: Uint8Array, size: number): Uint8Array {
  const result = data.slice();
  for (let at = 0; at + size <= data.length; at += size) result.set(data.slice(at, at + size).reverse(), at);
  return result;
}

/** A number in host order. */
export function hostNumber(data: Uint8Array): number {
  return new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
}

/** A value as people may recognise it: a port, an address, a name, else digits. */
export function show(data: Uint8Array): string {
  if (data.length === 2) return String(((data[0] ?? 0) << 8) | (data[1] ?? 0));
  if (data.length === 1) return String(data[0]);
  if (data.length === 16 && /^[\w.@-]+\0*$/.test(Buffer.from(data).toString("latin1"))) {
    return Buffer.from(data).toString("latin1").replace(/\0+$/, "");
  }
  return `0x${Buffer.from(data).toString("hex")}`;
}
