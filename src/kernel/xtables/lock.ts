/** Who holds the lock that all xtables programs share. */
import { readFileSync, statSync } from "node:fs";
import { processStart } from "../programs.ts";

/** A process that holds the lock. */
export interface LockHolder {
  readonly processId: number;
  /** As `ps` shows it, such as `iptables-restore`. */
  readonly processName: string;
  /** Seconds since the process began; it had the lock no longer. */
  readonly age: number;
}

/** Where the lock is, unless the environment says otherwise, as it does to the programs. */
const lockFile = "/run/xtables.lock";

/** Ticks of the kernel's clock in a second, as user space sees them on every architecture (`USER_HZ`). */
const ticksPerSecond = 100;

/**
 * The process that holds the lock at this moment; undefined if nobody does, or if it cannot be seen from here (the lock
 * is one for the machine, `/proc` may be that of a container).
 */
export function xtablesLockHolder(): LockHolder | undefined {
  try {
    const { ino } = statSync(process.env.XTABLES_LOCKFILE ?? lockFile);
    // `3: FLOCK  ADVISORY  WRITE 4711 00:17:2342 0 EOF`; those that wait have `->` after the number.
    const held = new RegExp(`^\\d+: FLOCK +ADVISORY +WRITE (\\d+) [0-9a-f]+:[0-9a-f]+:${ino} `, "m");
    const processId = Number(held.exec(readFileSync("/proc/locks", "utf8"))?.[1]);
    const start = Number.isNaN(processId) ? undefined : processStart(processId);
    if (start === undefined) return undefined;
    const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
    const processName = readFileSync(`/proc/${processId}/comm`, "utf8").trim();
    return { processId, processName, age: Math.max(0, uptime - Number(start) / ticksPerSecond) };
  } catch {
    // No program has made the file yet, or the process ended meanwhile.
    return undefined;
  }
}
