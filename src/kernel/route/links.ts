/** Network interfaces, read over rtnetlink (`linux/if_link.h`). */
import { type Address, isUnspecified } from "../../net/address.ts";
import type { AttributeReader, MessageReader, NetlinkSocket } from "../netlink/index.ts";
import { isNotFound, type NetlinkWriter } from "../netlink/index.ts";
import { messageType, readAddress } from "./constants.ts";
import { type MacAddress, macFromBytes } from "./mac.ts";

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** What software made it, such as `veth`; absent for hardware and loopback. */
  readonly kind?: string;
  /** `ARPHRD_*`: 1 is Ethernet, 772 loopback, 65534 none (TUN). */
  readonly hardware: number;
  readonly loopback: boolean;
  /** Set up by the administrator. */
  readonly up: boolean;
  /** Able to carry packets. */
  readonly running: boolean;
  /** Without address resolution. */
  readonly noArp: boolean;
  /** Takes packets for anybody, as its administrator wants; absent if not. */
  readonly promiscuous?: true;
  readonly operState: OperState;
  readonly mtu: number;
  readonly mac?: MacAddress;
  /** The index of the bridge (or bond, or VRF) that it is a port of. */
  readonly master?: number;
  /** The index of the interface below or, for veth, of its peer: of another namespace if `linkNamespace` is there. */
  readonly link?: number;
  /** The kernel's number, in this namespace, of the namespace that `link` is in. */
  readonly linkNamespace?: number;
  readonly alias?: string;
  /** What is particular to its kind. */
  readonly details?: LinkDetails;
  /** Its settings as a port of a bridge. */
  readonly port?: BridgePort;
}

/** The operational states of RFC 2863, by number. */
export const operStates = ["unknown", "notPresent", "down", "lowerLayerDown", "testing", "dormant", "up"] as const;
export type OperState = (typeof operStates)[number];

/** What is particular to a kind of link. */
export type LinkDetails =
  | {
      readonly kind: "vxlan";
      /** The network identifier (VNI). */
      readonly id: number;
      /** The UDP port of the outer packets. */
      readonly port: number;
      readonly local?: Address;
      /** Where packets for unknown addresses go: a multicast group or one remote. */
      readonly group?: Address;
      /** The index of the interface that the outer packets use. */
      readonly device?: number;
      readonly learning: boolean;
    }
  /** IP in IP: without a remote, packets go to the next hop of their route; without a local address, to the route's source. */
  | { readonly kind: "ipip"; readonly local?: Address; readonly remote?: Address }
  | { readonly kind: "bridge"; readonly stp: boolean; readonly vlanFiltering: boolean }
  | { readonly kind: "vlan"; readonly id: number }
  /** `active`: the index of the only port that is used, in modes that use one. */
  | { readonly kind: "bond"; readonly active?: number }
  /** Who may hear each other: in mode `bridge`, macvlans of the same link. */
  | { readonly kind: "macvlan"; readonly mode: MacvlanMode };

/** The modes of a macvlan (`MACVLAN_MODE_*`), by number. */
export type MacvlanMode = "private" | "vepa" | "bridge" | "passthru" | "source";
const macvlanModes: ReadonlyMap<number, MacvlanMode> = new Map([
  [1, "private"],
  [2, "vepa"],
  [4, "bridge"],
  [8, "passthru"],
  [16, "source"],
]);

/** Settings of a bridge port. */
export interface BridgePort {
  /** `BR_STATE_*`: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking. */
  readonly state: number;
  /** Packets may leave where they came in. */
  readonly hairpin: boolean;
  readonly learning: boolean;
  readonly flood: boolean;
}

/** Flags of an interface (`IFF_*`). */
export const interfaceFlag = { up: 0x1, loopback: 0x8, running: 0x40, noArp: 0x80, promiscuous: 0x100 } as const;

/** Attributes of a link (`IFLA_*`). */
export const linkAttribute = {
  address: 1,
  name: 3,
  mtu: 4,
  link: 5,
  master: 10,
  portInfo: 12,
  operState: 16,
  linkInfo: 18,
  alias: 20,
  namespaceFd: 28,
  extMask: 29,
  linkNamespace: 37,
} as const;

/** Attributes in {@link linkAttribute}.linkInfo (`IFLA_INFO_*`). */
export const infoAttribute = { kind: 1, data: 2, portKind: 4, portData: 5 } as const;

/** Attributes of a bridge port (`IFLA_BRPORT_*`). */
export const portAttribute = { state: 1, hairpin: 4, learning: 8, flood: 9 } as const;

/** Attributes of a VXLAN interface (`IFLA_VXLAN_*`). */
export const vxlanAttribute = {
  id: 1,
  group: 2,
  device: 3,
  local: 4,
  learning: 7,
  port: 15,
  group6: 16,
  local6: 17,
} as const;

/** Attributes of an IP in IP interface (`IFLA_IPTUN_*`). */
const ipipAttribute = { local: 2, remote: 3 } as const;

/** Bytes of `struct ifinfomsg`. */
const headerLength = 16;
/** `RTEXT_FILTER_SKIP_STATS`. */
const skipStatistics = 8;

/** All interfaces of the socket's namespace. */
export function listLinks(socket: NetlinkSocket): readonly Link[] {
  const write = (writer: NetlinkWriter) => {
    writer.bytes(emptyHeader);
    writer.attributeU32(linkAttribute.extMask, skipStatistics);
  };
  return socket.dump("list links", messageType.getLink, write, decodeLink);
}

