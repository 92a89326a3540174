/** The lists of iptables' match `recent` (`net/netfilter/xt_recent.c`), of a network namespace. Reads only. */
import { readdirSync, readFileSync } from "node:fs";
import { type Address, parseAddress } from "../../net/address.ts";
import { inNamespace } from "../namespace.ts";

/** A list that rules remember addresses in. */
export interface RecentList {
  readonly name: string;
  readonly entries: readonly RecentEntry[];
}

/** An address that is remembered. */
export interface RecentEntry {
  readonly address: Address;
  /** The time to live of its last packet; 0 matches all. */
  readonly ttl: number;
  /** How long ago its packets were seen, in milliseconds, in no order. */
  readonly ages: readonly number[];
}

/** For the thread: `/proc/net` is that of the process, whatever namespace the thread is in. */
const directory = "/proc/thread-self/net/xt_recent";

/**
 * All lists of a named namespace, or of the calling thread's own. None where the kernel has no such match.
 *
 * @throws where the kernel does not tell its time, which only root may read.
 */
export function readRecentLists(namespace?: string): readonly RecentList[] {
  const read = () => listNames().map((name) => [name, readFileSync(`${directory}/${name}`, "utf8")] as const);
  const texts = namespace === undefined ? read() : inNamespace(namespace, read);
  if (texts.every(([, text]) => text === "")) return texts.map(([name]) => ({ name, entries: [] }));
  const clock = parseTimerList(readFileSync("/proc/timer_list", "utf8"));
  return texts.map(([name, text]) => ({ name, entries: parseRecentList(text, clock) }));
}

function listNames(): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

/** The kernel's time in ticks, as lists have it. */
export interface TickClock {
  readonly jiffies: number;
  readonly perSecond: number;
}

/** `CONFIG_HZ` as kernels have it. */
const frequencies = [100, 250, 300, 1000] as const;

/**
 * Reads the ticks out of `/proc/timer_list`. How many there are in a second follows from the time since the start: they
 * begin 300 seconds before 2^32 (`INITIAL_JIFFIES`).
 *
 * @throws an Error if they do not stand there.
 */
export function parseTimerList(text: string): TickClock {
  const jiffies = Number(/^jiffies: (\d+)$/m.exec(text)?.[1]);
  const seconds = Number(/^now at (\d+) nsecs$/m.exec(text)?.[1]) / 1e9;
  if (!(jiffies >= 0 && seconds >= 0)) throw new Error("/proc/timer_list: no jiffies, or no time");
  const off = (perSecond: number) => Math.abs(2 ** 32 + (seconds - 300) * perSecond - jiffies);
  const perSecond = frequencies.reduce((best, each) => (off(each) < off(best) ? each : best));
  return { jiffies, perSecond };
}

/** Reads a list: `src=10.0.0.1 ttl: 64 last_seen: 4299 oldest_pkt: 2 4290, 4299` for each address. */
export function parseRecentList(text: string, { jiffies, perSecond }: TickClock): readonly RecentEntry[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const found = /^src=(\S+) ttl: (\d+) last_seen: \d+ oldest_pkt: \d+ ([\d, ]*)$/.exec(line);
      if (found === null) throw new Error(`/proc/net/xt_recent: not understood: ${line.slice(0, 100)}`);
      const [, address = "", ttl = "", stamps = ""] = found;
      const ages = stamps
        .split(",")
        .map((stamp) => Math.max(0, Math.round(((jiffies - Number(stamp)) * 1000) / perSecond)));
      return { address: parseAddress(address), ttl: Number(ttl), ages };
    });
}
