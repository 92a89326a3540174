/** Looks whether the canary chains still stand: nobody removes them but who flushes everything. */
import { setTimeout as sleep } from "node:timers/promises";
import { onChainRemoved } from "../../../kernel/xtables/removals.ts";
import type { Xtables } from "../../../kernel/xtables/xtables.ts";
import type { Family } from "../../../net/address.ts";
import type { Drift } from "../mode.ts";
import { canaryTables } from "./fixed.ts";
import { chains } from "./names.ts";

/** How often to look; with the nft variant, how often beside whenever the kernel says so. */
export interface WatchPace {
  /** Milliseconds between two looks, at least. */
  readonly interval: number;
  /** The part of the time that looking may take: the legacy programs read whole tables for it. */
  readonly share: number;
}

/** What is watched. */
export interface Watched {
  /** The families in which the chains should stand by now. */
  families(): Iterable<Family>;
  /** Counts what the mode writes: a look that was overtaken says nothing. */
  writes(): number;
}

/** Programs that flush rules remove one chain after the other; mending while they are at it would be in vain. */
const settling = 50;

/** Tells of families whose canary chains are gone, until the signal; then it ends without an error. */
export async function watchCanaries(
  xtables: Xtables,
  watched: Watched,
  pace: WatchPace,
  onDrift: (drift: Drift) => void,
  signal: AbortSignal,
): Promise<void> {
  let alarm = new AbortController();
  if (xtables.variant === "nft") onChainRemoved(chains.canary, () => alarm.abort(), signal);
  for (let took = 0; !signal.aborted; ) {
    const until = AbortSignal.any([signal, alarm.signal]);
    await sleep(Math.max(pace.interval, took / pace.share), undefined, { signal: until, ref: false }).catch(() => {});
    if (alarm.signal.aborted) await sleep(settling);
    alarm = new AbortController();
    const start = performance.now();
    for (const family of watched.families()) await look(family, xtables, watched, onDrift, signal);
    took = performance.now() - start;
  }
}

async function look(
  family: Family,
  xtables: Xtables,
  watched: Watched,
  onDrift: (drift: Drift) => void,
  signal: AbortSignal,
): Promise<void> {
  const writes = watched.writes();
  const missing: string[] = [];
  for (const table of canaryTables) {
    // A program that cannot tell now, for the lock is taken, can tell next time.
    const there = await xtables.hasChain(family, table, chains.canary, signal).catch(() => true);
    if (!there) missing.push(table);
  }
  if (missing.length === 0 || writes !== watched.writes() || signal.aborted) return;
  onDrift({
    what: `${family} table ${missing.join(", ")}: chain ${chains.canary} is gone: somebody flushed the rules`,
  });
}
