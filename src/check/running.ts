/** What can be seen of a machine only while it runs, and is in no snapshot. Reads only. */
import { get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type ConntrackStatistics, openConntrack, readConntrackStatistics } from "../kernel/conntrack/index.ts";
import { inNamespace } from "../kernel/namespace.ts";
import { type LockHolder, xtablesLockHolder } from "../kernel/xtables/lock.ts";

/** The connection tracker's events of the namespace, counted since it was made. */
export interface TrackerCount {
  readonly events: ConntrackStatistics["events"];
  /** Of a clock that never jumps, in seconds. */
  readonly at: number;
}

/** When a proxy was told of changes and when it applied them, in seconds since 1970. */
export interface SyncTimes {
  readonly queued: number;
  readonly applied: number;
}

/** What was seen. */
export interface Running {
  /** Two counts, some time apart. */
  readonly tracker?: { readonly before: TrackerCount; readonly after: TrackerCount };
  /** Whoever held the lock of iptables at the start and still holds it. */
  readonly lock?: LockHolder;
  /** What the proxy's metrics say; absent where they cannot be read. */
  readonly sync?: SyncTimes;
}

/** Milliseconds between two counts where anything has ever been counted that must not grow. */
const pause = 1000;
/** Milliseconds that a proxy may take to tell its metrics. */
const patience = 1000;
/** Longer answers are none of a proxy. */
const longest = 4 << 20;

/** What is counted at this moment; undefined where it cannot be read. @param namespace undefined: the thread's. */
export function countTracker(namespace?: string): TrackerCount | undefined {
  try {
    const events = namespace === undefined ? readEvents() : inNamespace(namespace, readEvents);
    return { events, at: performance.now() / 1000 };
  } catch {
    return undefined;
  }
}

/**
 * Looks for a second at most.
 *
 * @param before an earlier count, if there is one.
 * @param namespace undefined: the thread's own. The metrics of a proxy are asked for there alone.
 */
export async function lookAtRunning(
  before: TrackerCount | undefined,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<Running> {
  const first = before ?? countTracker(namespace);
  const lock = xtablesLockHolder();
  const sync = namespace === undefined ? await readSyncTimes(signal) : undefined;
  const { invalid = 0, insertFailed = 0, dropped = 0, earlyDropped = 0 } = first?.events ?? {};
  const waiting = lock !== undefined || (before === undefined && invalid + insertFailed + dropped + earlyDropped > 0);
  if (waiting) await sleep(pause, undefined, { signal });
  const after = first && countTracker(namespace);
  return {
    ...(first && after && { tracker: { before: first, after } }),
    ...(lock !== undefined && xtablesLockHolder()?.processId === lock.processId && { lock }),
    ...(sync && { sync }),
  };
}

function readEvents(): ConntrackStatistics["events"] {
  using socket = openConntrack();
  return readConntrackStatistics(socket).events;
}

/** Asks the proxy of this machine, where kube-proxy and Portolan tell their metrics unless told otherwise. */
async function readSyncTimes(signal: AbortSignal): Promise<SyncTimes | undefined> {
  const text = await fetchText("http://127.0.0.1:10249/metrics", signal).catch(() => "");
  const latest = (name: string) =>
    Math.max(
      0,
      ...[...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))].map(([, value]) => Number(value)),
    );
  const queued = latest("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds");
  const applied = latest("kubeproxy_sync_proxy_rules_last_timestamp_seconds");
  return queued > 0 ? { queued, applied } : undefined;
}

function fetchText(url: string, signal: AbortSignal): Promise<string> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(patience)]);
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, signal: until }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part;
        if (text.length > longest) response.destroy(new Error("too long"));
      });
      response.on("end", () => resolve(text)).on("error", reject);
    });
    request.on("error", reject);
  });
}
