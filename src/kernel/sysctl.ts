/** Settings of the kernel below /proc and /sys, of this process's network namespace where they have one. */
import { readFileSync, writeFileSync } from "node:fs";

/**
 * Reads a sysctl.
 *
 * @param name with slashes, e.g. `net/netfilter/nf_conntrack_max`.
 * @returns its text without blanks around it; undefined where this kernel does not have it (now).
 */
export function readSysctl(name: string): string | undefined {
  return readSetting(`/proc/sys/${name}`);
}

/**
 * Writes a sysctl, unless it has that value already.
 *
 * @returns true if it was changed.
 * @throws an Error that says why it cannot be written.
 */
export function writeSysctl(name: string, value: string | number): boolean {
  return writeSetting(`/proc/sys/${name}`, String(value));
}

/** The number of buckets of the connection tracker's table, undefined where it is not loaded. For the whole machine. */
export function readConntrackBuckets(): number | undefined {
  const text = readSetting(conntrackBuckets);
  return text === undefined ? undefined : Number(text);
}

/**
 * Changes the number of buckets of the connection tracker's table, for the whole machine.
 *
 * @throws an Error that says why it cannot be written.
 */
export function writeConntrackBuckets(buckets: number): void {
  writeSetting(conntrackBuckets, String(buckets));
}

/**
 * Says how readily the kernel ends this process when memory is short: -1000 (never) to 1000 (first).
 *
 * @throws an Error that says why it cannot be set.
 */
export function writeOomScoreAdjustment(value: number): void {
  writeSetting("/proc/self/oom_score_adj", String(value));
}

const conntrackBuckets = "/sys/module/nf_conntrack/parameters/hashsize";

const notPermitted = "not permitted: it needs more privileges, or the machine's own namespaces";

function readSetting(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

function writeSetting(path: string, value: string): boolean {
  if (readSetting(path) === value) return false;
  try {
    writeFileSync(path, value);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : error;
    const reasons: Readonly<Record<string, string>> = {
      EROFS: "it is mounted read-only: run privileged, or with a writable /proc/sys",
      EACCES: notPermitted,
      EPERM: notPermitted,
      ENOENT: "this kernel does not have it, or its module is not loaded",
    };
    throw new Error(`${path} cannot be set to ${value}: ${reasons[String(code)] ?? code}`);
  }
  return true;
}
