/** What the proxy must know of, and do to, the machine it runs on, beside the rules of its mode. */
import { existsSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type ConntrackEntry, conntrackParts, deleteConntrack, openConntrack } from "../kernel/conntrack/index.ts";
import { isNotFound } from "../kernel/netlink/index.ts";
import { findLink, listAddresses, openRoute, RouteMonitor } from "../kernel/route/index.ts";
import type { Family } from "../net/address.ts";
import { protocolNumbers } from "../net/protocol.ts";
import { staleUdp, type UdpEntry } from "../service/conntrack.ts";
import type { Logger } from "../telemetry/log.ts";
import type { AddressSource } from "./inputs.ts";
import { deviceName } from "./modes/ipvs/device.ts";
import type { ConntrackCleaner } from "./stale.ts";

/** Milliseconds that a search of the connection tracker may keep the thread. */
const longestTurn = 5;

/** The families that this kernel has in this network namespace. */
export function servedFamilies(): readonly Family[] {
  return existsSync("/proc/net/if_inet6") ? ["IPv4", "IPv6"] : ["IPv4"];
}

/** The addresses of this machine, as the kernel tells them, without those that the ipvs mode gives it for services. */
export function hostAddresses(log: Logger): AddressSource {
  return {
    list() {
      using socket = openRoute();
      const services = findLink(socket, deviceName)?.index;
      return listAddresses(socket).flatMap((each) => (each.interface === services ? [] : [each.address]));
    },
    watch(onChange, signal) {
      void watchAddresses(onChange, signal).catch((error: unknown) => {
        log.error(error, "Addresses of this machine are no longer watched");
      });
    },
  };
}

async function watchAddresses(onChange: () => void, signal: AbortSignal): Promise<void> {
  using monitor = new RouteMonitor(["addresses", "links"]);
  using socket = openRoute();
  let services = findLink(socket, deviceName)?.index;
  for await (const event of monitor.events(signal)) {
    if (event.kind === "link") {
      if (event.link.name === deviceName) services = event.link.index;
    } else if (event.kind !== "address" || event.address.interface !== services) {
      onChange();
    }
  }
}

/** Searches the kernel's connection tracker for stale UDP entries. */
export const conntrackCleaner: ConntrackCleaner = {
  async removeStale(family, services, signal) {
    using socket = openConntrack();
    const letOthersRun = turns(signal);
    const candidates: ConntrackEntry[] = [];
    const seemsStale = staleUdp(family, services());
    for (const entries of conntrackParts(socket, { family, protocol: protocolNumbers.UDP })) {
      candidates.push(...entries.filter((entry) => seemsStale(udpEntry(entry))));
      await letOthersRun();
    }
    // Endpoints may have come meanwhile, and flows to them.
    const isStale = staleUdp(family, services());
    let removed = 0;
    for (const entry of candidates) {
      if (isStale(udpEntry(entry)) && forget(socket, entry)) removed++;
      await letOthersRun();
    }
    return removed;
  },
};

function udpEntry({ original, reply }: ConntrackEntry): UdpEntry {
  return {
    originalDestination: original.destination,
    originalDestinationPort: original.destinationPort ?? 0,
    replySource: reply.source,
  };
}

/** A function to call again and again in long work: it lets others run when the thread was kept for so long. */
function turns(signal: AbortSignal): () => Promise<void> {
  let began = performance.now();
  return async () => {
    if (performance.now() - began < longestTurn) return;
    await nextTurn();
    signal.throwIfAborted();
    began = performance.now();
  };
}

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
