/**
 * The connection tracker of a network namespace, over netlink. Functions take a {@link NetlinkSocket} of protocol
 * `netfilter`, which belongs to the namespace in which it was made.
 */
import type { Family } from "../../net/address.ts";
import { AF } from "../ffi.ts";
import { inNamespace } from "../namespace.ts";
import { type MessageReader, NetlinkSocket, type NetlinkWriter, protocols } from "../netlink/index.ts";
import {
  type ConntrackEntry,
  decodeEntry,
  entryAttribute,
  headerLength,
  protocolAttribute,
  tupleAttribute,
  writeTuple,
} from "./entry.ts";

export { type ConntrackEntry, type Counters, statusBit, type TcpState, type Tuple } from "./entry.ts";

/** `NFNL_SUBSYS_CTNETLINK << 8`, with `IPCTNL_MSG_CT_*`. */
const messageType = { get: 0x101, delete: 0x102, cpuStatistics: 0x104, statistics: 0x105 } as const;
/** `CTA_FILTER_ORIG_FLAGS`, and the flag that makes the protocol number count. */
const originalFlags = 1;
const filterProtocol = 0x8;

/** Which entries are wanted; all conditions must hold. */
export interface ConntrackFilter {
  readonly family?: Family;
  /** IANA protocol number. */
  readonly protocol?: number;
  /** The mark, of which the bits of `mask` count. */
  readonly mark?: { readonly value: number; readonly mask: number };
  readonly zone?: number;
}

/** Opens a socket for the functions of this folder, in a named namespace or in the calling thread's own. */
export function openConntrack(namespace?: string): NetlinkSocket {
  const open = () => new NetlinkSocket(protocols.netfilter);
  return namespace === undefined ? open() : inNamespace(namespace, open);
}

/** The tracked connections, in no particular order. What changes meanwhile may be missing or there twice. */
export function listConntrack(socket: NetlinkSocket, filter: ConntrackFilter = {}): readonly ConntrackEntry[] {
  return socket.dump("list connections", messageType.get, ...dumpOf(filter));
}

/**
 * As {@link listConntrack}, a hundred or so at a time, so that the caller can let others run in between: a full table
 * takes a second. Use the socket for nothing else until the end, and close it if that is not reached.
 */
export function conntrackParts(
  socket: NetlinkSocket,
  filter: ConntrackFilter = {},
): Generator<readonly ConntrackEntry[], void> {
  return socket.dumpParts("list connections", messageType.get, ...dumpOf(filter));
}

/** What asks for the entries that are wanted, and what reads them. */
function dumpOf(filter: ConntrackFilter) {
  const { family, protocol, mark, zone } = filter;
  const write = (writer: NetlinkWriter) => {
    writeHeader(writer, family);
    if (mark !== undefined) {
      writer.attributeU32BE(entryAttribute.mark, mark.value);
      writer.attributeU32BE(entryAttribute.markMask, mark.mask);
    }
    // The kernel filters by protocol within one family only; kernels before 5.8 ignore it, so we look as well.
    if (protocol !== undefined && family !== undefined) writeProtocolFilter(writer, protocol);
  };
  const read = (message: MessageReader) => {
    const entry = decodeEntry(message, protocol);
    return entry !== undefined && (zone === undefined || entry.zone === zone) ? entry : undefined;
  };
  return [write, read] as const;
}

/**
 * Forgets one connection: its next packet is a new one's.
 *
 * @throws {NetlinkError} ENOENT if it is not tracked any more.
 */
export function deleteConntrack(
  socket: NetlinkSocket,
  entry: Pick<ConntrackEntry, "family" | "original" | "zone" | "id">,
): void {
  const { original, zone, id } = entry;
  const name = `forget connection ${original.source} to ${original.destination}`;
  socket.request(name, messageType.delete, 0, (writer) => {
    writeHeader(writer, entry.family);
    writeTuple(writer, entryAttribute.original, original);
    writer.attributeU32BE(entryAttribute.id, id);
    if (zone !== 0) writer.attributeU16BE(entryAttribute.zone, zone);
  });
}

/** Forgets all connections of the namespace: translated ones break. For namespaces made for tests. */
export function flushConntrack(socket: NetlinkSocket): void {
  socket.request("forget all connections", messageType.delete, 0, (writer) => writeHeader(writer, undefined));
}

/** How full the tracker is. */
export interface ConntrackStatistics {
  readonly entries: number;
  /** The most entries that there can be; undefined where the kernel does not say (before 5.8). */
  readonly maximum?: number;
  /** Of all CPUs together, since the namespace was made. */
  readonly events: Readonly<Record<(typeof eventNames)[keyof typeof eventNames], number>>;
}

/** What happened to packets and entries, by attribute (`CTA_STATS_*`). */
const eventNames = {
  2: "found",
  4: "invalid",
  8: "inserted",
  9: "insertFailed",
  10: "dropped",
  11: "earlyDropped",
  12: "errors",
  13: "searchRestarted",
  14: "clashResolved",
  15: "chainTooLong",
} as const;

/** The tracker's statistics. */
export function readConntrackStatistics(socket: NetlinkSocket): ConntrackStatistics {
  let entries = 0;
  let maximum: number | undefined;
  const header = (writer: NetlinkWriter) => writeHeader(writer, undefined);
  socket.request("read connection statistics", messageType.statistics, 0, header, (message) => {
    for (const attribute = message.attributes(headerLength); attribute.next(); ) {
      if (attribute.type === 1) entries = attribute.u32BE();
      else if (attribute.type === 2) maximum = attribute.u32BE();
    }
  });
  const events = Object.fromEntries(Object.values(eventNames).map((name) => [name, 0])) as Record<
    (typeof eventNames)[keyof typeof eventNames],
    number
  >;
  socket.dump("read connection statistics", messageType.cpuStatistics, header, (message) => {
    for (const attribute = message.attributes(headerLength); attribute.next(); ) {
      const name = (eventNames as Readonly<Record<number, keyof typeof events>>)[attribute.type];
      if (name !== undefined) events[name] += attribute.u32BE();
    }
    return undefined;
  });
  return { entries, ...(maximum !== undefined && { maximum }), events };
}

function writeHeader(writer: NetlinkWriter, family: Family | undefined): void {
  writer.u32(family === undefined ? AF.unspec : family === "IPv4" ? AF.inet : AF.inet6);
}

function writeProtocolFilter(writer: NetlinkWriter, protocol: number): void {
  const tuple = writer.beginNested(entryAttribute.original);
  const fields = writer.beginNested(tupleAttribute.protocol);
  writer.attributeU8(protocolAttribute.number, protocol);
  writer.endNested(fields);
  writer.endNested(tuple);
  const filter = writer.beginNested(entryAttribute.filter);
  writer.attributeU32(originalFlags, filterProtocol);
  writer.endNested(filter);
}
