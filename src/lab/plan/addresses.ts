/**
 * The addresses of a lab. They are the same in every lab: no lab is connected with another, nor with the machine.
 *
 * | what                        | IPv4                | IPv6                     |
 * | --------------------------- | ------------------- | ------------------------ |
 * | the wire                    | 172.20.0.0/24       | fd00:172:20::/64         |
 * | - the API server            | 172.20.0.1          | fd00:172:20::1           |
 * | - somebody outside          | 172.20.0.2          | fd00:172:20::2           |
 * | - node N                    | 172.20.0.(10+N)     | fd00:172:20::(10+N)      |
 * | pods of node N              | 10.244.N.0/24       | fd00:10:244:N::/64       |
 * | Services                    | 10.96.0.0/16        | fd00:10:96::/112         |
 * | load balancers and the like | 203.0.113.0/24      | 2001:db8:113::/64        |
 */
import { type Address, type Family, parseAddress } from "../../net/address.ts";
import { type Prefix, parsePrefix } from "../../net/prefix.ts";

/** A block of addresses, by family. */
export type PerFamily<T> = Readonly<Record<Family, T>>;

/** The wire between the nodes. */
export const wirePrefix: PerFamily<Prefix> = {
  IPv4: parsePrefix("172.20.0.0/24"),
  IPv6: parsePrefix("fd00:172:20::/64"),
};

/** All pods. */
export const clusterPrefix: PerFamily<Prefix> = {
  IPv4: parsePrefix("10.244.0.0/16"),
  IPv6: parsePrefix("fd00:10:244::/48"),
};

/** Cluster IPs. */
export const servicePrefix: PerFamily<Prefix> = {
  IPv4: parsePrefix("10.96.0.0/16"),
  IPv6: parsePrefix("fd00:10:96::/112"),
};

/** Addresses for external IPs and load balancers: routed to the first node by whoever is outside. */
export const externalPrefix: PerFamily<Prefix> = {
  IPv4: parsePrefix("203.0.113.0/24"),
  IPv6: parsePrefix("2001:db8:113::/64"),
};

/** Where the cluster's DNS is, as in most clusters. */
export const dnsAddress: Address = parseAddress("10.96.0.10");
/** Where the API server's own Service is. */
export const apiServiceAddress: Address = parseAddress("10.96.0.1");
/** The domain of the cluster's names. */
export const clusterDomain = "cluster.local";

/** Lengths of the prefixes of the wire and of a node's pods. */
export const subnetLength: PerFamily<number> = { IPv4: 24, IPv6: 64 };

/** A host on the wire. */
export function wireAddress(family: Family, host: number): Address {
  return parseAddress(family === "IPv4" ? `172.20.0.${host}` : `fd00:172:20::${host.toString(16)}`);
}

/** The hosts on the wire that are no nodes. */
export const wireHost = { api: 1, outside: 2 } as const;

/** The host on the wire that is a node. */
export function nodeHost(index: number): number {
  return 10 + index;
}

/** The pods of a node. */
export function podPrefix(family: Family, node: number): Prefix {
  return parsePrefix(family === "IPv4" ? `10.244.${node}.0/24` : `fd00:10:244:${node.toString(16)}::/64`);
}

/** A pod of a node; host 1 is the node itself. */
export function podAddress(family: Family, node: number, host: number): Address {
  const text = family === "IPv4" ? `10.244.${node}.${host}` : `fd00:10:244:${node.toString(16)}::${host.toString(16)}`;
  return parseAddress(text);
}

/** Hosts that pods of a node may have. */
export const podHosts = { first: 2, last: 254 } as const;

/** The host of a pod's IPv4 address; undefined if it is none of that node. */
export function podHostOf(address: string, node: number): number | undefined {
  const [, host] = new RegExp(`^10\\.244\\.${node}\\.(\\d{1,3})$`).exec(address) ?? [];
  return host === undefined ? undefined : Number(host);
}

/** The hardware address of whoever has an IPv4 address: the same for ever, so that no neighbour learns a wrong one. */
export function macFor(address: Address): string {
  const pairs = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return ["0a", "58", ...pairs].join(":");
}
