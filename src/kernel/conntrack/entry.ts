/** Entries of the connection tracker as values (`linux/netfilter/nfnetlink_conntrack.h`). */
import { type Address, addressBytes, addressFromBytes, type Family, familyOf } from "../../net/address.ts";
import { AF } from "../ffi.ts";
import { type AttributeReader, type MessageReader, NetlinkFormatError, type NetlinkWriter } from "../netlink/index.ts";

/** One direction of a connection: who sends to whom. */
export interface Tuple {
  readonly source: Address;
  readonly destination: Address;
  /** IANA protocol number. */
  readonly protocol: number;
  /** For protocols with ports. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** For ICMP and ICMPv6. */
  readonly icmp?: { readonly type: number; readonly code: number; readonly id: number };
  /** The zone of this direction, where the other one has another; else it is that of the entry. */
  readonly zone?: number;
}

/** What the tracker knows of a connection, by bit of its status (`IPS_*`). */
export const statusBit = {
  expected: 0x1,
  seenReply: 0x2,
  assured: 0x4,
  confirmed: 0x8,
  sourceNat: 0x10,
  destinationNat: 0x20,
  sequenceAdjust: 0x40,
  sourceNatDone: 0x80,
  destinationNatDone: 0x100,
  dying: 0x200,
  fixedTimeout: 0x400,
  template: 0x800,
  helper: 0x2000,
  offload: 0x4000,
  hardwareOffload: 0x8000,
} as const;

/** The states of a tracked TCP connection (`TCP_CONNTRACK_*`), by number. */
const tcpStates = [
  "none",
  "synSent",
  "synReceived",
  "established",
  "finWait",
  "closeWait",
  "lastAck",
  "timeWait",
  "close",
  "synSent2",
] as const;
export type TcpState = (typeof tcpStates)[number];

/** What was counted in one direction; only where net/netfilter/nf_conntrack_acct is 1. */
export interface Counters {
  readonly packets: number;
  readonly bytes: number;
}

/** A tracked connection. */
export interface ConntrackEntry {
  readonly family: Family;
  /** As the client sends. */
  readonly original: Tuple;
  /** As the answer comes in: its source is the real server, its destination the real or masqueraded client. */
  readonly reply: Tuple;
  /** Bits of {@link statusBit}. */
  readonly status: number;
  /** Seconds until it is forgotten if nothing comes. */
  readonly timeout: number;
  readonly mark: number;
  /** 0 is the usual zone. */
  readonly zone: number;
  /** Tells it from a later connection of the same tuples. */
  readonly id: number;
  readonly tcpState?: TcpState;
  readonly helper?: string;
  readonly counters?: { readonly original: Counters; readonly reply: Counters };
}

/** Attributes of an entry (`CTA_*`). */
export const entryAttribute = {
  original: 1,
  reply: 2,
  status: 3,
  protocolInfo: 4,
  helper: 5,
  timeout: 7,
  mark: 8,
  countersOriginal: 9,
  countersReply: 10,
  id: 12,
  zone: 18,
  markMask: 21,
  filter: 25,
} as const;

/** Attributes of a tuple (`CTA_TUPLE_*`, `CTA_IP_*`, `CTA_PROTO_*`). */
export const tupleAttribute = { addresses: 1, protocol: 2, zone: 3 } as const;
export const protocolAttribute = { number: 1 } as const;
const addressAttribute = { source4: 1, destination4: 2, source6: 3, destination6: 4 } as const;

/** Bytes of `struct nfgenmsg`. */
export const headerLength = 4;

/**
 * Reads a message about an entry; undefined if it is of another family or protocol.
 *
 * @param protocol the only protocol number wanted.
 * @throws {NetlinkFormatError} if it is malformed.
 */
export function decodeEntry(message: MessageReader, protocol?: number): ConntrackEntry | undefined {
  const family = message.u8(0) === AF.inet ? "IPv4" : message.u8(0) === AF.inet6 ? "IPv6" : undefined;
  if (family === undefined) return undefined;
  let original: Tuple | undefined;
  let reply: Tuple | undefined;
  let tcpState: TcpState | undefined;
  let helper: string | undefined;
  let counted: Counters | undefined;
  let countedBack: Counters | undefined;
  let [status, timeout, mark, zone, id] = [0, 0, 0, 0, 0];
  for (const attribute = message.attributes(headerLength); attribute.next(); ) {
    switch (attribute.type) {
      case entryAttribute.original:
        original = readTuple(attribute.nested());
        if (protocol !== undefined && original.protocol !== protocol) return undefined;
        break;
      case entryAttribute.reply:
        reply = readTuple(attribute.nested());
        break;
      case entryAttribute.status:
        status = attribute.u32BE();
        break;
      case entryAttribute.timeout:
        timeout = attribute.u32BE();
        break;
      case entryAttribute.mark:
        mark = attribute.u32BE();
        break;
      case entryAttribute.zone:
        zone = attribute.u16BE();
        break;
      case entryAttribute.id:
        id = attribute.u32BE();
        break;
      case entryAttribute.protocolInfo:
        tcpState = readTcpState(attribute.nested());
        break;
      case entryAttribute.helper:
        for (const field = attribute.nested(); field.next(); ) if (field.type === 1) helper = field.string();
        break;
      case entryAttribute.countersOriginal:
        counted = readCounters(attribute.nested());
        break;
      case entryAttribute.countersReply:
        countedBack = readCounters(attribute.nested());
        break;
    }
  }
  if (original === undefined || reply === undefined) throw new NetlinkFormatError("a connection without its tuples");
  return {
    family,
    original,
    reply,
    status,
    timeout,
    mark,
    zone,
    id,
    ...(tcpState !== undefined && { tcpState }),
    ...(helper !== undefined && { helper }),
    ...(counted !== undefined && countedBack !== undefined && { counters: { original: counted, reply: countedBack } }),
  };
}

