/** What the proxy must know of, and do to, the machine it runs on, beside the rules of its mode. */
import { existsSync } from "node:fs";
import { listAddresses, openRoute, RouteMonitor } from "../kernel/route/index.ts";
import type { Family } from "../net/address.ts";
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

/** Removes nothing. */
export const conntrackCleaner: ConntrackCleaner = { removeStale: async () => 0 };
