/** Numbers of rtnetlink that several files need (`linux/rtnetlink.h`). */
import type { Address, Family } from "../../net/address.ts";
import { addressFromBytes, familyOf } from "../../net/address.ts";
import { type Prefix, prefixOf } from "../../net/prefix.ts";
import { AF } from "../ffi.ts";
import type { AttributeReader } from "../netlink/index.ts";
import { NetlinkFormatError } from "../netlink/index.ts";

/** Message types (`RTM_*`). */
export const messageType = {
  newLink: 16,
  deleteLink: 17,
  getLink: 18,
  setLink: 19,
  newAddress: 20,
  deleteAddress: 21,
  getAddress: 22,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
  newNeighbour: 28,
  deleteNeighbour: 29,
  getNeighbour: 30,
  newRule: 32,
  deleteRule: 33,
  getRule: 34,
  getDiscipline: 38,
  getFilter: 46,
} as const;

/** `AF_BRIDGE`: the family of bridge ports and of forwarding databases. */
export const familyBridge = 7;

/** The kernel's number of an address family (`AF_INET`, `AF_INET6`); unspecified for undefined. */
export function familyNumber(family: Family | undefined): number {
  return family === undefined ? AF.unspec : family === "IPv4" ? AF.inet : AF.inet6;
}

/** The kernel's number of the family of an address. */
export function familyNumberOf(address: Address): number {
  return familyNumber(familyOf(address));
}

/** The family of a number; undefined for what is neither IPv4 nor IPv6. */
export function familyFromNumber(number: number): Family | undefined {
  return number === AF.inet ? "IPv4" : number === AF.inet6 ? "IPv6" : undefined;
}

/** The address that is an attribute's value. @throws {NetlinkFormatError} if it has not 4 or 16 bytes. */
export function readAddress(attribute: AttributeReader): Address {
  const { length, type } = attribute;
  if (length !== 4 && length !== 16) throw new NetlinkFormatError(`attribute ${type} has ${length} bytes, no address`);
  return addressFromBytes(attribute.bytes());
}

/** A prefix of what the kernel says. @throws {NetlinkFormatError} if the length is none of the address's family. */
export function prefixOfLength(address: Address, length: number): Prefix {
  try {
    return prefixOf(address, length);
  } catch {
    throw new NetlinkFormatError(`prefix length ${length} of ${address}`);
  }
}

/** A table of names by number, turned around: names to numbers. */
export function numbersOf<Name extends string>(names: readonly (Name | undefined)[]): Readonly<Record<Name, number>> {
  return Object.fromEntries(names.flatMap((name, i) => (name === undefined ? [] : [[name, i]]))) as Record<
    Name,
    number
  >;
}
