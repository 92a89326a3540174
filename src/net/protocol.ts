/** Transport protocols and ports. */

/** The protocols of Service ports, by the names of the Kubernetes API. */
export type Protocol = "TCP" | "UDP" | "SCTP";

/** The protocols, in the order in which they are worked on everywhere. */
export const protocols: readonly Protocol[] = ["TCP", "UDP", "SCTP"];

/** IANA protocol numbers, as in the IPv4 header's protocol field and IPv6's next header. */
export const protocolNumbers: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** The protocol of a name in any case, or undefined. */
export function tryParseProtocol(name: string): Protocol | undefined {
  const upper = name.toUpperCase();
  return protocols.find((protocol) => protocol === upper);
}

/** The protocol of an IANA number, or undefined if Services do not know it. */
export function protocolFromNumber(number: number): Protocol | undefined {
  return protocols.find((protocol) => protocolNumbers[protocol] === number);
}

/** True for a whole number from 1 to 65535. */
export function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65535;
}

/** `address:port`, an IPv6 address in brackets. */
export function formatHostPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/**
 * Takes `host:port` or `[host]:port` apart; the host may be empty and is not checked.
 *
 * @returns undefined without a port from 0 to 65535, or with an IPv6 address that has no brackets.
 */
export function tryParseHostPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  return match && port <= 65535 ? { host: match[1] ?? match[2] ?? "", port } : undefined;
}
