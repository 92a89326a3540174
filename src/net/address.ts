/**
 * IPv4 and IPv6 addresses as canonical text.
 *
 * An {@link Address} is a branded string in the one canonical form of its value (dotted decimal without leading zeros;
 * RFC 5952 for IPv6), so that `===`, `Map` keys, JSON and sorting work on it as they are, and 100,000s cost no more
 * than their characters.
 */

/** The two families, by the names of the Kubernetes API (`EndpointSlice.addressType`, `Service.spec.ipFamilies`). */
export type Family = "IPv4" | "IPv6";

/** Both families, in the order in which they are worked on everywhere. */
export const families: readonly Family[] = ["IPv4", "IPv6"];

declare const addressBrand: unique symbol;

/** An IP address in canonical text: made by {@link parseAddress}, {@link tryParseAddress} or {@link addressFromBytes} only. */
export type Address = string & { readonly [addressBrand]: true };

/**
 * Parses an IPv4 or IPv6 address, strictly: no leading zeros, no empty octets, no zone, no port, no blanks.
 * IPv4-mapped IPv6 addresses (`::ffff:1.2.3.4`) stay IPv6.
 *
 * @returns the canonical address, or undefined if `text` is not one.
 */
export function tryParseAddress(text: string): Address | undefined {
  // The strict IPv4 syntax has one text for each value, so that nothing needs to be formatted.
  if (!text.includes(":")) return parseIPv4(text) && (text as Address);
  const bytes = parseIPv6(text);
  return bytes && addressFromBytes(bytes);
}

/**
 * Parses an address as {@link tryParseAddress} does.
 *
 * @throws {TypeError} if `text` is not an address.
 */
export function parseAddress(text: string): Address {
  const address = tryParseAddress(text);
  if (address === undefined) throw new TypeError(`${JSON.stringify(text)} is not an IPv4 or IPv6 address`);
  return address;
}

/** The family of an address. */
export function familyOf(address: Address): Family {
  return address.includes(":") ? "IPv6" : "IPv4";
}

/** The length in bytes of the addresses of a family: 4 or 16. */
export function addressLength(family: Family): 4 | 16 {
  return family === "IPv4" ? 4 : 16;
}

/** The address in network byte order: 4 or 16 bytes, newly allocated. */
export function addressBytes(address: Address): Uint8Array {
  const bytes = address.includes(":") ? parseIPv6(address) : parseIPv4(address);
  if (bytes === undefined) throw new TypeError(`${JSON.stringify(address)} is not a canonical address`);
  return bytes;
}

/**
 * The canonical address of 4 or 16 bytes in network byte order.
 *
 * @throws {RangeError} if there are not 4 or 16 bytes.
 */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as Address;
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  return formatIPv6(bytes) as Address;
}

/** Orders IPv4 before IPv6 and, within a family, by value: for `Array.prototype.sort`. */
export function compareAddresses(a: Address, b: Address): number {
  const left = addressBytes(a);
  const right = addressBytes(b);
  return left.length - right.length || compareBytes(left, right);
}

/** Orders two byte strings of the same length as unsigned numbers, the first byte most significant. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** True for 127.0.0.0/8 and ::1. */
export function isLoopback(address: Address): boolean {
  return address === "::1" || address.startsWith("127.");
}

/** True for 0.0.0.0 and ::. */
export function isUnspecified(address: Address): boolean {
  return address === "::" || address === "0.0.0.0";
}

/** True for 169.254.0.0/16 and fe80::/10 (RFC 3927, RFC 4291). */
export function isLinkLocal(address: Address): boolean {
  return address.startsWith("169.254.") || /^fe[89ab]/.test(address);
}

function parseIPv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let octet = 0;
  let value = -1;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 46) {
      if (value < 0 || octet === 3) return undefined;
      bytes[octet++] = value;
      value = -1;
    } else if (code >= 48 && code <= 57) {
      if (value === 0) return undefined;
      value = value < 0 ? code - 48 : value * 10 + code - 48;
      if (value > 255) return undefined;
    } else {
      return undefined;
    }
  }
  if (octet !== 3 || value < 0) return undefined;
  bytes[3] = value;
  return bytes;
}

function parseIPv6(text: string): Uint8Array | undefined {
  const gap = text.indexOf("::");
  if (gap !== text.lastIndexOf("::")) return undefined;
  const head = gap === 0 ? [] : (gap < 0 ? text : text.slice(0, gap)).split(":");
  const tail = gap < 0 || gap === text.length - 2 ? [] : text.slice(gap + 2).split(":");
  const groups = [...head, ...tail];
  const last = groups.at(-1);
  let embedded: Uint8Array | undefined;
  if (last?.includes(".")) {
    if (gap >= 0 && tail.length === 0) return undefined;
    embedded = parseIPv4(last);
    if (embedded === undefined) return undefined;
  }
  const units = groups.length + (embedded ? 1 : 0);
  if (gap < 0 ? units !== 8 : units > 7) return undefined;
  const bytes = new Uint8Array(16);
  const words = embedded ? groups.slice(0, -1) : groups;
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (!/^[0-9a-fA-F]{1,4}$/.test(word)) return undefined;
    const value = Number.parseInt(word, 16);
    const at = 2 * (i < head.length ? i : i + 8 - units);
    bytes[at] = value >> 8;
    bytes[at + 1] = value & 255;
  }
  if (embedded) bytes.set(embedded, 12);
  return bytes;
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`. */
function formatIPv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
  }
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) {
      start = i;
      length = end - i;
    }
    i = Math.max(i, end - 1);
  }
  const hex = (words: readonly number[]) => words.map((word) => word.toString(16)).join(":");
  if (start < 0) return hex(groups);
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}
