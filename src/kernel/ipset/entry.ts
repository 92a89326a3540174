/** Entries of sets as values, as text and as attributes. */
import { type Address, addressBytes, addressFromBytes, type Family, familyOf } from "../../net/address.ts";
import { type Prefix, prefixAddress, prefixLength, prefixOf } from "../../net/prefix.ts";
import { type Protocol, protocolFromNumber, protocolNumbers } from "../../net/protocol.ts";
import { type AttributeReader, NetlinkFormatError, type NetlinkWriter } from "../netlink/index.ts";
import { addressAttribute, dataAttribute, networkOrder } from "./protocol.ts";

/** The types of sets that are known here. */
export const setTypes = [
  "hash:ip",
  "hash:ip,port",
  "hash:ip,port,ip",
  "hash:ip,port,net",
  "bitmap:port",
  "list:set",
] as const;
export type SetType = (typeof setTypes)[number];

/** An entry of a set, by the set's type. */
export type Entry =
  | { readonly type: "hash:ip"; readonly address: Address }
  | ({ readonly type: "hash:ip,port" } & AddressAndPort)
  | ({ readonly type: "hash:ip,port,ip"; readonly second: Address } & AddressAndPort)
  /** The prefix has at least 1 bit: the type cannot hold "everything". */
  | ({ readonly type: "hash:ip,port,net"; readonly prefix: Prefix } & AddressAndPort)
  | { readonly type: "bitmap:port"; readonly port: number }
  /** The name of another set. */
  | { readonly type: "list:set"; readonly name: string };

interface AddressAndPort {
  readonly address: Address;
  readonly protocol: Protocol;
  readonly port: number;
}

/** An entry as `ipset save` writes it: unique in its set, e.g. `10.96.0.1,tcp:443,10.244.0.0/16`. */
export function formatEntry(entry: Entry): string {
  switch (entry.type) {
    case "hash:ip":
      return entry.address;
    case "hash:ip,port":
      return formatAddressAndPort(entry);
    case "hash:ip,port,ip":
      return `${formatAddressAndPort(entry)},${entry.second}`;
    case "hash:ip,port,net": {
      const whole = prefixLength(entry.prefix) === (entry.prefix.includes(":") ? 128 : 32);
      return `${formatAddressAndPort(entry)},${whole ? prefixAddress(entry.prefix) : entry.prefix}`;
    }
    case "bitmap:port":
      return String(entry.port);
    case "list:set":
      return entry.name;
  }
}

function formatAddressAndPort({ address, protocol, port }: AddressAndPort): string {
  return `${address},${protocol.toLowerCase()}:${port}`;
}

/** Writes what an entry consists of. */
export function writeEntry(writer: NetlinkWriter, entry: Entry): void {
  switch (entry.type) {
    case "bitmap:port":
      writer.attributeU16BE(dataAttribute.port | networkOrder, entry.port);
      return;
    case "list:set":
      writer.attributeString(dataAttribute.name, entry.name);
      return;
  }
  writeAddress(writer, dataAttribute.address, entry.address);
  if (entry.type === "hash:ip") return;
  writer.attributeU16BE(dataAttribute.port | networkOrder, entry.port);
  writer.attributeU8(dataAttribute.protocol, protocolNumbers[entry.protocol]);
  if (entry.type === "hash:ip,port,ip") {
    writeAddress(writer, dataAttribute.secondAddress, entry.second);
  } else if (entry.type === "hash:ip,port,net") {
    writeAddress(writer, dataAttribute.secondAddress, prefixAddress(entry.prefix));
    writer.attributeU8(dataAttribute.secondPrefixLength, prefixLength(entry.prefix));
  }
}

/**
 * Reads an entry of a set of this type and family; undefined if it is of a protocol that Services do not know.
 *
 * @throws {NetlinkFormatError} if it is malformed.
 */
export function readEntry(fields: AttributeReader, type: SetType, family: Family): Entry | undefined {
  let address: Address | undefined;
  let second: Address | undefined;
  let [port, protocolNumber] = [-1, -1];
  let secondLength = family === "IPv4" ? 32 : 128;
  let name = "";
  while (fields.next()) {
    switch (fields.type) {
      case dataAttribute.address:
        address = readAddress(fields.nested(), family);
        break;
      case dataAttribute.secondAddress:
        second = readAddress(fields.nested(), family);
        break;
      case dataAttribute.port:
        port = fields.u16BE();
        break;
      case dataAttribute.protocol:
        protocolNumber = fields.u8();
        break;
      case dataAttribute.secondPrefixLength:
        secondLength = fields.u8();
        break;
      case dataAttribute.name:
        name = fields.string();
        break;
    }
  }
  if (type === "list:set") return { type, name };
  if (type === "bitmap:port") return { type, port: given(port, "port") };
  const first = present(address);
  if (type === "hash:ip") return { type, address: first };
  const protocol = protocolFromNumber(given(protocolNumber, "protocol"));
  if (protocol === undefined) return undefined;
  const rest = { address: first, protocol, port: given(port, "port") };
  if (type === "hash:ip,port") return { type, ...rest };
  if (type === "hash:ip,port,ip") return { type, ...rest, second: present(second) };
  if (secondLength > (family === "IPv4" ? 32 : 128)) throw new NetlinkFormatError(`prefix length ${secondLength}`);
  return { type, ...rest, prefix: prefixOf(present(second), secondLength) };
}

function given(value: number, what: string): number {
  if (value < 0) throw new NetlinkFormatError(`an entry of a set without its ${what}`);
  return value;
}

function present(address: Address | undefined): Address {
  if (address === undefined) throw new NetlinkFormatError("an entry of a set without its address");
  return address;
}

function writeAddress(writer: NetlinkWriter, type: number, address: Address): void {
  const outer = writer.beginNested(type);
  writer.attributeBytes(addressAttribute[familyOf(address)] | networkOrder, addressBytes(address));
  writer.endNested(outer);
}

function readAddress(fields: AttributeReader, family: Family): Address {
  let address: Address | undefined;
  while (fields.next()) {
    if (fields.type !== addressAttribute[family]) continue;
    if (fields.length !== (family === "IPv4" ? 4 : 16)) {
      throw new NetlinkFormatError(`an address of ${fields.length} bytes in a set of ${family}`);
    }
    address = addressFromBytes(fields.bytes());
  }
  return present(address);
}
