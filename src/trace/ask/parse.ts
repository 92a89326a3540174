/** What people write for the two ends of a packet's way. */
import { type Address, tryParseAddress } from "../../net/address.ts";
import { isPort, tryParseHostPort } from "../../net/protocol.ts";

/** Who sends. */
export type From =
  | { readonly kind: "node"; readonly name?: string }
  | { readonly kind: "outside" }
  | { readonly kind: "address"; readonly address: Address }
  | { readonly kind: "pod" | "any"; readonly namespace?: string; readonly name: string };

/** To whom: the end, and what is wanted there. */
export interface To {
  readonly end:
    | { readonly kind: "address"; readonly address: Address }
    | { readonly kind: "service" | "pod" | "node" | "any"; readonly namespace?: string; readonly name: string };
  /** A number, or the name of a port. */
  readonly port?: number | string;
  readonly protocol?: "tcp" | "udp" | "sctp" | "icmp";
}

const prefixes = { svc: "service", service: "service", pod: "pod", po: "pod", node: "node", no: "node" } as const;
const name = "[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?";

/** Reads FROM; undefined if it is none. */
export function parseFrom(text: string): From | undefined {
  if (text === "node" || text === "outside") return { kind: text };
  const address = tryParseAddress(text.replace(/^\[(.*)\]$/, "$1"));
  if (address !== undefined) return { kind: "address", address };
  const named = parseName(text);
  if (named === undefined || named.kind === "service") return undefined;
  return named.kind === "node" ? { kind: "node", name: named.name } : { ...named, kind: named.kind };
}

/** Reads TO; undefined if it is none. */
export function parseTo(text: string): To | undefined {
  const [, rest = "", protocolText] = /^(.*?)(?:\/(tcp|udp|sctp|icmp))?$/i.exec(text) ?? [];
  const protocol = protocolText?.toLowerCase() as To["protocol"];
  const protocolPart = protocol === undefined ? {} : { protocol };
  const alone = tryParseAddress(rest.replace(/^\[(.*)\]$/, "$1"));
  if (alone !== undefined) return { end: { kind: "address", address: alone }, ...protocolPart };
  const hostPort = tryParseHostPort(rest);
  const address = tryParseAddress(hostPort?.host ?? "");
  if (address !== undefined) {
    if (hostPort === undefined || hostPort.port === 0) return undefined;
    return { end: { kind: "address", address }, port: hostPort.port, ...protocolPart };
  }
  const [, named = "", port] = /^([^:]*)(?::([^:]+))?$/.exec(rest) ?? [];
  const end = parseName(named);
  if (end === undefined) return undefined;
  if (port === undefined) return { end, ...protocolPart };
  const number = /^\d{1,5}$/.test(port) ? Number(port) : undefined;
  if (number !== undefined ? !isPort(number) : !/^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/.test(port)) return undefined;
  return { end, port: number ?? port, ...protocolPart };
}

/** `shop/web`, `web`, `svc/shop/web`, and `web.shop.svc.cluster.local` as DNS has it. */
function parseName(
  text: string,
):
  | { readonly kind: "service" | "pod" | "node" | "any"; readonly namespace?: string; readonly name: string }
  | undefined {
  const dns = new RegExp(`^([-a-z0-9]+)\\.([-a-z0-9]+)\\.svc(?:\\.${name})?$`).exec(text);
  if (dns?.[1] !== undefined && dns[2] !== undefined) return { kind: "service", namespace: dns[2], name: dns[1] };
  const parts = text.split("/");
  const first = parts[0] ?? "";
  const kind = parts.length > 1 && Object.hasOwn(prefixes, first) ? prefixes[first as keyof typeof prefixes] : "any";
  const rest = kind === "any" ? parts : parts.slice(1);
  const valid = rest.length >= 1 && rest.length <= 2 && rest.every((part) => new RegExp(`^${name}$`).test(part));
  const [a = "", b] = rest;
  if (!valid || (kind === "node" && b !== undefined)) return undefined;
  return b === undefined ? { kind, name: a } : { kind, namespace: a, name: b };
}
