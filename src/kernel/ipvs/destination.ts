/** Destinations (real servers) of IPVS as values. */
import { type Address, type Family, familyOf } from "../../net/address.ts";
import { AF } from "../ffi.ts";
import { type AttributeReader, type MessageReader, NetlinkFormatError, type NetlinkWriter } from "../netlink/index.ts";
import { commandAttribute, destinationAttribute, headerLength } from "./protocol.ts";
import { familyFromNumber, narrowAddress, wideAddress } from "./service.ts";

/** Which destination of a virtual service is meant. */
export interface DestinationKey {
  readonly address: Address;
  readonly port: number;
}

/** The ways to a destination (`IP_VS_CONN_F_*`), by number: masquerade translates addresses, as Services need it. */
const forwardings = ["masquerade", "local", "tunnel", "route", "bypass"] as const;
/** How packets get to a destination. */
export type Forwarding = (typeof forwardings)[number];

/** A destination. */
export interface Destination extends DestinationKey {
  readonly forwarding: Forwarding;
  /** 0: gets no new connections. */
  readonly weight: number;
}

/** Tunnels that are not IP in IP, by number from 1 (`IP_VS_CONN_F_TUNNEL_TYPE_*`). */
const tunnels = ["gue", "gre"] as const;

/** A destination as the kernel tells it. */
export interface CountedDestination extends Destination {
  /** Established connections. */
  readonly active: number;
  /** Connections that begin or end, and those of protocols without connections. */
  readonly inactive: number;
  /** Clients that stick to it. */
  readonly persistent: number;
  /** How a tunnel carries packets; absent for IP in IP, and where there is none. */
  readonly tunnel?: (typeof tunnels)[number];
  /** The number of connections from which on it gets no more; absent: no number. */
  readonly upperThreshold?: number;
}

/** Writes which destination is meant and, where it is a whole one, how it works, as one attribute. */
export function writeDestination(writer: NetlinkWriter, destination: DestinationKey | Destination): void {
  const outer = writer.beginNested(commandAttribute.destination);
  writer.attributeU16(destinationAttribute.family, familyOf(destination.address) === "IPv4" ? AF.inet : AF.inet6);
  writer.attributeBytes(destinationAttribute.address, wideAddress(destination.address));
  writer.attributeU16BE(destinationAttribute.port, destination.port);
  if ("weight" in destination) {
    writer.attributeU32(destinationAttribute.forwarding, forwardings.indexOf(destination.forwarding));
    writer.attributeU32(destinationAttribute.weight, destination.weight);
    writer.attributeU32(destinationAttribute.upperThreshold, 0);
    writer.attributeU32(destinationAttribute.lowerThreshold, 0);
  }
  writer.endNested(outer);
}

/**
 * Reads a message about a destination.
 *
 * @param family of the service, for kernels before 3.18 that do not tell the destination's own.
 * @throws {NetlinkFormatError} if it is malformed.
 */
export function decodeDestination(message: MessageReader, family: Family): CountedDestination {
  for (const attribute = message.attributes(headerLength); attribute.next(); ) {
    if (attribute.type === commandAttribute.destination) return readDestination(attribute.nested(), family);
  }
  throw new NetlinkFormatError("a message about a destination without one");
}

function readDestination(fields: AttributeReader, serviceFamily: Family): CountedDestination {
  let family: Family | undefined = serviceFamily;
  let bytes: Uint8Array | undefined;
  let [port, forwarding, weight, active, inactive, persistent, upperThreshold] = [0, 0, 0, 0, 0, 0, 0];
  let tunnel: CountedDestination["tunnel"];
  while (fields.next()) {
    switch (fields.type) {
      case destinationAttribute.family:
        family = familyFromNumber(fields.u16());
        break;
      case destinationAttribute.address:
        bytes = fields.bytes();
        break;
      case destinationAttribute.port:
        port = fields.u16BE();
        break;
      case destinationAttribute.forwarding:
        forwarding = fields.u32();
        break;
      case destinationAttribute.weight:
        weight = fields.u32();
        break;
      case destinationAttribute.upperThreshold:
        upperThreshold = fields.u32();
        break;
      case destinationAttribute.active:
        active = fields.u32();
        break;
      case destinationAttribute.inactive:
        inactive = fields.u32();
        break;
      case destinationAttribute.persistent:
        persistent = fields.u32();
        break;
      case destinationAttribute.tunnel:
        tunnel = tunnels[fields.u8() - 1];
        break;
    }
  }
  const way = forwardings[forwarding & forwardingMask];
  if (way === undefined) throw new NetlinkFormatError(`forwarding method ${forwarding}`);
  if (family === undefined) throw new NetlinkFormatError("a destination of no IP family");
  return {
    address: narrowAddress(bytes, family),
    port,
    forwarding: way,
    weight,
    active,
    inactive,
    persistent,
    ...(tunnel !== undefined && { tunnel }),
    ...(upperThreshold !== 0 && { upperThreshold }),
  };
}

/** `IP_VS_CONN_F_FWD_MASK`. */
const forwardingMask = 0x7;