function readTuple(tuple: AttributeReader): Tuple {
  let source: Address | undefined;
  let destination: Address | undefined;
  let fields: Omit<Tuple, "source" | "destination"> = { protocol: 0 };
  let zone: number | undefined;
  while (tuple.next()) {
    if (tuple.type === tupleAttribute.addresses) {
      for (const each = tuple.nested(); each.next(); ) {
        const { type, length } = each;
        if (type < 1 || type > 4) continue;
        if (length !== (type <= addressAttribute.destination4 ? 4 : 16)) {
          throw new NetlinkFormatError(`address of ${length} bytes`);
        }
        const address = addressFromBytes(each.bytes());
        if (type === addressAttribute.source4 || type === addressAttribute.source6) source = address;
        else destination = address;
      }
    } else if (tuple.type === tupleAttribute.protocol) {
      fields = readProtocol(tuple.nested());
    } else if (tuple.type === tupleAttribute.zone) {
      zone = tuple.u16BE();
    }
  }
  if (source === undefined || destination === undefined) throw new NetlinkFormatError("a tuple without addresses");
  return { source, destination, ...fields, ...(zone !== undefined && { zone }) };
}

function readProtocol(fields: AttributeReader): Omit<Tuple, "source" | "destination"> {
  let protocol = 0;
  let sourcePort: number | undefined;
  let destinationPort: number | undefined;
  let [type, code, id] = [0, 0, -1];
  while (fields.next()) {
    switch (fields.type) {
      case 1:
        protocol = fields.u8();
        break;
      case 2:
        sourcePort = fields.u16BE();
        break;
      case 3:
        destinationPort = fields.u16BE();
        break;
      case 4:
      case 7:
        id = fields.u16BE();
        break;
      case 5:
      case 8:
        type = fields.u8();
        break;
      case 6:
      case 9:
        code = fields.u8();
        break;
    }
  }
  return {
    protocol,
    ...(sourcePort !== undefined && destinationPort !== undefined && { sourcePort, destinationPort }),
    ...(id >= 0 && { icmp: { type, code, id } }),
  };
}

function readTcpState(info: AttributeReader): TcpState | undefined {
  while (info.next()) {
    if (info.type !== 1) continue;
    for (const field = info.nested(); field.next(); ) if (field.type === 1) return tcpStates[field.u8()];
  }
  return undefined;
}

function readCounters(fields: AttributeReader): Counters {
  let [packets, bytes] = [0, 0];
  while (fields.next()) {
    if (fields.type === 1) packets = fields.u64BE();
    else if (fields.type === 2) bytes = fields.u64BE();
  }
  return { packets, bytes };
}

/** Writes a tuple as an attribute of this type. */
export function writeTuple(writer: NetlinkWriter, type: number, tuple: Tuple): void {
  const is4 = familyOf(tuple.source) === "IPv4";
  const outer = writer.beginNested(type);
  const addresses = writer.beginNested(tupleAttribute.addresses);
  writer.attributeBytes(is4 ? addressAttribute.source4 : addressAttribute.source6, addressBytes(tuple.source));
  const to = is4 ? addressAttribute.destination4 : addressAttribute.destination6;
  writer.attributeBytes(to, addressBytes(tuple.destination));
  writer.endNested(addresses);
  const fields = writer.beginNested(tupleAttribute.protocol);
  writer.attributeU8(protocolAttribute.number, tuple.protocol);
  if (tuple.sourcePort !== undefined) writer.attributeU16BE(2, tuple.sourcePort);
  if (tuple.destinationPort !== undefined) writer.attributeU16BE(3, tuple.destinationPort);
  if (tuple.icmp !== undefined) {
    const first = is4 ? 4 : 7;
    writer.attributeU16BE(first, tuple.icmp.id);
    writer.attributeU8(first + 1, tuple.icmp.type);
    writer.attributeU8(first + 2, tuple.icmp.code);
  }
  writer.endNested(fields);
  writer.endNested(outer);
}
