/**
 * The addresses that the proxy listens on, one of each family, on the loopback interface. With an address of its own it
 * takes no port from any program, cannot be reached but through services, and works for clients behind interfaces
 * without an address, which the kernel's `redirect` does not.
 */

import type { NetlinkSocket } from "../../../kernel/netlink/index.ts";
import { addAddress, deleteAddress, listAddresses, openRoute } from "../../../kernel/route/index.ts";
import { type Address, addressLength, type Family, families, familyOf, parseAddress } from "../../../net/address.ts";

/** The addresses: link-local and unique-local ones, which are never routed. */
export const ownAddresses: Readonly<Record<Family, Address>> = {
  IPv4: parseAddress("169.254.96.96"),
  IPv6: parseAddress("fd70:6f72:746f:6c61:6e::1"),
};

/** `RT_SCOPE_HOST`: never chosen as the source of a connection to another machine. */
const hostScope = 254;
const loopback = 1;

/** Adds the addresses of these families where they are missing. @throws {NetlinkError} without CAP_NET_ADMIN. */
export function addOwnAddresses(served: Iterable<Family>): void {
  using socket = openRoute();
  for (const family of missingOf(served, socket)) {
    const address = ownAddresses[family];
    addAddress(socket, { ...whereOf(address), scope: hostScope, withoutDetection: true });
  }
}

/** The families whose address is missing. */
export function missingAddresses(served: Iterable<Family>): readonly Family[] {
  using socket = openRoute();
  return missingOf(served, socket);
}

/** Removes the addresses of all families, if they are there. @returns those that were, in words. */
export function removeOwnAddresses(): readonly string[] {
  using socket = openRoute();
  const missing = new Set(missingOf(families, socket));
  const there = families.filter((family) => !missing.has(family)).map((family) => ownAddresses[family]);
  for (const address of there) deleteAddress(socket, whereOf(address));
  return there.map((address) => `address ${address}`);
}

function missingOf(served: Iterable<Family>, socket: NetlinkSocket): readonly Family[] {
  const there = new Set(listAddresses(socket).map(({ address }) => address));
  return [...served].filter((family) => !there.has(ownAddresses[family]));
}

function whereOf(address: Address) {
  return { interface: loopback, address, prefixLength: 8 * addressLength(familyOf(address)) };
}
