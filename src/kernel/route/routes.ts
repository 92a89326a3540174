/** Routes over rtnetlink (`linux/rtnetlink.h`). */
import {
  type Address,
  addressBytes,
  addressFromBytes,
  type Family,
  familyOf,
  parseAddress,
} from "../../net/address.ts";
import { type Prefix, prefixAddress, prefixFamily, prefixLength } from "../../net/prefix.ts";
import {
  AttributeReader,
  type MessageReader,
  messageFlags,
  NetlinkFormatError,
  type NetlinkSocket,
  type NetlinkWriter,
} from "../netlink/index.ts";
import {
  familyFromNumber,
  familyNumber,
  familyNumberOf,
  messageType,
  numbersOf,
  prefixOfLength,
  readAddress,
} from "./constants.ts";

/** What a route does with packets (`RTN_*`), by number. */
const types = [
  undefined,
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
] as const;
export type RouteType = Exclude<(typeof types)[number], undefined>;

/** Numbers of the tables that always exist (`RT_TABLE_*`). */
export const routeTable = { default: 253, main: 254, local: 255 } as const;

/** Who made a route (`RTPROT_*`), as far as it matters to us. */
export const routeProtocol = { kernel: 2, boot: 3, static: 4 } as const;

/** A way out of this machine. */
export interface NextHop {
  /** The interface's index; absent where the gateway alone says it. */
  readonly interface?: number;
  /** The router there, which may be of the other family; absent where the destination is on the link. */
  readonly gateway?: Address;
  /** 1 to 256. */
  readonly weight: number;
  /** The gateway counts as being on the link though no route says so. */
  readonly onLink: boolean;
  /** Out of use: the interface is down (`dead`) or without carrier (`linkDown`). */
  readonly dead: boolean;
  readonly linkDown: boolean;
}

/** A route. */
export interface Route {
  readonly type: RouteType;
  readonly destination: Prefix;
  /** Only for packets from here (IPv6). */
  readonly source?: Prefix;
  readonly table: number;
  /** {@link routeProtocol}, or a routing daemon's number. */
  readonly protocol: number;
  /** `RT_SCOPE_*`: 0 universe, 253 link, 254 host; always 0 for IPv6. */
  readonly scope: number;
  /** The metric: smaller is preferred. */
  readonly priority: number;
  readonly tos: number;
  /** The source address that packets from this machine get. */
  readonly preferredSource?: Address;
  /** The path's MTU if it is set. */
  readonly mtu?: number;
  /** One, or several among which packets are spread; none for types that send nothing. */
  readonly nextHops: readonly NextHop[];
  /** The number of the kernel's next-hop object that the next hops come from. */
  readonly nextHopObject?: number;
}

/** A route to be added or deleted: main table, unicast and so on where nothing is said. */
export interface RouteSpec
  extends Partial<Omit<Route, "destination" | "nextHops" | "nextHopObject">>,
    Pick<Route, "destination"> {
  readonly nextHops?: readonly Partial<NextHop>[];
}

const attributeType = {
  destination: 1,
  source: 2,
  outInterface: 4,
  gateway: 5,
  priority: 6,
  preferredSource: 7,
  metrics: 8,
  multipath: 9,
  table: 15,
  via: 18,
  nextHopObject: 30,
} as const;
/** `RTAX_MTU` among the metrics. */
const metricMtu = 2;
/** `RTNH_F_*`. */
const hopFlag = { dead: 1, onLink: 4, linkDown: 16 } as const;
/** `RTM_F_CLONED`: an entry of the route cache. */
const cloned = 0x200;
const scopeNumber = { universe: 0, link: 253, host: 254, nowhere: 255 } as const;
const headerLength = 12;
const typeNumbers = numbersOf<RouteType>(types);

/** All routes of the socket's namespace in all tables, of one family or one table if given. */
export function listRoutes(
  socket: NetlinkSocket,
  filter: { readonly family?: Family; readonly table?: number } = {},
): readonly Route[] {
  const write = (writer: NetlinkWriter) => {
    const header = new Uint8Array(headerLength);
    header[0] = familyNumber(filter.family);
    writer.bytes(header);
    if (filter.table !== undefined) writer.attributeU32(attributeType.table, filter.table);
  };
  const routes = socket.dump("list routes", messageType.getRoute, write, decodeRoute);
  return routes.filter((route) => filter.table === undefined || route.table === filter.table);
}

/** Adds a route. @throws {NetlinkError} EEXIST if there is one to the same destination with the same priority. */
export function addRoute(socket: NetlinkSocket, route: RouteSpec): void {
  request(socket, "add", messageType.newRoute, messageFlags.create | messageFlags.exclusive, route);
}

/** Adds a route, or replaces the one to the same destination with the same priority. */
export function replaceRoute(socket: NetlinkSocket, route: RouteSpec): void {
  request(socket, "replace", messageType.newRoute, messageFlags.create | messageFlags.replace, route);
}