/** The interface of a name, undefined if there is none. */
export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  let link: Link | undefined;
  const write = (writer: NetlinkWriter) => {
    writer.bytes(emptyHeader);
    writer.attributeString(linkAttribute.name, name);
    writer.attributeU32(linkAttribute.extMask, skipStatistics);
  };
  try {
    socket.request(`get link ${name}`, messageType.getLink, 0, write, (message) => {
      link = decodeLink(message);
    });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return link;
}

const emptyHeader = new Uint8Array(headerLength);

/** Reads a message about a link. @throws {NetlinkFormatError} if it is malformed. */
export function decodeLink(message: MessageReader): Link {
  const flags = message.u32(8);
  const link: { -readonly [Key in keyof Link]: Link[Key] } = {
    index: message.u32(4),
    name: "",
    hardware: message.u16(2),
    loopback: (flags & interfaceFlag.loopback) !== 0,
    up: (flags & interfaceFlag.up) !== 0,
    running: (flags & interfaceFlag.running) !== 0,
    noArp: (flags & interfaceFlag.noArp) !== 0,
    ...((flags & interfaceFlag.promiscuous) !== 0 && { promiscuous: true as const }),
    operState: "unknown",
    mtu: 0,
  };
  for (const attribute = message.attributes(headerLength); attribute.next(); ) {
    switch (attribute.type) {
      case linkAttribute.name:
        link.name = attribute.string();
        break;
      case linkAttribute.address:
        if (attribute.length > 0) link.mac = macFromBytes(attribute.bytes());
        break;
      case linkAttribute.mtu:
        link.mtu = attribute.u32();
        break;
      case linkAttribute.link:
        link.link = attribute.u32();
        break;
      case linkAttribute.master:
        link.master = attribute.u32();
        break;
      case linkAttribute.operState:
        link.operState = operStates[attribute.u8()] ?? "unknown";
        break;
      case linkAttribute.alias:
        link.alias = attribute.string();
        break;
      case linkAttribute.linkNamespace:
        link.linkNamespace = attribute.i32();
        break;
      case linkAttribute.linkInfo:
        Object.assign(link, readInfo(attribute.nested()));
        break;
    }
  }
  return link;
}

/** Kind and data stand in this order in the kernel's messages, as they must: data means nothing without its kind. */
function readInfo(info: AttributeReader): Partial<Link> {
  let kind: string | undefined;
  let details: LinkDetails | undefined;
  let portKind = "";
  let port: BridgePort | undefined;
  while (info.next()) {
    if (info.type === infoAttribute.kind) kind = info.string();
    else if (info.type === infoAttribute.data && kind !== undefined) details = readDetails(kind, info.nested());
    else if (info.type === infoAttribute.portKind) portKind = info.string();
    else if (info.type === infoAttribute.portData && portKind === "bridge") port = readPort(info.nested());
  }
  return { ...(kind !== undefined && { kind }), ...(details && { details }), ...(port && { port }) };
}

function readDetails(kind: string, data: AttributeReader): LinkDetails | undefined {
  switch (kind) {
    case "vxlan":
      return readVxlan(data);
    case "bond": {
      let active = 0;
      while (data.next()) if (data.type === 2) active = data.u32();
      return { kind, ...(active !== 0 && { active }) };
    }
    case "macvlan": {
      let mode: MacvlanMode = "vepa";
      while (data.next()) if (data.type === 1) mode = macvlanModes.get(data.u32()) ?? mode;
      return { kind, mode };
    }
    case "ipip": {
      let [local, remote]: (Address | undefined)[] = [];
      while (data.next()) {
        if (data.type === ipipAttribute.local) local = readAddress(data);
        else if (data.type === ipipAttribute.remote) remote = readAddress(data);
      }
      return { kind, ...named("local", local), ...named("remote", remote) };
    }
    case "bridge": {
      let stp = false;
      let vlanFiltering = false;
      while (data.next()) {
        if (data.type === 5) stp = data.u32() !== 0;
        else if (data.type === 7) vlanFiltering = data.u8() !== 0;
      }
      return { kind, stp, vlanFiltering };
    }
    case "vlan": {
      let id = 0;
      while (data.next()) if (data.type === 1) id = data.u16();
      return { kind, id };
    }
    default:
      return undefined;
  }
}

function readVxlan(data: AttributeReader): LinkDetails {
  let [id, port, device, learning] = [0, 0, 0, false];
  let local: Address | undefined;
  let group: Address | undefined;
  while (data.next()) {
    if (data.type === vxlanAttribute.id) id = data.u32();
    else if (data.type === vxlanAttribute.port) port = data.u16BE();
    else if (data.type === vxlanAttribute.device) device = data.u32();
    else if (data.type === vxlanAttribute.learning) learning = data.u8() !== 0;
    else if (data.type === vxlanAttribute.local || data.type === vxlanAttribute.local6) local = readAddress(data);
    else if (data.type === vxlanAttribute.group || data.type === vxlanAttribute.group6) group = readAddress(data);
  }
  return {
    kind: "vxlan",
    id,
    port,
    learning,
    ...(device !== 0 && { device }),
    ...named("local", local),
    ...named("group", group),
  };
}

/** A field, unless the address is that which stands for none. */
function named<Name extends string>(name: Name, address: Address | undefined): { readonly [Key in Name]?: Address } {
  return address === undefined || isUnspecified(address) ? {} : ({ [name]: address } as Record<Name, Address>);
}

function readPort(data: AttributeReader): BridgePort {
  let [state, hairpin, learning, flood] = [0, false, false, false];
  while (data.next()) {
    if (data.type === portAttribute.state) state = data.u8();
    else if (data.type === portAttribute.hairpin) hairpin = data.u8() !== 0;
    else if (data.type === portAttribute.learning) learning = data.u8() !== 0;
    else if (data.type === portAttribute.flood) flood = data.u8() !== 0;
  }
  return { state, hairpin, learning, flood };
}
