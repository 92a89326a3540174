/** On which addresses of the node its node ports answer (KubeProxyConfiguration.nodePortAddresses). */
import {
  type Address,
  compareAddresses,
  type Family,
  families,
  familyOf,
  isLoopback,
  parseAddress,
} from "../net/address.ts";
import {
  hostPrefix,
  isEveryAddress,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixFamily,
  tryParsePrefix,
} from "../net/prefix.ts";
import type { NodePortAddresses } from "./settings.ts";

/** An entry of nodePortAddresses: the addresses of the host in a prefix, or a word for some of them (KEP-6032). */
export type NodePortSelector = (typeof words)[number] | Prefix;

const words = ["primary", "localhost", "all"] as const;

/** What a mode can do with node ports. */
export interface NodePortSupport {
  /** What an empty list of selectors means. */
  readonly byDefault: readonly NodePortSelector[];
  /** The families in which the mode can serve node ports on loopback addresses. */
  readonly loopback: readonly Family[];
}

/**
 * What each mode can do with node ports. With iptables 127.0.0.0/8 needs localhostNodePorts (and sysctl route_localnet),
 * which has no counterpart in IPv6 and which the other modes do without.
 */
export function nodePortSupport(mode: string, localhostNodePorts: boolean): NodePortSupport {
  if (mode === "iptables") return { byDefault: ["all"], loopback: localhostNodePorts ? ["IPv4"] : [] };
  return { byDefault: [mode === "ipvs" ? "all" : "primary"], loopback: [] };
}

/** Parses an entry of nodePortAddresses; undefined if it is neither a prefix nor one of the words. */
export function tryParseNodePortSelector(text: string): NodePortSelector | undefined {
  return words.find((word) => word === text) ?? tryParsePrefix(text);
}

/** The addresses that a host has. */
export interface HostAddresses {
  /** Those of the Node object, the preferred ones first: the first of each family is the primary one. */
  readonly node: readonly Address[];
  /** All local addresses, loopback included. */
  readonly local: readonly Address[];
}

/**
 * Resolves selectors for one family. Those of the other family do not count; where none is left, every address serves.
 * Loopback addresses serve only in the families that the mode supports.
 */
export function resolveNodePorts(
  selectors: readonly NodePortSelector[],
  family: Family,
  host: HostAddresses,
  support: NodePortSupport,
): NodePortAddresses {
  const loopback = support.loopback.includes(family);
  const chosen = (selectors.length > 0 ? selectors : support.byDefault)
    .flatMap((selector) => prefixesOf(selector, host))
    .filter((prefix) => prefixFamily(prefix) === family);
  if (chosen.length === 0 || chosen.some(isEveryAddress)) return { kind: "all", loopback };
  const serves = (address: Address) =>
    (loopback || !isLoopback(address)) && chosen.some((prefix) => prefixContains(prefix, address));
  return { kind: "addresses", addresses: [...new Set(host.local.filter(serves))].sort(compareAddresses) };
}

/**
 * Whether node ports may answer on loopback addresses, whatever addresses the host has: for who prepares a host before
 * its Node is known.
 */
export function mayServeLoopback(
  selectors: readonly NodePortSelector[],
  family: Family,
  support: NodePortSupport,
): boolean {
  const loopback = parseAddress(family === "IPv4" ? "127.0.0.1" : "::1");
  const includes = (selector: NodePortSelector) =>
    selector !== "primary" && (selector === "all" || selector === "localhost" || prefixContains(selector, loopback));
  return support.loopback.includes(family) && (selectors.length > 0 ? selectors : support.byDefault).some(includes);
}

/** The primary address of a family: the first that the Node object names. */
export function primaryAddress(host: HostAddresses, family: Family): Address | undefined {
  return host.node.find((address) => familyOf(address) === family);
}

const everyAddress = [parsePrefix("0.0.0.0/0"), parsePrefix("::/0")];
const loopbackPrefixes = [parsePrefix("127.0.0.0/8"), parsePrefix("::1/128")];

function prefixesOf(selector: NodePortSelector, host: HostAddresses): readonly Prefix[] {
  switch (selector) {
    case "all":
      return everyAddress;
    case "localhost":
      return loopbackPrefixes;
    case "primary":
      return families
        .map((family) => primaryAddress(host, family))
        .filter(isUsable)
        .map(hostPrefix);
    default:
      return [selector];
  }
}

function isUsable(address: Address | undefined): address is Address {
  return address !== undefined && !isLoopback(address);
}
