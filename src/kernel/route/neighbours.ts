/** Neighbours (ARP, NDP) and forwarding databases of bridges and VXLANs over rtnetlink (`linux/neighbour.h`). */
import { type Address, addressBytes, type Family, familyOf } from "../../net/address.ts";
import { type MessageReader, messageFlags, type NetlinkSocket, type NetlinkWriter } from "../netlink/index.ts";
import { familyBridge, familyFromNumber, familyNumber, familyNumberOf, messageType, readAddress } from "./constants.ts";
import { type MacAddress, macBytes, macFromBytes } from "./mac.ts";

/** How much is known of a neighbour (`NUD_*`), by bit. */
const states = {
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noArp: 0x40,
  permanent: 0x80,
  none: 0,
} as const;
export type NeighbourState = keyof typeof states;

/** A neighbour: the hardware address behind an address on a link. */
export interface Neighbour {
  /** The interface's index. */
  readonly interface: number;
  readonly address: Address;
  /** Absent while it is not known. */
  readonly mac?: MacAddress;
  readonly state: NeighbourState;
  /** It said that it is a router (IPv6). */
  readonly router: boolean;
}

/** An entry of a forwarding database: through which port, or to which remote, a hardware address is reached. */
export interface FdbEntry {
  /** The interface's index: a bridge port, or a VXLAN. */
  readonly interface: number;
  readonly mac: MacAddress;
  /** The bridge whose database it is; absent for the interface's own database (`self`), as VXLANs have. */
  readonly bridge?: number;
  /** The remote, for VXLANs. */
  readonly destination?: Address;
  /** The remote's UDP port and network identifier where they differ from the interface's. */
  readonly port?: number;
  readonly vni?: number;
  readonly vlan?: number;
  readonly state: NeighbourState;
  /** Learned from packets by other means than the bridge's own learning. */
  readonly externallyLearned: boolean;
}

const attributeType = { address: 1, mac: 2, vlan: 5, port: 6, vni: 7, master: 9 } as const;
const flag = { self: 0x02, externallyLearned: 0x10, router: 0x80 } as const;
const headerLength = 12;

/** All neighbours of the socket's namespace, of one family if given. */
export function listNeighbours(socket: NetlinkSocket, family?: Family): readonly Neighbour[] {
  const write = (writer: NetlinkWriter) => writeHeader(writer, familyNumber(family), 0, 0, 0);
  return socket.dump("list neighbours", messageType.getNeighbour, write, decodeNeighbour);
}

/** Sets a neighbour, for good unless `state` says otherwise. */
export function setNeighbour(
  socket: NetlinkSocket,
  neighbour: {
    readonly interface: number;
    readonly address: Address;
    readonly mac: MacAddress;
    readonly state?: NeighbourState;
  },
): void {
  const { address, mac, state = "permanent" } = neighbour;
  const name = `set neighbour ${address} of link ${neighbour.interface}`;
  socket.request(name, messageType.newNeighbour, messageFlags.create | messageFlags.replace, (writer) => {
    writeHeader(writer, familyNumberOf(address), neighbour.interface, states[state], 0);
    writer.attributeBytes(attributeType.address, addressBytes(address));
    writer.attributeBytes(attributeType.mac, macBytes(mac));
  });
}

/** Removes a neighbour. @throws {NetlinkError} ENOENT if there is none. */
export function deleteNeighbour(socket: NetlinkSocket, neighbour: Pick<Neighbour, "interface" | "address">): void {
  const { address } = neighbour;
  const name = `delete neighbour ${address} of link ${neighbour.interface}`;
  socket.request(name, messageType.deleteNeighbour, 0, (writer) => {
    writeHeader(writer, familyNumberOf(address), neighbour.interface, 0, 0);
    writer.attributeBytes(attributeType.address, addressBytes(address));
  });
}

/** All entries of all forwarding databases of the socket's namespace. */
export function listFdb(socket: NetlinkSocket): readonly FdbEntry[] {
  const write = (writer: NetlinkWriter) => writeHeader(writer, familyBridge, 0, 0, 0);
  return socket.dump("list forwarding databases", messageType.getNeighbour, write, decodeFdbEntry);
}

