/** A packet as far as it is known: what rules can look at, and what they change. */
import { type Address, addressBytes, type Family } from "../../net/address.ts";

/** A packet. Fields that are absent are not known, and whatever depends on them is said to. */
export interface Packet {
  readonly family: Family;
  readonly source: Address;
  readonly destination: Address;
  /** IANA protocol number. */
  readonly protocol: number;
  /** TCP, UDP and SCTP. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** ICMP and ICMPv6: an echo request. */
  readonly icmpType?: number;
  readonly mark: number;
  /** `meta priority`. */
  readonly priority: number;
  /** The byte of DSCP and ECN: 0 if absent. */
  readonly service?: number;
  /** Bytes of the whole packet, from its network header on. */
  readonly length?: number;
  /** IPv4: routers must not cut it up. */
  readonly dontFragment?: boolean;
  /** Time to live, or hop limit: the routers that it may pass, and one. */
  readonly ttl?: number;
}

/** True if two packets are the same, whatever the order of their fields. */
export function samePacket(a: Packet, b: Packet): boolean {
  return packetKey(a).join() === packetKey(b).join();
}

/** All fields in one order, to compare packets by. */
export function packetKey(packet: Packet): readonly (string | number | null)[] {
  const { source, destination, protocol, sourcePort, destinationPort, icmpType, mark, priority } = packet;
  const { length, ttl, dontFragment } = packet;
  const known = [source, destination, protocol, mark, priority, packet.service ?? 0, Number(dontFragment ?? -1)];
  return [...known, ...[sourcePort, destinationPort, icmpType, length, ttl].map((field) => field ?? null)];
}

/** IANA numbers of the protocols that are known here. */
export const protocolNumber = { icmp: 1, ipip: 4, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const;

/** True for protocols with ports. */
export function hasPorts(protocol: number): boolean {
  return protocol === protocolNumber.tcp || protocol === protocolNumber.udp || protocol === protocolNumber.sctp;
}

/** Bytes of which some are known: where a bit of `known` is 1, that of `data` holds. */
export interface Bytes {
  readonly data: Uint8Array;
  readonly known: Uint8Array;
}

/** Bytes that are all known. */
export function knownBytes(data: Uint8Array): Bytes {
  return { data, known: new Uint8Array(data.length).fill(255) };
}

/** Bytes of which none is known. */
export function unknownBytes(length: number): Bytes {
  return { data: new Uint8Array(length), known: new Uint8Array(length) };
}

/** A header under construction: nothing is known but what is put in. */
class Header {
  readonly data: Uint8Array;
  readonly known: Uint8Array;

  constructor(length: number) {
    this.data = new Uint8Array(length);
    this.known = new Uint8Array(length);
  }

  put(offset: number, bytes: Iterable<number>): this {
    let at = offset;
    for (const byte of bytes) {
      this.data[at] = byte;
      this.known[at++] = 255;
    }
    return this;
  }

  port(offset: number, port: number | undefined): this {
    return port === undefined ? this : this.put(offset, [port >> 8, port & 255]);
  }
}

/**
 * The network header without options: version, protocol and addresses are known, and that it is no fragment; length and
 * time to live where the packet has them; identification and checksum are not.
 */
export function networkHeader(packet: Packet): Bytes {
  const { source, destination, protocol, length, ttl, dontFragment, service = 0 } = packet;
  if (packet.family === "IPv4") {
    const header = new Header(20).put(0, [0x45, service]).put(9, [protocol]).port(2, length);
    if (ttl !== undefined) header.put(8, [ttl]);
    // All of the fragment's place but "don't fragment", which is the sender's choice.
    header.known.set([0xbf, 255], 6);
    if (dontFragment !== undefined) header.put(6, [dontFragment ? 0x40 : 0]);
    return header.put(12, addressBytes(source)).put(16, addressBytes(destination));
  }
  const header = new Header(40).put(0, [0x60 | (service >> 4), (service << 4) & 0xf0]).put(6, [protocol]);
  if (length !== undefined) header.port(4, length - 40);
  if (ttl !== undefined) header.put(7, [ttl]);
  return header.put(8, addressBytes(source)).put(24, addressBytes(destination));
}

/** The flags of the first packet of a TCP connection, of the answer to it, and of packets after those. */
export const tcpFlags = { syn: 0x02, synAck: 0x12, ack: 0x10 } as const;

/** The transport header of a packet: ports, TCP's flags where they are known, the type of an echo. */
export function transportHeader(packet: Packet, flags: number | undefined): Bytes {
  const { protocol, sourcePort, destinationPort, icmpType } = packet;
  if (protocol === protocolNumber.tcp) {
    const header = new Header(60).port(0, sourcePort).port(2, destinationPort);
    return flags === undefined ? header : header.put(13, [flags]);
  }
  if (hasPorts(protocol)) return new Header(8).port(0, sourcePort).port(2, destinationPort);
  if (icmpType !== undefined) return new Header(8).put(0, [icmpType, 0]);
  return new Header(8);
}
