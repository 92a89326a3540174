/** Ranges of addresses, replaced: where one does not stay one, as many as it takes. */
import { compareBytes } from "../../net/address.ts";
import { bytesOf, type Mapping, prefixesOf, staysRange } from "./mapping.ts";

/** A range, both ends included. */
export interface ByteRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/** The same addresses, replaced. */
export function replaceRange({ from, to }: ByteRange, mapping: Mapping): readonly ByteRange[] {
  if (compareBytes(from, to) > 0) return [{ from, to }];
  if (staysRange(from, to)) return [{ from: mapping.address(from), to: mapping.address(to) }];
  return prefixesOf(from, to).map(({ address, length }) => {
    const first = masked(mapping.address(address), length);
    return { from: first, to: lastOf(first, length) };
  });
}

/** An address with its first bits alone. */
export function masked(address: Uint8Array, length: number): Uint8Array {
  return address.map((byte, i) => byte & (0xff00 >> Math.max(0, Math.min(8, length - 8 * i))) & 0xff);
}

function lastOf(address: Uint8Array, length: number): Uint8Array {
  return address.map((byte, i) => byte | (0xff >> Math.max(0, Math.min(8, length - 8 * i))));
}

/** The address after one; zeros after the last. */
export function after(address: Uint8Array): Uint8Array {
  return bytesOf(BigInt(`0x${Buffer.from(address).toString("hex")}`) + 1n, address.length);
}

/** The address before one; the last before zeros. */
export function before(address: Uint8Array): Uint8Array {
  const number = BigInt(`0x${Buffer.from(address).toString("hex")}`);
  return number === 0n ? address.map(() => 255) : bytesOf(number - 1n, address.length);
}
