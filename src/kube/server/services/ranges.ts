/** Ranges of addresses and ports as numbers, and the choice of a free one. Pure but for the source of randomness. */
import { type Address, addressBytes, addressFromBytes, addressLength } from "../../../net/address.ts";
import { type Prefix, prefixAddress, prefixContains, prefixFamily, prefixLength } from "../../../net/prefix.ts";

/** How many addresses of a prefix Services can have: not the first, nor the last of an IPv4 prefix. At most 2^48. */
export function usableAddresses(prefix: Prefix): number {
  const bits = 8 * addressLength(prefixFamily(prefix)) - prefixLength(prefix);
  if (bits === 0) return 0;
  return 2 ** Math.min(bits, 48) - (prefixFamily(prefix) === "IPv4" ? 2 : 1);
}

/** The address of a prefix at a place; 0 is the first usable one. */
export function addressAt(prefix: Prefix, place: number): Address {
  const bytes = addressBytes(prefixAddress(prefix));
  let carry = place + 1;
  for (let i = bytes.length - 1; i >= 0 && carry > 0; i--) {
    carry += bytes[i] ?? 0;
    bytes[i] = carry % 256;
    carry = Math.floor(carry / 256);
  }
  return addressFromBytes(bytes);
}

/** True if Services can have the address: it is in the prefix, and neither its first nor (IPv4) its last. */
export function isUsable(prefix: Prefix, address: Address): boolean {
  if (!prefixContains(prefix, address) || address === prefixAddress(prefix)) return false;
  return prefixFamily(prefix) === "IPv6" || address !== addressAt(prefix, usableAddresses(prefix));
}

/**
 * How many places at the start of a range are left to those who ask for a certain one: 16 to 256, a sixteenth (KEP-3070);
 * none in a range of fewer than 16.
 */
export function reservedPlaces(size: number, least: number, most: number, step: number): number {
  return size < least ? 0 : Math.min(most, Math.max(least, Math.floor(size / step)));
}

/**
 * A free place of `size`, by chance; from those that are reserved at the start only when there is no other.
 *
 * @returns undefined if none is free.
 */
export function chooseFree(
  size: number,
  reserved: number,
  taken: (place: number) => boolean,
  random: () => number,
): number | undefined {
  const bands = [
    { from: reserved, count: size - reserved },
    { from: 0, count: reserved },
  ];
  for (const { from, count } of bands) {
    if (count <= 0) continue;
    const start = Math.floor(random() * count);
    // A band of addresses can be huge, but only as many as there are Services can be taken.
    for (let i = 0; i < count; i++) {
      const place = from + ((start + i) % count);
      if (!taken(place)) return place;
    }
  }
  return undefined;
}