/** Deletes the first route that is as `route` says. @throws {NetlinkError} ESRCH if there is none. */
export function deleteRoute(socket: NetlinkSocket, route: RouteSpec): void {
  request(socket, "delete", messageType.deleteRoute, 0, route);
}

/**
 * Asks the kernel for the route of a packet.
 *
 * @throws {NetlinkError} ENETUNREACH, EHOSTUNREACH or EACCES where there is none.
 */
export function lookupRoute(
  socket: NetlinkSocket,
  to: Address,
  options: { readonly from?: Address; readonly inInterface?: number; readonly mark?: number } = {},
): Route {
  let found: Route | undefined;
  const { from, inInterface, mark } = options;
  const write = (writer: NetlinkWriter) => {
    const header = new Uint8Array(headerLength);
    header[0] = familyNumberOf(to);
    header[1] = 8 * addressBytes(to).length;
    header[2] = from === undefined ? 0 : 8 * addressBytes(from).length;
    writer.bytes(header);
    writer.attributeBytes(attributeType.destination, addressBytes(to));
    if (from !== undefined) writer.attributeBytes(attributeType.source, addressBytes(from));
    if (inInterface !== undefined) writer.attributeU32(3, inInterface);
    if (mark !== undefined) writer.attributeU32(16, mark);
  };
  socket.request(`route to ${to}`, messageType.getRoute, 0, write, (message) => {
    found = readRoute(message);
  });
  if (found === undefined) throw new NetlinkFormatError(`no route in the answer about ${to}`);
  return found;
}

function request(socket: NetlinkSocket, verb: string, type: number, flags: number, route: RouteSpec): void {
  const { destination, source, table = routeTable.main, nextHops = [] } = route;
  const deleting = type === messageType.deleteRoute;
  const kind = route.type ?? "unicast";
  socket.request(`${verb} route to ${destination} in table ${table}`, type, flags, (writer) => {
    writer.u8(familyNumber(prefixFamily(destination)));
    writer.u8(prefixLength(destination));
    writer.u8(source === undefined ? 0 : prefixLength(source));
    writer.u8(route.tos ?? 0);
    writer.u8(table < 256 ? table : 0);
    writer.u8(route.protocol ?? (deleting ? 0 : routeProtocol.static));
    writer.u8(route.scope ?? (deleting ? scopeNumber.nowhere : usualScope(kind, destination, nextHops)));
    writer.u8(deleting && route.type === undefined ? 0 : typeNumbers[kind]);
    const [single] = nextHops;
    writer.u32(nextHops.length === 1 && single?.onLink ? hopFlag.onLink : 0);
    writer.attributeU32(attributeType.table, table);
    writer.attributeBytes(attributeType.destination, addressBytes(prefixAddress(destination)));
    if (source !== undefined) writer.attributeBytes(attributeType.source, addressBytes(prefixAddress(source)));
    if (route.priority !== undefined) writer.attributeU32(attributeType.priority, route.priority);
    if (route.preferredSource !== undefined) {
      writer.attributeBytes(attributeType.preferredSource, addressBytes(route.preferredSource));
    }
    if (route.mtu !== undefined) {
      const metrics = writer.beginNested(attributeType.metrics);
      writer.attributeU32(metricMtu, route.mtu);
      writer.endNested(metrics);
    }
    if (nextHops.length === 1 && single !== undefined) {
      if (single.interface !== undefined) writer.attributeU32(attributeType.outInterface, single.interface);
      writeGateway(writer, single.gateway, prefixFamily(destination));
    } else if (nextHops.length > 1) {
      writer.attributeBytes(attributeType.multipath, multipathBytes(nextHops, prefixFamily(destination)));
    }
  });
}

/** As `ip route` chooses it: how far away the destination is. */
function usualScope(type: RouteType, destination: Prefix, nextHops: readonly Partial<NextHop>[]): number {
  if (prefixFamily(destination) === "IPv6") return scopeNumber.universe;
  if (type === "local") return scopeNumber.host;
  if (type === "broadcast" || type === "multicast" || type === "anycast") return scopeNumber.link;
  if (type !== "unicast") return scopeNumber.universe;
  return nextHops.some(({ gateway }) => gateway !== undefined) ? scopeNumber.universe : scopeNumber.link;
}

function writeGateway(writer: NetlinkWriter, gateway: Address | undefined, family: Family): void {
  if (gateway === undefined) return;
  const bytes = addressBytes(gateway);
  if (familyOf(gateway) === family) writer.attributeBytes(attributeType.gateway, bytes);
  else writer.attributeBytes(attributeType.via, Uint8Array.of(familyNumberOf(gateway), 0, ...bytes));
}

