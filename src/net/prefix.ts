/** IP prefixes (CIDR blocks) as canonical text. */
import {
  type Address,
  addressBytes,
  addressFromBytes,
  addressLength,
  type Family,
  familyOf,
  tryParseAddress,
} from "./address.ts";

declare const prefixBrand: unique symbol;

/** A prefix in canonical text: canonical address with the host bits zero, a slash, the length. `===` is equality. */
export type Prefix = string & { readonly [prefixBrand]: true };

/**
 * Parses a prefix such as `10.0.0.0/8`. Host bits may be set and are cleared, as Go's `net.ParseCIDR` does; the length
 * is decimal without leading zeros, 0 to 32 or 0 to 128.
 *
 * @returns the canonical prefix, or undefined if `text` is not one.
 */
export function tryParsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const address = tryParseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === undefined || !/^(0|[1-9][0-9]{0,2})$/.test(digits)) return undefined;
  const length = Number(digits);
  return length > 8 * addressLength(familyOf(address)) ? undefined : prefixOf(address, length);
}

/**
 * Parses a prefix as {@link tryParsePrefix} does.
 *
 * @throws {TypeError} if `text` is not a prefix.
 */
export function parsePrefix(text: string): Prefix {
  const prefix = tryParsePrefix(text);
  if (prefix === undefined) throw new TypeError(`${JSON.stringify(text)} is not a prefix like 10.0.0.0/8 or fd00::/8`);
  return prefix;
}

/**
 * The prefix of `length` bits that contains `address`.
 *
 * @throws {RangeError} if the length is not a whole number from 0 to 32 (IPv4) or 128 (IPv6).
 */
export function prefixOf(address: Address, length: number): Prefix {
  const bytes = addressBytes(address);
  if (!Number.isInteger(length) || length < 0 || length > 8 * bytes.length) {
    throw new RangeError(`${length} is not a prefix length of an ${familyOf(address)} address`);
  }
  clearHostBits(bytes, length);
  return `${addressFromBytes(bytes)}/${length}` as Prefix;
}

/** The prefix that contains this address alone: /32 or /128. */
export function hostPrefix(address: Address): Prefix {
  return `${address}/${8 * addressLength(familyOf(address))}` as Prefix;
}

/** The first address of a prefix. */
export function prefixAddress(prefix: Prefix): Address {
  return prefix.slice(0, prefix.indexOf("/")) as Address;
}

/** The length of a prefix in bits. */
export function prefixLength(prefix: Prefix): number {
  return Number(prefix.slice(prefix.indexOf("/") + 1));
}

/** The family of a prefix. */
export function prefixFamily(prefix: Prefix): Family {
  return prefix.includes(":") ? "IPv6" : "IPv4";
}

/** True if the address lies in the prefix; false for another family. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  return prefixFamily(prefix) === familyOf(address) && prefixOf(address, prefixLength(prefix)) === prefix;
}

/** True for 0.0.0.0/0 and ::/0. */
export function isEveryAddress(prefix: Prefix): boolean {
  return prefix.endsWith("/0");
}

/** The first and the last address of a prefix, in network byte order. */
export function prefixRange(prefix: Prefix): { readonly first: Uint8Array; readonly last: Uint8Array } {
  const first = addressBytes(prefixAddress(prefix));
  const length = prefixLength(prefix);
  const last = first.map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, length - 8 * i))));
  return { first, last };
}

function clearHostBits(bytes: Uint8Array, length: number): void {
  for (let i = 0; i < bytes.length; i++) {
    const keep = Math.min(8, Math.max(0, length - 8 * i));
    bytes[i] = (bytes[i] ?? 0) & (0xff00 >> keep);
  }
}

/** The prefixes without those that another of them contains: they cover the same addresses, and none twice. */
export function outermostPrefixes(prefixes: readonly Prefix[]): readonly Prefix[] {
  const sorted = [...new Set(prefixes)].sort((a, b) => prefixLength(a) - prefixLength(b));
  const kept: Prefix[] = [];
  for (const prefix of sorted) {
    if (!kept.some((outer) => prefixContains(outer, prefixAddress(prefix)))) kept.push(prefix);
  }
  return kept;
}
