/** All IP sets of a network namespace, of whatever type, with what is in them. */
import { type Address, addressFromBytes, type Family } from "../../net/address.ts";
import { AF } from "../ffi.ts";
import { inNamespace } from "../namespace.ts";
import {
  type AttributeReader,
  type MessageReader,
  NetlinkError,
  NetlinkFormatError,
  NetlinkSocket,
  protocols,
} from "../netlink/index.ts";
import { addressAttribute, attribute, command, dataAttribute, subsystem } from "./protocol.ts";

/** A set of any type. */
export interface AnySet {
  readonly name: string;
  /** Such as `hash:net,port`. */
  readonly type: string;
  /** Absent for types without addresses. */
  readonly family?: Family;
  /** The number that rules refer to it by; absent where the kernel is older than 4.20. */
  readonly index?: number;
  /** The bits of an address that count, for types whose elements are addresses. */
  readonly netmask?: number;
  /** The bits of a mark that count. */
  readonly markMask?: number;
  readonly elements: readonly SetElement[];
}

/** An element of a set: the fields that its type has. */
export interface SetElement {
  readonly address?: Address;
  /** Absent: the whole address. */
  readonly prefixLength?: number;
  readonly second?: Address;
  readonly secondPrefixLength?: number;
  /** IANA number of the protocol that the port belongs to. */
  readonly protocol?: number;
  readonly port?: number;
  readonly mark?: number;
  /** Such as `02:00:00:00:00:01`. */
  readonly mac?: string;
  /** The name of an interface; with `wildcard` its beginning, with `physical` of a bridge's port. */
  readonly interface?: string;
  readonly wildcard?: boolean;
  readonly physical?: boolean;
  /** Of lists: the name of another set. */
  readonly name?: string;
  /** What it covers is not in the set, although a wider element says so. */
  readonly nomatch?: boolean;
}

/** Attributes that only listings have (`IPSET_ATTR_*`). */
const listing = { index: 11, cadtFlags: 8, mark: 10, markMask: 11, netmask: 20, ether: 17, interface: 23 } as const;
/** `IPSET_FLAG_PHYSDEV`, `_NOMATCH`, `_IFACE_WILDCARD`. */
const flag = { physical: 2, nomatch: 4, wildcard: 128 } as const;
/** The versions of the protocol: the newer one tells the indexes of sets, kernels before 4.20 know the older one alone. */
const versions = [7, 6] as const;
/** Bytes of `struct nfgenmsg`. */
const headerLength = 4;

/** Lists all sets. @param namespace a named one; without it that of the calling thread. */
export function listAllSets(namespace?: string): readonly AnySet[] {
  const open = () => new NetlinkSocket(protocols.netfilter);
  using socket = namespace === undefined ? open() : inNamespace(namespace, open);
  for (const version of versions) {
    try {
      return listWith(socket, version);
    } catch (error) {
      if (!(error instanceof NetlinkError) || version === versions.at(-1)) throw error;
    }
  }
  return [];
}

type OpenSet = { -readonly [Key in keyof AnySet]: AnySet[Key] } & { readonly elements: SetElement[] };

function listWith(socket: NetlinkSocket, version: number): readonly AnySet[] {
  const sets = new Map<string, OpenSet>();
  socket.dump(
    "list all sets",
    subsystem | command.list,
    (writer) => {
      // It is called again where the dump must start again.
      sets.clear();
      writer.u8(AF.inet);
      writer.u8(0);
      writer.u16BE(0);
      writer.attributeU8(attribute.protocol, version);
    },
    (message) => {
      decodeAny(message, sets);
      return undefined;
    },
  );
  return [...sets.values()];
}

/**
 * Reads a message of the list. A set with many elements takes several, of which the first alone tells what it is like.
 *
 * @throws {NetlinkFormatError} if it is malformed.
 */
export function decodeAny(message: MessageReader, sets: Map<string, OpenSet>): void {
  let name = "";
  let type = "";
  let family: Family | undefined;
  let index: number | undefined;
  for (const each = message.attributes(headerLength); each.next(); ) {
    if (each.type === attribute.name) name = each.string();
    else if (each.type === attribute.typeName) type = each.string();
    else if (each.type === attribute.family) family = familyOf(each.u8());
    else if (each.type === listing.index) index = each.u16BE();
    else if (each.type === attribute.data) {
      if (type === "" || sets.has(name)) continue;
      sets.set(name, {
        name,
        type,
        ...(family !== undefined && { family }),
        ...(index !== undefined && { index }),
        ...readSettings(each.nested()),
        elements: [],
      });
    } else if (each.type === attribute.entries) {
      const set = sets.get(name);
      if (set === undefined) throw new NetlinkFormatError(`elements of a set ${name} that was not told of`);
      for (const item = each.nested(); item.next(); ) {
        if (item.type !== attribute.data) throw new NetlinkFormatError(`attribute ${item.type} among elements`);
        set.elements.push(readElement(item.nested(), set.type));
      }
    }
  }
}

function familyOf(number: number): Family | undefined {
  return number === AF.inet ? "IPv4" : number === AF.inet6 ? "IPv6" : undefined;
}

function readSettings(fields: AttributeReader): { netmask?: number; markMask?: number } {
  const settings: { netmask?: number; markMask?: number } = {};
  while (fields.next()) {
    if (fields.type === listing.netmask) settings.netmask = fields.u8();
    else if (fields.type === listing.markMask) settings.markMask = fields.u32BE();
  }
  return settings;
}

function readElement(fields: AttributeReader, type: string): SetElement {
  const element: { -readonly [Key in keyof SetElement]: SetElement[Key] } = {};
  while (fields.next()) {
    switch (fields.type) {
      case dataAttribute.address:
        element.address = readAddress(fields.nested());
        break;
      case dataAttribute.prefixLength:
        element.prefixLength = fields.u8();
        break;
      case dataAttribute.secondAddress:
        element.second = readAddress(fields.nested());
        break;
      case dataAttribute.secondPrefixLength:
        element.secondPrefixLength = fields.u8();
        break;
      case dataAttribute.protocol:
        element.protocol = fields.u8();
        break;
      case dataAttribute.port:
        element.port = fields.u16BE();
        break;
      case listing.mark:
        element.mark = fields.u32BE();
        break;
      case listing.ether:
        element.mac = Array.from(fields.bytes(), (byte) => byte.toString(16).padStart(2, "0")).join(":");
        break;
      case listing.interface:
        element.interface = fields.string();
        break;
      case dataAttribute.name:
        if (type === "list:set") element.name = fields.string();
        break;
      case listing.cadtFlags: {
        const bits = fields.u32BE();
        if ((bits & flag.nomatch) !== 0) element.nomatch = true;
        if ((bits & flag.physical) !== 0) element.physical = true;
        if ((bits & flag.wildcard) !== 0) element.wildcard = true;
        break;
      }
    }
  }
  return element;
}

function readAddress(fields: AttributeReader): Address {
  while (fields.next()) {
    if (fields.type !== addressAttribute.IPv4 && fields.type !== addressAttribute.IPv6) continue;
    const length = fields.type === addressAttribute.IPv4 ? 4 : 16;
    if (fields.length !== length) throw new NetlinkFormatError(`an address of ${fields.length} bytes, not ${length}`);
    return addressFromBytes(fields.bytes());
  }
  throw new NetlinkFormatError("an element's address without its bytes");
}
