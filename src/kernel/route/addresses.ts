/** Addresses of network interfaces over rtnetlink (`linux/if_addr.h`). */
import { type Address, addressBytes, addressLength, type Family, familyOf } from "../../net/address.ts";
import { type MessageReader, messageFlags, type NetlinkSocket, type NetlinkWriter } from "../netlink/index.ts";
import { familyFromNumber, familyNumber, familyNumberOf, messageType, readAddress } from "./constants.ts";

/** An address of an interface. */
export interface InterfaceAddress {
  /** The interface's index. */
  readonly interface: number;
  readonly address: Address;
  readonly prefixLength: number;
  /** The other end of a point-to-point link, which the prefix is then of. */
  readonly peer?: Address;
  readonly broadcast?: Address;
  /** IPv4 alone: the interface's name, or an alias of it. */
  readonly label?: string;
  /** `RT_SCOPE_*`: 0 universe, 253 link, 254 host. */
  readonly scope: number;
  /** A further address of the same subnet (IPv4), or a temporary one (IPv6). */
  readonly secondary: boolean;
  /** Not usable yet: duplicate address detection is still going on. */
  readonly tentative: boolean;
  /** Not usable: somebody else has it. */
  readonly duplicate: boolean;
  /** No longer chosen as a source. */
  readonly deprecated: boolean;
  /** Without a limit to its life. */
  readonly permanent: boolean;
}

/** An address to be added. */
export interface NewAddress {
  readonly interface: number;
  readonly address: Address;
  readonly prefixLength: number;
  readonly peer?: Address;
  readonly scope?: number;
  /** Usable at once, without duplicate address detection (IPv6). */
  readonly withoutDetection?: boolean;
  /** Without a route to its prefix. */
  readonly withoutRoute?: boolean;
}

const attributeType = { address: 1, local: 2, label: 3, broadcast: 4, flags: 8 } as const;
const flag = {
  secondary: 0x01,
  noDetection: 0x02,
  duplicate: 0x08,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
  noRoute: 0x200,
} as const;
const headerLength = 8;

/** All addresses of the socket's namespace, of one family if given. */
export function listAddresses(socket: NetlinkSocket, family?: Family): readonly InterfaceAddress[] {
  const write = (writer: NetlinkWriter) => writeHeader(writer, familyNumber(family), 0, 0, 0);
  return socket.dump("list addresses", messageType.getAddress, write, decodeAddress);
}

/** Adds an address. @throws {NetlinkError} EEXIST if the interface has it. */
export function addAddress(socket: NetlinkSocket, added: NewAddress): void {
  const { address, peer, prefixLength, scope = 0 } = added;
  const flags = (added.withoutDetection ? flag.noDetection : 0) | (added.withoutRoute ? flag.noRoute : 0);
  const name = `add address ${address}/${prefixLength} to link ${added.interface}`;
  socket.request(name, messageType.newAddress, messageFlags.create | messageFlags.exclusive, (writer) => {
    writeHeader(writer, familyNumberOf(address), prefixLength, scope, added.interface);
    writer.attributeBytes(attributeType.local, addressBytes(address));
    writer.attributeBytes(attributeType.address, addressBytes(peer ?? address));
    if (flags !== 0) writer.attributeU32(attributeType.flags, flags);
  });
}

/** Removes an address. @throws {NetlinkError} EADDRNOTAVAIL if the interface does not have it. */
export function deleteAddress(
  socket: NetlinkSocket,
  removed: Pick<NewAddress, "interface" | "address" | "prefixLength">,
): void {
  const { address, prefixLength } = removed;
  const name = `delete address ${address}/${prefixLength} of link ${removed.interface}`;
  socket.request(name, messageType.deleteAddress, 0, (writer) => {
    writeHeader(writer, familyNumberOf(address), prefixLength, 0, removed.interface);
    writer.attributeBytes(attributeType.local, addressBytes(address));
  });
}

function writeHeader(writer: NetlinkWriter, family: number, length: number, scope: number, index: number): void {
  writer.u8(family);
  writer.u8(length);
  writer.u8(0);
  writer.u8(scope);
  writer.u32(index);
}

/** Reads a message about an address; undefined for other families. @throws {NetlinkFormatError} if malformed. */
export function decodeAddress(message: MessageReader): InterfaceAddress | undefined {
  const family = familyFromNumber(message.u8(0));
  if (family === undefined) return undefined;
  let flags = message.u8(2);
  let local: Address | undefined;
  let address: Address | undefined;
  let broadcast: Address | undefined;
  let label: string | undefined;
  for (const attribute = message.attributes(headerLength); attribute.next(); ) {
    if (attribute.type === attributeType.local) local = readAddress(attribute);
    else if (attribute.type === attributeType.address) address = readAddress(attribute);
    else if (attribute.type === attributeType.broadcast) broadcast = readAddress(attribute);
    else if (attribute.type === attributeType.label) label = attribute.string();
    else if (attribute.type === attributeType.flags) flags = attribute.u32();
  }
  const own = local ?? address;
  if (own === undefined || familyOf(own) !== family || message.u8(1) > 8 * addressLength(family)) return undefined;
  return {
    interface: message.u32(4),
    address: own,
    prefixLength: message.u8(1),
    ...(address !== undefined && address !== own && { peer: address }),
    ...(broadcast !== undefined && { broadcast }),
    ...(label !== undefined && { label }),
    scope: message.u8(3),
    secondary: (flags & flag.secondary) !== 0,
    tentative: (flags & flag.tentative) !== 0,
    duplicate: (flags & flag.duplicate) !== 0,
    deprecated: (flags & flag.deprecated) !== 0,
    permanent: (flags & flag.permanent) !== 0,
  };
}