/** An entry of a VXLAN's own forwarding database. */
export interface VxlanRoute {
  readonly interface: number;
  readonly mac: MacAddress;
  readonly destination: Address;
}

/** Sets where a VXLAN sends packets for a hardware address, for good. */
export function setFdbEntry(socket: NetlinkSocket, entry: VxlanRoute): void {
  requestFdb(socket, "set", messageType.newNeighbour, messageFlags.create | messageFlags.replace, entry);
}

/** Adds a remote to those that a VXLAN floods packets for a hardware address to (all zeros: for unknown ones). */
export function appendFdbEntry(socket: NetlinkSocket, entry: VxlanRoute): void {
  requestFdb(socket, "append", messageType.newNeighbour, messageFlags.create | messageFlags.append, entry);
}

/** Removes an entry of a VXLAN. @throws {NetlinkError} ENOENT if there is none of that hardware address. */
export function deleteFdbEntry(socket: NetlinkSocket, entry: VxlanRoute): void {
  requestFdb(socket, "delete", messageType.deleteNeighbour, 0, entry);
}

function requestFdb(socket: NetlinkSocket, verb: string, type: number, flags: number, entry: VxlanRoute): void {
  socket.request(`${verb} forwarding of ${entry.mac} on link ${entry.interface}`, type, flags, (writer) => {
    writeHeader(writer, familyBridge, entry.interface, states.permanent, flag.self);
    writer.attributeBytes(attributeType.mac, macBytes(entry.mac));
    writer.attributeBytes(attributeType.address, addressBytes(entry.destination));
  });
}

/** `struct ndmsg`. */
function writeHeader(writer: NetlinkWriter, family: number, index: number, state: number, flags: number): void {
  writer.u32(family);
  writer.u32(index);
  writer.u16(state);
  writer.u8(flags);
  writer.u8(0);
}

/** Reads a message about a neighbour; undefined for other families. @throws {NetlinkFormatError} if malformed. */
export function decodeNeighbour(message: MessageReader): Neighbour | undefined {
  const family = familyFromNumber(message.u8(0));
  if (family === undefined) return undefined;
  let address: Address | undefined;
  let mac: MacAddress | undefined;
  for (const attribute = message.attributes(headerLength); attribute.next(); ) {
    if (attribute.type === attributeType.address) address = readAddress(attribute);
    else if (attribute.type === attributeType.mac && attribute.length > 0) mac = macFromBytes(attribute.bytes());
  }
  if (address === undefined || familyOf(address) !== family) return undefined;
  return {
    interface: message.u32(4),
    address,
    ...(mac !== undefined && { mac }),
    state: stateOf(message.u16(8)),
    router: (message.u8(10) & flag.router) !== 0,
  };
}

/** Reads a message about a forwarding database; undefined for other messages. @throws {NetlinkFormatError} if malformed. */
export function decodeFdbEntry(message: MessageReader): FdbEntry | undefined {
  if (message.u8(0) !== familyBridge) return undefined;
  const entry: { -readonly [Key in keyof FdbEntry]?: FdbEntry[Key] } = {};
  for (const attribute = message.attributes(headerLength); attribute.next(); ) {
    switch (attribute.type) {
      case attributeType.mac:
        entry.mac = macFromBytes(attribute.bytes());
        break;
      case attributeType.address:
        entry.destination = readAddress(attribute);
        break;
      case attributeType.vlan:
        entry.vlan = attribute.u16();
        break;
      case attributeType.port:
        entry.port = attribute.u16BE();
        break;
      case attributeType.vni:
        entry.vni = attribute.u32();
        break;
      case attributeType.master:
        entry.bridge = attribute.u32();
        break;
    }
  }
  const { mac, ...rest } = entry;
  if (mac === undefined) return undefined;
  return {
    interface: message.u32(4),
    mac,
    ...rest,
    state: stateOf(message.u16(8)),
    externallyLearned: (message.u8(10) & flag.externallyLearned) !== 0,
  };
}

function stateOf(bits: number): NeighbourState {
  for (const [name, bit] of Object.entries(states)) if ((bits & bit) !== 0) return name as NeighbourState;
  return "none";
}
