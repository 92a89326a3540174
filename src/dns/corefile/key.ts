/** The keys of server blocks: `[scheme://]zone[:port]`. */
import { addressBytes } from "../../net/address.ts";
import { prefixAddress, prefixFamily, prefixLength, tryParsePrefix } from "../../net/prefix.ts";
import { tryParseName } from "../wire/names.ts";

/** How queries come in: plain DNS over UDP and TCP, over TLS, over HTTPS, over gRPC. */
export type Transport = "dns" | "tls" | "https" | "grpc";

/** The port of each transport where a key names none. */
export const defaultPorts: Readonly<Record<Transport, number>> = { dns: 53, tls: 853, https: 443, grpc: 443 };

/** A key in normal form. */
export interface ServerKey {
  readonly transport: Transport;
  /** In lower case, with final dots; more than one for a prefix that does not end at a label. */
  readonly zones: readonly string[];
  readonly port: number;
}

/**
 * Parses a key: `example.org`, `.:1053`, `tls://example.org`, `10.0.0.0/24` (the reverse zones of a prefix).
 *
 * @param dnsPort the port of plain DNS where the key names none.
 * @throws {TypeError} that says what is wrong with it.
 */
export function parseServerKey(text: string, dnsPort: number = defaultPorts.dns): ServerKey {
  const scheme = /^([a-z0-9]+):\/\//i.exec(text);
  const transport = (scheme?.[1] ?? "dns").toLowerCase();
  if (!isTransport(transport))
    throw new TypeError(`transport ${transport}:// is not supported, use dns, tls, https or grpc`);
  const rest = text.slice(scheme?.[0].length ?? 0);
  const colon = rest.lastIndexOf(":");
  if (colon >= 0 && colon === rest.length - 1) throw new TypeError(`port is missing after the last colon of '${text}'`);
  const digits = colon >= 0 && /^\d+$/.test(rest.slice(colon + 1)) ? rest.slice(colon + 1) : undefined;
  const port = digits === undefined ? (transport === "dns" ? dnsPort : defaultPorts[transport]) : Number(digits);
  if (port > 65535) throw new TypeError(`port ${port} of '${text}' is above 65535`);
  return { transport, zones: parseZones(digits === undefined ? rest : rest.slice(0, colon)), port };
}

/**
 * The zones that an argument names: a domain name, or the reverse zones of a prefix such as `10.0.0.0/22`. A final dot
 * makes it a domain name in any case.
 *
 * @throws {TypeError} if it is neither.
 */
export function parseZones(text: string): readonly string[] {
  const prefix = tryParsePrefix(text);
  if (prefix !== undefined) return reverseZones(prefix);
  const name = tryParseName(text === "" ? "." : text);
  if (name === undefined) throw new TypeError(`'${text}' is not a domain name or prefix`);
  return [name.toLowerCase()];
}

/** The reverse zones of a prefix, split at the next octet (IPv4) or nibble (IPv6): 10.0.0.0/23 has two. */
function reverseZones(prefix: NonNullable<ReturnType<typeof tryParsePrefix>>): readonly string[] {
  const four = prefixFamily(prefix) === "IPv4";
  const unit = four ? 8 : 4;
  const length = prefixLength(prefix);
  const bytes = addressBytes(prefixAddress(prefix));
  const labels = four ? [...bytes].map(Number) : [...bytes].flatMap((byte) => [byte >> 4, byte & 15]);
  const whole = Math.ceil(length / unit);
  const count = 2 ** (whole * unit - length);
  const suffix = four ? "in-addr.arpa." : "ip6.arpa.";
  return Array.from({ length: count }, (_, i) => {
    const parts = labels.slice(0, whole);
    if (whole > 0) parts[whole - 1] = (parts[whole - 1] ?? 0) + i;
    return [...parts.reverse().map((part) => part.toString(four ? 10 : 16)), suffix].join(".");
  });
}

function isTransport(text: string): text is Transport {
  return Object.hasOwn(defaultPorts, text);
}
