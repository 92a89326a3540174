/** What the proxy must know of, and do to, the machine it runs on, beside the rules of its mode. */
import { existsSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { Address, Family } from "../net/address.ts";
import { tryParseAddress } from "../net/address.ts";
import type { AddressSource } from "./inputs.ts";
import type { ConntrackCleaner } from "./runner.ts";

/** The families that this kernel has in this network namespace. */
export function servedFamilies(): readonly Family[] {
  return existsSync("/proc/net/if_inet6") ? ["IPv4", "IPv6"] : ["IPv4"];
}

/** The addresses of this machine. */
export const hostAddresses: AddressSource = {
  list: () =>
    Object.values(networkInterfaces())
      .flatMap((entries) => entries ?? [])
      .map(({ address }) => tryParseAddress(address.replace(/%.*/, "")))
      .filter((address): address is Address => address !== undefined),
  watch: () => {},
};

/** Removes nothing. */
export const conntrackCleaner: ConntrackCleaner = { removeStale: async () => 0 };
