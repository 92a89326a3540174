/**
 * The userspace mode. Read in this order: `rewrite.ts` (decisions as rules need them that lead to the proxy), `rules.ts`
 * (those rules), `place.ts` (where it listens), `proxy.ts` (what it serves), `balancer.ts` (which endpoint), `tcp.ts` and
 * `udp.ts` (the traffic).
 */
import type { ModeFactory, Probe } from "../mode.ts";
import { UserspaceMode } from "./mode.ts";
import { removeOwnAddresses } from "./place.ts";
import { UserspaceProxy } from "./proxy.ts";
import { inIptables, inNftables, type Rules, removeRules } from "./rules.ts";

/** The proxy of this process while its rules may be there. */
let proxy: UserspaceProxy | undefined;

/**
 * Makes the factory of the mode.
 *
 * @param ways how connections may be led to the proxy, the best first: the first one is taken that this node can.
 */
export function userspaceFactory(ways: readonly Rules[] = [inNftables, inIptables()]): ModeFactory {
  return {
    name: "userspace",
    needsProcess: true,

    async probe(): Promise<Probe> {
      const missing: string[] = [];
      for (const way of ways) {
        const probe = await way.probe();
        if (probe.able) return probe;
        missing.push(...probe.missing.map((what) => `${what} (rules lead connections to the proxy)`));
      }
      return { able: false, missing };
    },

    async create() {
      const rules = await createFirst(ways);
      proxy ??= new UserspaceProxy();
      return new UserspaceMode(proxy, rules);
    },

    async cleanup() {
      const removed = await removeRules();
      const retiring = proxy;
      proxy = undefined;
      if (retiring === undefined) return [...removed, ...removeOwnAddresses()];
      void retiring.retire().then(() => proxy ?? removeOwnAddresses());
      return removed;
    },
  };
}

/** The factory of the mode, for whatever rules this node can have. */
export const userspace: ModeFactory = userspaceFactory();

async function createFirst(ways: readonly Rules[]) {
  for (const way of ways.slice(0, -1)) if ((await way.probe()).able) return way.create();
  const last = ways.at(-1);
  if (last === undefined) throw new Error("there is no way to lead connections to the proxy");
  return last.create();
}
