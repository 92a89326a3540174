/** Hardware addresses of links as canonical text. */
declare const macBrand: unique symbol;

/** A hardware address: pairs of lower-case hexadecimal digits with colons between, six of them for Ethernet. */
export type MacAddress = string & { readonly [macBrand]: true };

/** Parses an Ethernet address such as `02:42:ac:11:00:02`, in any case. @returns undefined if `text` is not one. */
export function tryParseMac(text: string): MacAddress | undefined {
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) ? (text.toLowerCase() as MacAddress) : undefined;
}

/** Parses as {@link tryParseMac} does. @throws {TypeError} if `text` is not an Ethernet address. */
export function parseMac(text: string): MacAddress {
  const mac = tryParseMac(text);
  if (mac === undefined)
    throw new TypeError(`${JSON.stringify(text)} is not an Ethernet address like 02:00:00:00:00:01`);
  return mac;
}

/** The text of a hardware address of any length. */
export function macFromBytes(bytes: Uint8Array): MacAddress {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":") as MacAddress;
}

/** The bytes of a hardware address. */
export function macBytes(mac: MacAddress): Uint8Array {
  return Uint8Array.from(mac.split(":"), (pair) => Number.parseInt(pair, 16));
}
