/** What the proxy must know of, and do to, the machine it runs on, beside the rules of its mode. */
import { existsSync } from "node:fs";
import { type ConntrackEntry, deleteConntrack, listConntrack, openConntrack } from "../kernel/conntrack/index.ts";
import { isNotFound } from "../kernel/netlink/index.ts";
import { listAddresses, openRoute, RouteMonitor } from "../kernel/route/index.ts";
import type { Family } from "../net/address.ts";
import { protocolNumbers } from "../net/protocol.ts";
import { staleUdpEntries } from "../service/conntrack.ts";
import type { Logger } from "../telemetry/log.ts";
import type { AddressSource } from "./inputs.ts";
import type { ConntrackCleaner } from "./runner.ts";

/** The families that this kernel has in this network namespace. */
export function servedFamilies(): readonly Family[] {
  return existsSync("/proc/net/if_inet6") ? ["IPv4", "IPv6"] : ["IPv4"];
}

/** The addresses of this machine, as the kernel tells them. */
export function hostAddresses(log: Logger): AddressSource {
  return {
    list() {
      using socket = openRoute();
      return listAddresses(socket).map(({ address }) => address);
    },
    watch(onChange, signal) {
      void watchAddresses(onChange, signal).catch((error: unknown) => {
        log.error(error, "Addresses of this machine are no longer watched");
      });
    },
  };
}

async function watchAddresses(onChange: () => void, signal: AbortSignal): Promise<void> {
  using monitor = new RouteMonitor(["addresses"]);
  for await (const _ of monitor.events(signal)) onChange();
}

/** Searches the kernel's connection tracker for stale UDP entries. */
export const conntrackCleaner: ConntrackCleaner = {
  async removeStale(family, services) {
    using socket = openConntrack();
    const entries = listConntrack(socket, { family, protocol: protocolNumbers.UDP }).map((entry) => ({
      entry,
      originalDestination: entry.original.destination,
      originalDestinationPort: entry.original.destinationPort ?? 0,
      replySource: entry.reply.source,
    }));
    let removed = 0;
    for (const { entry } of staleUdpEntries(family, services, entries)) if (forget(socket, entry)) removed++;
    return removed;
  },
};

/** @returns false if the connection had ended by itself. */
function forget(socket: Parameters<typeof deleteConntrack>[0], entry: ConntrackEntry): boolean {
  try {
    deleteConntrack(socket, entry);
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
