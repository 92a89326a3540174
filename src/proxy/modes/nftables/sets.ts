/**
 * The sets and maps of the table: what each holds, and how its keys and data are written.
 *
 * Keys and data are byte strings (one character a byte), because those are what `Map`, `===` and the diff of two states
 * work on at full speed. In a concatenation each field is padded to four bytes; addresses, ports and protocols are in
 * network byte order, priorities and random numbers in the host's (little endian).
 */
import { type Address, addressBytes, addressLength, type Family } from "../../../net/address.ts";
import { type Prefix, prefixRange } from "../../../net/prefix.ts";
import { type Protocol, protocolNumbers } from "../../../net/protocol.ts";

/** A field of a key or of data, by nft's words for it. */
export type Field =
  | "saddr"
  | "daddr"
  | "l4proto"
  | "dport"
  /** An action word, a pool or a remembered endpoint: `meta priority`. */
  | "priority"
  /** A slot: `numgen random`. */
  | "random";

/** What a set is for and how it is made. */
export interface SetDefinition {
  readonly key: readonly Field[];
  /** Absent for sets, present for maps. */
  readonly data?: readonly Field[];
  readonly interval?: true;
  /** Elements come from packets and time out. */
  readonly dynamic?: true;
  /** Shown by `nft list ruleset`. */
  readonly comment: string;
}

const frontEnd = ["daddr", "l4proto", "dport"] as const;
const nodePort = ["l4proto", "dport"] as const;
const word = ["priority"] as const;
const destination = ["daddr", "dport"] as const;

/** The sets and maps that are always there. */
export const fixedSets = {
  "front-ends": { key: frontEnd, data: word, comment: "cluster, external and load-balancer IPs: what to do" },
  "front-ends-from-pods": { key: frontEnd, data: word, comment: "where it is different for pods" },
  "front-ends-from-node": { key: frontEnd, data: word, comment: "where it is different for this node" },
  "node-ports": { key: nodePort, data: word, comment: "node ports: what to do" },
  "node-ports-from-pods": { key: nodePort, data: word, comment: "where it is different for pods" },
  "node-ports-from-node": { key: nodePort, data: word, comment: "where it is different for this node" },
  endpoints: { key: ["priority", "random"], data: destination, comment: "pool and slot: the endpoint" },
  "affinity-sizes": { key: word, data: word, comment: "pool with affinity: its size class" },
  "affinity-slots": { key: ["priority", "random"], data: word, comment: "pool and slot: number of the endpoint" },
  "affinity-endpoints": { key: word, data: destination, comment: "number of the endpoint: the endpoint" },
  "allowed-sources": { key: [...frontEnd, "saddr"], interval: true, comment: "load-balancer source ranges" },
  hairpin: { key: ["saddr", "daddr"], comment: "endpoints here: each may be its own client" },
  "cluster-ips": { key: ["daddr"], comment: "cluster IPs in use" },
  "service-cidrs": { key: ["daddr"], interval: true, comment: "ranges of cluster IPs" },
  "node-port-addresses": { key: ["daddr"], comment: "addresses of this node that have node ports" },
} as const satisfies Record<string, SetDefinition>;

/** For each affinity timeout in use: the pools that have it, and what clients of these pools are remembered with. */
export type AffinitySet = `affinity-pools-${number}` | `affinity-${number}`;

/** The name of a set or map. */
export type SetName = keyof typeof fixedSets | AffinitySet;

/** The set of the pools whose affinity lasts so many seconds. */
export function affinityPools(seconds: number): AffinitySet {
  return `affinity-pools-${seconds}`;
}

/** The map that remembers clients for so many seconds. */
export function affinityClients(seconds: number): AffinitySet {
  return `affinity-${seconds}`;
}

/** The definitions of the two sets of an affinity timeout. */
export function affinitySets(seconds: number): Readonly<Record<string, SetDefinition>> {
  return {
    [affinityPools(seconds)]: { key: word, comment: `pools with an affinity of ${seconds} s` },
    [affinityClients(seconds)]: {
      key: ["saddr", "priority"],
      data: word,
      dynamic: true,
      comment: "client and pool: number of the endpoint",
    },
  };
}

/** The length of a field in bytes, without padding. */
export function fieldLength(field: Field, family: Family): number {
  switch (field) {
    case "saddr":
    case "daddr":
      return addressLength(family);
    case "l4proto":
      return 1;
    case "dport":
      return 2;
    case "priority":
    case "random":
      return 4;
  }
}

const { fromCharCode } = String;
const protocolFields: Readonly<Record<Protocol, string>> = {
  TCP: fromCharCode(protocolNumbers.TCP, 0, 0, 0),
  UDP: fromCharCode(protocolNumbers.UDP, 0, 0, 0),
  SCTP: fromCharCode(protocolNumbers.SCTP, 0, 0, 0),
};

/** Bytes as a byte string. */
export function toText(bytes: Uint8Array): string {
  return fromCharCode(...bytes);
}

/** A byte string as bytes. */
export function toBytes(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

/** Writes fields of keys and data. */
export const encode = {
  address: (address: Address): string => toText(addressBytes(address)),
  protocol: (protocol: Protocol): string => protocolFields[protocol],
  port: (port: number): string => fromCharCode(port >> 8, port & 255, 0, 0),
  /** Words, pools, slots: host byte order. */
  number: (value: number): string =>
    fromCharCode(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, (value >>> 24) & 255),
  /** The first and the last address of a prefix. */
  range: (prefix: Prefix): { readonly first: string; readonly last: string } => {
    const { first, last } = prefixRange(prefix);
    return { first: toText(first), last: toText(last) };
  },
};

/** Reads the number that `encode.number` wrote, at an offset of a byte string. */
export function decodeNumber(bytes: string, offset = 0): number {
  const at = (i: number) => bytes.charCodeAt(offset + i);
  return (at(0) | (at(1) << 8) | (at(2) << 16) | (at(3) << 24)) >>> 0;
}
