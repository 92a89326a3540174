/**
 * The fixed cast of all flow files: who can be a client or an endpoint, with which addresses. README.md has the picture.
 * Plain data: the decisions need it without a kernel, the runner builds it.
 */
import { type Address, type Family, familyOf, parseAddress } from "../../src/net/address.ts";
import { type Prefix, parsePrefix } from "../../src/net/prefix.ts";

/** Where a place is attached. */
export type Site =
  /** The node under test itself. */
  | "node"
  /** A pod of the node under test, on its bridge. */
  | "bridge"
  /** A pod of the node under test, on a link of its own (`ptp-NAME`). */
  | "link"
  /** The other node: itself or one of its pods. */
  | "there"
  /** Beyond the node's uplink. */
  | "outside";

/** Somebody with addresses: a client, an endpoint or both. */
export interface Place {
  readonly name: string;
  readonly site: Site;
  readonly IPv4: Address;
  readonly IPv6: Address;
  /** The node that an EndpointSlice names; empty where it is no node of the cluster. */
  readonly nodeName: string;
}

const place = (name: string, site: Site, IPv4: string, IPv6: string, nodeName: string): Place => ({
  name,
  site,
  IPv4: parseAddress(IPv4),
  IPv6: parseAddress(IPv6),
  nodeName,
});

/** The names of the two nodes, and their zones where a file says nothing else. */
export const nodeName = "here";
export const otherNodeName = "there";
export const nodeZone = "a";

/** Everybody, by name. */
export const places: ReadonlyMap<string, Place> = new Map(
  [
    place("node", "node", "192.0.2.1", "2001:db8:2::1", nodeName),
    place("pod", "bridge", "10.244.1.2", "fd00:10:244:1::2", nodeName),
    place("p1", "bridge", "10.244.1.11", "fd00:10:244:1::11", nodeName),
    place("p2", "bridge", "10.244.1.12", "fd00:10:244:1::12", nodeName),
    place("p3", "bridge", "10.244.1.13", "fd00:10:244:1::13", nodeName),
    place("q1", "link", "10.244.1.129", "fd00:10:244:1:8000::1", nodeName),
    place("there", "there", "172.18.0.2", "fd00:172:18::2", otherNodeName),
    place("r1", "there", "10.244.2.11", "fd00:10:244:2::11", otherNodeName),
    place("r2", "there", "10.244.2.12", "fd00:10:244:2::12", otherNodeName),
    place("r3", "there", "10.244.2.13", "fd00:10:244:2::13", otherNodeName),
    place("outside", "outside", "198.51.100.10", "2001:db8:51:1::10", ""),
    place("far", "outside", "198.51.100.200", "2001:db8:51:2::10", ""),
  ].map((each) => [each.name, each]),
);

/** The addresses of the node under test, loopback included, by its interfaces. The first on eth0 are the primary ones. */
export const nodeAddresses: Readonly<Record<"eth0" | "eth1" | "eth2" | "cbr0" | "lo", readonly Address[]>> = {
  eth0: ["192.0.2.1", "2001:db8:2::1", "192.0.2.2", "2001:db8:2::2"].map(parseAddress),
  eth1: ["172.18.0.1", "fd00:172:18::1"].map(parseAddress),
  eth2: ["192.168.7.1", "fd00:192:168:7::1"].map(parseAddress),
  cbr0: ["10.244.1.1", "fd00:10:244:1::1"].map(parseAddress),
  lo: ["127.0.0.1", "::1"].map(parseAddress),
};

const nodeAddressSet: ReadonlySet<Address> = new Set(Object.values(nodeAddresses).flat());

/** True if the node under test has this address, or any other that is loopback. */
export function isNodeAddress(address: Address): boolean {
  return nodeAddressSet.has(address) || address.startsWith("127.");
}

/** The pod ranges of the cluster, of the node under test, and the service ranges. */
export const ranges = {
  cluster: ["10.244.0.0/16", "fd00:10:244::/48"].map(parsePrefix),
  node: ["10.244.1.0/24", "fd00:10:244:1::/64"].map(parsePrefix),
  services: ["10.96.0.0/16", "fd00:96::/112"].map(parsePrefix),
} satisfies Record<string, readonly Prefix[]>;

/** The address of a place in a family. */
export function addressOf(at: Place, family: Family): Address {
  return at[family];
}

const byAddress = new Map([...places.values()].flatMap((at) => [at.IPv4, at.IPv6].map((address) => [address, at])));
for (const address of nodeAddressSet) byAddress.set(address, places.get("node") as Place);

/** Whose address this is; undefined if nobody's. */
export function placeOf(address: Address): Place | undefined {
  return byAddress.get(address);
}

/**
 * The address from which the node under test reaches `to`, as its routes choose it: an address of its own from itself,
 * pods and the other node from the interface that leads there, all else through its default route.
 */
export function nodeSource(to: Address): Address {
  const family = familyOf(to);
  if (isNodeAddress(to)) return to;
  const site = placeOf(to)?.site;
  const device =
    site === "bridge" || site === "link" ? "cbr0" : site === "there" ? "eth1" : site === "outside" ? "eth0" : "eth2";
  return nodeAddresses[device].find((address) => familyOf(address) === family) as Address;
}
