/** Destinations of plugin forward: `IP[:port]`, `tls://IP%name`, `https://...`, host names, files like resolv.conf. */
import { tryParseAddress } from "../../../net/address.ts";
import { formatHostPort } from "../../../net/protocol.ts";

/** How a destination is asked. */
export type DestinationKind = "dns" | "tls" | "https";

/** A destination before host names are resolved. */
export interface Destination {
  readonly kind: DestinationKind;
  /** An address, or a host name that is to be resolved. */
  readonly host: string;
  readonly port: number;
  /** The name in the server's certificate; empty where the destination does not say. */
  readonly serverName: string;
  /** Of DNS over HTTPS. */
  readonly path: string;
}

const ports: Readonly<Record<DestinationKind, number>> = { dns: 53, tls: 853, https: 443 };

/**
 * Parses a destination.
 *
 * @returns undefined if it is none; it may still be the name of a file.
 */
export function parseDestination(text: string): Destination | undefined {
  const scheme = /^(dns|tls|https):\/\/(.*)$/i.exec(text);
  const kind = (scheme?.[1] ?? "dns").toLowerCase() as DestinationKind;
  const rest = scheme?.[2] ?? text;
  if (kind === "https") return parseUrl(text);
  const { place, serverName } = splitName(rest);
  const split = splitPort(place, ports[kind]);
  if (split === undefined || (tryParseAddress(split.host) === undefined && !isHostName(split.host))) return undefined;
  return { kind, ...split, serverName, path: "" };
}

/** `ADDRESS[:PORT]%NAME`, `ADDRESS%NAME:PORT` and `[ADDRESS%NAME]:PORT`: the name is that in the server's certificate. */
function splitName(text: string): { readonly place: string; readonly serverName: string } {
  const [, before, name, after = ""] =
    /^(\[?[^%\]]*)%([^%\]:]+)(\]?(?::\d+)?)$/.exec(text) ?? /^([^%]*)%([^%]+)$/.exec(text) ?? [];
  if (before === undefined || name === undefined) return { place: text, serverName: "" };
  return { place: before + after, serverName: name };
}

function parseUrl(text: string): Destination | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.username !== "" || url.hash !== "") return undefined;
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const serverName = tryParseAddress(host) === undefined ? host : "";
  const path = url.pathname === "/" ? "/dns-query" : url.pathname;
  return { kind: "https", host, port: url.port === "" ? ports.https : Number(url.port), serverName, path };
}

function splitPort(text: string, port: number): { readonly host: string; readonly port: number } | undefined {
  if (tryParseAddress(text) !== undefined) return { host: text, port };
  const match = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text) ?? /^([^:]+)(?::(\d{1,5}))?$/.exec(text);
  const [, host = "", digits] = match ?? [];
  if (host === "" || Number(digits ?? 1) > 65535 || digits === "0") return undefined;
  return { host, port: digits === undefined ? port : Number(digits) };
}

/** True for names of hosts with a dot in them: a word without one is taken for a file. */
function isHostName(text: string): boolean {
  return /^(?=.{1,253}$)([a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])?\.?$/i.test(text);
}

/** The name servers of a file like resolv.conf, in its order. Zones of link-local addresses are left out. */
export function nameServersOf(resolvConf: string): readonly string[] {
  return resolvConf.split("\n").flatMap((line) => {
    const [, address] = /^\s*nameserver\s+([^\s#;%]+)/.exec(line) ?? [];
    return address !== undefined && tryParseAddress(address) !== undefined ? [address] : [];
  });
}

/** A destination as it stands in metrics and log lines. */
export function formatDestination({ kind, host, port }: Destination): string {
  const place = formatHostPort(host, port);
  return kind === "https" ? `https://${place}` : place;
}
