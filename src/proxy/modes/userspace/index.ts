/**
 * The userspace mode. Read in this order: `rewrite.ts` (decisions become rules that lead to the proxy), `place.ts` (where
 * it listens), `proxy.ts` (what it serves), `balancer.ts` (which endpoint), `tcp.ts` and `udp.ts` (the traffic).
 */
import { openNftables } from "../../../kernel/nftables/index.ts";
import { families } from "../../../net/address.ts";
import type { ModeFactory, Probe } from "../mode.ts";
import { nftables } from "../nftables/index.ts";
import { KernelTable } from "../nftables/table.ts";
import { tableName, UserspaceMode } from "./mode.ts";
import { removeOwnAddresses } from "./place.ts";
import { UserspaceProxy } from "./proxy.ts";

/** The proxy of this process while its rules may be there. */
let proxy: UserspaceProxy | undefined;

/** The userspace mode. */
export const userspace: ModeFactory = {
  name: "userspace",
  needsProcess: true,

  async probe(): Promise<Probe> {
    const probe = await nftables.probe();
    if (probe.able) return probe;
    return { able: false, missing: probe.missing.map((what) => `${what} (its rules lead connections to the proxy)`) };
  },

  async create() {
    proxy ??= new UserspaceProxy();
    return new UserspaceMode(proxy);
  },

  async cleanup() {
    using socket = openNftables();
    for (const family of families) new KernelTable(family, socket, tableName).remove();
    const retiring = proxy;
    proxy = undefined;
    if (retiring === undefined) removeOwnAddresses();
    else void retiring.retire().then(() => proxy ?? removeOwnAddresses());
  },
};
