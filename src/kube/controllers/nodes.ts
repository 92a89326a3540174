/** Nodes: each gets a prefix for the addresses of its pods. */
import { type Address, addressBytes, addressFromBytes } from "../../net/address.ts";
import { type Prefix, prefixAddress, prefixFamily, prefixLength, prefixOf, tryParsePrefix } from "../../net/prefix.ts";
import { type Api, internal } from "../server/api.ts";
import { listAt, objectAt } from "../server/json.ts";
import { needKind } from "./action.ts";
import { type Controller, keyOfObject } from "./loop.ts";

/** A range from which nodes get prefixes of a length. */
export interface PodRange {
  readonly range: Prefix;
  /** Length of a node's prefix in bits; not shorter than that of the range. */
  readonly nodeLength: number;
}

/**
 * The first prefix of a range that no node has.
 *
 * @returns undefined if all are taken.
 */
export function freePrefix({ range, nodeLength }: PodRange, taken: ReadonlySet<string>): Prefix | undefined {
  const count = 2 ** Math.min(24, nodeLength - prefixLength(range));
  for (let i = 0; i < count; i++) {
    const prefix = prefixOf(shifted(prefixAddress(range), i, nodeLength), nodeLength);
    if (!taken.has(prefix)) return prefix;
  }
  return undefined;
}

/** The address with `count` added to its first `length` bits. */
function shifted(address: Address, count: number, length: number): Address {
  const bytes = addressBytes(address);
  // The lowest bit of the prefix lies in this byte, this many bits from its right end.
  const last = Math.ceil(length / 8) - 1;
  let carry = count * 2 ** (8 * (last + 1) - length);
  for (let i = last; i >= 0 && carry > 0; i--) {
    carry += bytes[i] ?? 0;
    bytes[i] = carry % 256;
    carry = Math.floor(carry / 256);
  }
  return addressFromBytes(bytes);
}

/** The controller that gives nodes their prefixes, one of each range. */
export function nodeController(api: Api, ranges: readonly PodRange[]): Controller {
  return {
    name: "node-ipam-controller",
    watches: ["nodes"],
    keysOf: (_, { type, object }) => (type === "DELETED" ? [] : [keyOfObject(object)]),
    reconcile(key) {
      const node = api.store.get({ resource: "nodes", namespace: "", name: key.slice(1) });
      if (node === undefined || listAt(node, "spec", "podCIDRs").length > 0 || ranges.length === 0) return undefined;
      const taken = new Set(
        api
          .list("nodes")
          .flatMap((other) => listAt(other, "spec", "podCIDRs").flatMap((text) => tryParsePrefix(String(text)) ?? [])),
      );
      const podCIDRs = ranges.flatMap((range) => freePrefix(range, taken) ?? []);
      if (podCIDRs.length < ranges.length) {
        throw new Error(
          `node ${node.metadata.name} gets no pod prefix: all of ${ranges.map(({ range }) => range).join(", ")} are taken`,
        );
      }
      const spec = { ...objectAt(node, "spec"), podCIDR: podCIDRs[0], podCIDRs };
      api.update(needKind(api, "nodes"), "", node.metadata.name, { ...node, spec }, "", internal);
      return undefined;
    },
  };
}

/** Lengths that nodes' prefixes usually have: /24 of IPv4, /64 of IPv6, or the range itself where that is smaller. */
export function usualPodRange(range: Prefix): PodRange {
  return { range, nodeLength: Math.max(prefixLength(range), prefixFamily(range) === "IPv4" ? 24 : 64) };
}
