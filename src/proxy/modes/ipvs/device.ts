/** The dummy interface whose addresses are those of services: packets to them are for this node, where IPVS takes them. */
import { isAlreadyExists, isNotFound, isNotSupported, type NetlinkSocket } from "../../../kernel/netlink/index.ts";
import {
  addAddress,
  createLink,
  deleteAddress,
  deleteLink,
  findLink,
  listAddresses,
  setLink,
} from "../../../kernel/route/index.ts";
import { type Address, addressLength, type Family, familyOf, isLinkLocal, isLoopback } from "../../../net/address.ts";

/** The interface's name, which is kube-proxy's. */
export const deviceName = "kube-ipvs0";

/** Makes the interface if there is none. @returns its index. */
export function ensureDevice(socket: NetlinkSocket): number {
  try {
    createLink(socket, deviceName, { kind: "dummy" });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
  const link = findLink(socket, deviceName);
  if (link === undefined) throw new Error(`link ${deviceName} is gone already`);
  if (!link.up) setLink(socket, link.index, { up: true });
  return link.index;
}

/** Removes the interface with its addresses. */
export function removeDevice(socket: NetlinkSocket): void {
  const link = findLink(socket, deviceName);
  if (link !== undefined) deleteLink(socket, link.index);
}

/** Whether the kernel has dummy interfaces, found out by a request that it refuses in any case. */
export function hasDummyLinks(socket: NetlinkSocket): boolean {
  try {
    createLink(socket, "not/a/name", { kind: "dummy" });
    return true;
  } catch (error) {
    return !isNotSupported(error);
  }
}

/** The addresses of this machine in a family. */
export interface HostAddresses {
  /** Those of {@link deviceName}. */
  readonly bound: readonly Address[];
  /** All others. */
  readonly local: readonly Address[];
}

/** Reads the addresses of this machine. */
export function readAddresses(socket: NetlinkSocket, family: Family): HostAddresses {
  const index = findLink(socket, deviceName)?.index;
  const all = listAddresses(socket, family);
  // The kernel gives every interface an address of its own in IPv6.
  const isOwn = (address: Address) => family === "IPv6" && isLinkLocal(address);
  return {
    bound: all.filter((each) => each.interface === index && !isOwn(each.address)).map(({ address }) => address),
    local: all.filter((each) => each.interface !== index).map(({ address }) => address),
  };
}

/** Those local addresses on which node ports can answer: IPVS takes nothing that comes from loopback. */
export function servingAddresses(local: readonly Address[]): readonly Address[] {
  return local.filter((address) => !isLoopback(address) && !(familyOf(address) === "IPv6" && isLinkLocal(address)));
}

/** Gives the interface an address. One that is there stays. */
export function bindAddress(socket: NetlinkSocket, device: number, address: Address): void {
  try {
    addAddress(socket, { interface: device, address, prefixLength: lengthOf(address), withoutDetection: true });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

/** Takes an address from the interface. One that is not there does not matter. */
export function releaseAddress(socket: NetlinkSocket, device: number, address: Address): void {
  try {
    deleteAddress(socket, { interface: device, address, prefixLength: lengthOf(address) });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

function lengthOf(address: Address): number {
  return 8 * addressLength(familyOf(address));
}
