/**
 * What kube-proxy and other modes of this program leave in the kernel. It is removed only after the rules of the mode in
 * use are in place, so that no connection meets a node without rules.
 */
import { listTables, openNftablesIfThere } from "../kernel/nftables/index.ts";
import type { Clock } from "../telemetry/clock.ts";
import { errorText, type Logger } from "../telemetry/log.ts";
import type { ModeFactory } from "./modes/mode.ts";
import { retireTables } from "./modes/nftables/table.ts";

/** Something that can be removed. */
export interface Leftover {
  /** For log lines, e.g. `mode iptables`. */
  readonly name: string;
  /** Idempotent; needs no state but the kernel's. */
  readonly remove: () => Promise<readonly string[]>;
  /** As `ModeFactory.retire`. */
  readonly retire?: () => Promise<boolean>;
}

/** What kube-proxy leaves in the kernel beside what has the same shape as in modes of this program. */
export const kubeProxyLeftovers: readonly Leftover[] = [
  { name: "kube-proxy's mode nftables", remove: () => removeTables("kube-proxy") },
];

async function removeTables(name: string): Promise<readonly string[]> {
  using socket = openNftablesIfThere();
  if (socket === undefined) return [];
  const tables = listTables(socket).filter(
    ({ family, table }) => table === name && (family === "ip" || family === "ip6"),
  );
  if (tables.length > 0) await retireTables(tables, socket);
  return tables.map(({ family, table }) => `table ${family} ${table}`);
}

/** What became of leftovers. */
export interface Removal {
  /** What was removed, in words. */
  readonly removed: readonly string[];
  /** What failed, one line each. */
  readonly failures: readonly string[];
}

/** What the other modes may have left while `current` is in use; everything if it is undefined. */
export function leftoversBeside(
  current: string | undefined,
  factories: readonly ModeFactory[],
  others: readonly Leftover[],
): readonly Leftover[] {
  const modes = factories
    .filter(({ name }) => name !== current)
    .map((factory) => ({
      name: `mode ${factory.name}`,
      remove: () => factory.cleanup(),
      ...(factory.retire && { retire: factory.retire }),
    }));
  return [...modes, ...others];
}

/** Removes leftovers, one after the other, at once; what fails does not stop the rest. */
export async function removeLeftovers(leftovers: readonly Leftover[], log: Logger): Promise<Removal> {
  const all: string[] = [];
  const failures: string[] = [];
  for (const { name, remove } of leftovers) {
    try {
      const removed = await remove();
      if (removed.length > 0) log.info("Leftovers removed", { of: name, removed });
      else log.debug(2, "Nothing is left", { of: name });
      all.push(...removed);
    } catch (error) {
      failures.push(`${name}: ${errorText(error)}`);
      log.error(error, "Leftovers not removed", { of: name });
    }
  }
  return { removed: all, failures };
}

/**
 * Removes leftovers while a mode serves: what connections need that are under way stays, with a word about it.
 *
 * @returns those of which something stays.
 */
export async function retireLeftovers(leftovers: readonly Leftover[], log: Logger): Promise<readonly Leftover[]> {
  await removeLeftovers(
    leftovers.filter(({ retire }) => retire === undefined),
    log,
  );
  const waiting = await stillWaiting(leftovers, log);
  for (const { name } of waiting) {
    log.info("Connections are under way through what an earlier mode left: it stays until they end", { of: name });
  }
  return waiting;
}

/** Milliseconds between the first two looks at leftovers that wait, and at most: each pause is twice the one before. */
const [firstPause, longestPause] = [2000, 60_000];

/** As {@link retireLeftovers}, again and again until nothing stays or the signal is aborted. */
export async function retireUntilGone(
  leftovers: readonly Leftover[],
  { log, clock }: { readonly log: Logger; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  let waiting = await retireLeftovers(leftovers, log);
  for (let pause = firstPause; waiting.length > 0; pause = Math.min(2 * pause, longestPause)) {
    if (!(await clock.sleep(pause, signal))) return;
    waiting = await stillWaiting(waiting, log);
  }
}

async function stillWaiting(leftovers: readonly Leftover[], log: Logger): Promise<readonly Leftover[]> {
  const waiting: Leftover[] = [];
  for (const leftover of leftovers) {
    const { name, retire } = leftover;
    if (retire === undefined) continue;
    try {
      if (await retire()) log.debug(2, "Nothing is left", { of: name });
      else waiting.push(leftover);
    } catch (error) {
      waiting.push(leftover);
      log.error(error, "Leftovers not removed, trying again", { of: name });
    }
  }
  return waiting;
}