/** `struct rtnexthop` for each, followed by its gateway as an attribute. */
function multipathBytes(nextHops: readonly Partial<NextHop>[], family: Family): Uint8Array {
  const parts = nextHops.map(({ interface: index = 0, gateway, weight = 1, onLink = false }) => {
    const bytes = gateway === undefined ? undefined : addressBytes(gateway);
    const foreign = gateway !== undefined && familyOf(gateway) !== family;
    const value = bytes === undefined ? undefined : foreign ? [familyNumberOf(gateway as Address), 0, ...bytes] : bytes;
    const length = 8 + (value === undefined ? 0 : 4 + value.length);
    const part = new Uint8Array((length + 3) & ~3);
    const view = new DataView(part.buffer);
    view.setUint16(0, length, true);
    part[2] = onLink ? hopFlag.onLink : 0;
    part[3] = weight - 1;
    view.setUint32(4, index, true);
    if (value !== undefined) {
      view.setUint16(8, 4 + value.length, true);
      view.setUint16(10, foreign ? attributeType.via : attributeType.gateway, true);
      part.set(value, 12);
    }
    return part;
  });
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Reads a message about a route; undefined for other families and for entries of the route cache. */
export function decodeRoute(message: MessageReader): Route | undefined {
  return (message.u32(8) & cloned) !== 0 ? undefined : readRoute(message);
}

function readRoute(message: MessageReader): Route | undefined {
  const family = familyFromNumber(message.u8(0));
  const type = types[message.u8(7)];
  if (family === undefined || type === undefined) return undefined;
  const any = parseAddress(family === "IPv4" ? "0.0.0.0" : "::");
  let destination = any;
  let source: Address | undefined;
  let preferredSource: Address | undefined;
  let gateway: Address | undefined;
  let outInterface: number | undefined;
  let table = message.u8(4);
  let priority = 0;
  let mtu: number | undefined;
  let nextHopObject: number | undefined;
  let nextHops: readonly NextHop[] | undefined;
  for (const attribute = message.attributes(headerLength); attribute.next(); ) {
    switch (attribute.type) {
      case attributeType.destination:
        destination = readAddress(attribute);
        break;
      case attributeType.source:
        source = readAddress(attribute);
        break;
      case attributeType.preferredSource:
        preferredSource = readAddress(attribute);
        break;
      case attributeType.gateway:
        gateway = readAddress(attribute);
        break;
      case attributeType.via:
        gateway = readVia(attribute);
        break;
      case attributeType.outInterface:
        outInterface = attribute.u32();
        break;
      case attributeType.priority:
        priority = attribute.u32();
        break;
      case attributeType.table:
        table = attribute.u32();
        break;
      case attributeType.metrics:
        for (const metric = attribute.nested(); metric.next(); ) if (metric.type === metricMtu) mtu = metric.u32();
        break;
      case attributeType.multipath:
        nextHops = readMultipath(attribute.bytes());
        break;
      case attributeType.nextHopObject:
        nextHopObject = attribute.u32();
        break;
    }
  }
  const single = () => nextHop(outInterface, gateway, 1, message.u32(8) & 0xff);
  return {
    type,
    destination: prefixOfLength(destination, message.u8(1)),
    ...(source !== undefined && { source: prefixOfLength(source, message.u8(2)) }),
    table,
    protocol: message.u8(5),
    scope: message.u8(6),
    priority,
    tos: message.u8(3),
    ...(preferredSource !== undefined && { preferredSource }),
    ...(mtu !== undefined && { mtu }),
    nextHops: nextHops ?? (outInterface === undefined && gateway === undefined ? [] : [single()]),
    ...(nextHopObject !== undefined && { nextHopObject }),
  };
}

function nextHop(index: number | undefined, gateway: Address | undefined, weight: number, flags: number): NextHop {
  return {
    ...(index !== undefined && index !== 0 && { interface: index }),
    ...(gateway !== undefined && { gateway }),
    weight,
    onLink: (flags & hopFlag.onLink) !== 0,
    dead: (flags & hopFlag.dead) !== 0,
    linkDown: (flags & hopFlag.linkDown) !== 0,
  };
}

function readMultipath(bytes: Uint8Array): readonly NextHop[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const hops: NextHop[] = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 8 || at + length > bytes.length) throw new NetlinkFormatError(`next hop of ${length} bytes at ${at}`);
    let gateway: Address | undefined;
    for (const attribute = new AttributeReader(bytes, at + 8, at + length); attribute.next(); ) {
      if (attribute.type === attributeType.gateway) gateway = readAddress(attribute);
      else if (attribute.type === attributeType.via) gateway = readVia(attribute);
    }
    hops.push(nextHop(view.getUint32(at + 4, true), gateway, view.getUint8(at + 3) + 1, view.getUint8(at + 2)));
    at += (length + 3) & ~3;
  }
  return hops;
}

/** `struct rtvia`: a family of two bytes and an address. */
function readVia(attribute: AttributeReader): Address {
  const bytes = attribute.bytes();
  if (bytes.length !== 6 && bytes.length !== 18) throw new NetlinkFormatError(`gateway of ${bytes.length} bytes`);
  return addressFromBytes(bytes.subarray(2));
}
