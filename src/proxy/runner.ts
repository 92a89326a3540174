/**
 * The heart of the proxy: takes changed decisions to the kernel, at once, one call into the mode at a time; mends what
 * others break; tries again what failed.
 */
import { type Family, families } from "../net/address.ts";
import type { Conflict } from "../service/claims.ts";
import type { HealthCheck, ServiceState, StateChanges, Trigger } from "../service/state.ts";
import type { Clock } from "../telemetry/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { EventRecorder } from "./events.ts";
import type { InputChange, Inputs } from "./inputs.ts";
import type { Drift, Mode } from "./modes/mode.ts";
import { type ConntrackCleaner, StaleConnections } from "./stale.ts";
import type { ProxyHealth } from "./status/health.ts";
import type { ProxyMetrics } from "./status/metrics.ts";

/** What a runner needs. */
export interface RunnerOptions {
  readonly inputs: Inputs;
  readonly mode: Mode;
  /** Milliseconds between two comparisons with the kernel, and the longest wait after a failure. */
  readonly syncPeriod: number;
  /** Milliseconds from the end of one change of the kernel to the start of the next; 0: none. */
  readonly minSyncPeriod: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly health: ProxyHealth;
  readonly metrics: ProxyMetrics;
  readonly events: EventRecorder;
  readonly conntrack: ConntrackCleaner;
  /** Called with changed health checks once the kernel is programmed. */
  readonly onHealthChecks: (checks: ReadonlyMap<string, HealthCheck | undefined>) => Promise<void>;
}

/** The kernel is programmed as a whole this often, whatever the reason could be. */
const resyncMs = 3_600_000;
/** The wait after the first of several failures. */
const firstRetryMs = 500;
/** Mending what others break again and again must not take all of the machine. */
const betweenRepairsMs = 1000;
/** Repairs that follow each other faster are of one fight with somebody. */
const fightMs = 10_000;
/** As many drifts are told of in one Event. */
const mostDrifts = 10;
/** Comparing with the kernel may take this part of the time. */
const auditShare = 0.01;

/** Why the kernel is to be programmed as a whole; undefined: only what changed. */
type Reason = "start" | "settings changed" | "drift" | "failure" | "resync";

/** Applies what inputs say to one mode. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #state: ServiceState;
  #reason: Reason | undefined = "start";
  /** What others broke and is not mended yet. */
  #drifts: Drift[] = [];
  /** When the oldest change arrived that is not in the kernel; undefined: nothing is to be done. */
  #queuedAt: number | undefined;
  #wake = () => {};
  #lastRepair = Number.NEGATIVE_INFINITY;
  /** Repairs in a row, each soon after the one before. */
  #repairs = 0;
  // What is to be done once the kernel is programmed, gathered over failures.
  #triggers: Trigger[] = [];
  #healthChecks = new Map<string, HealthCheck | undefined>();
  readonly #stale: StaleConnections;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#state = options.inputs.state;
    this.#stale = new StaleConnections({ ...options, state: this.#state });
  }

  /** Takes note that inputs changed. */
  changed(change: InputChange): void {
    if (change === "settings") this.#reason ??= "settings changed";
    this.#queue();
  }

  /**
   * Programs the kernel once.
   *
   * @throws what the mode throws.
   */
  async once(signal: AbortSignal): Promise<void> {
    await this.#sync(signal);
    await this.#stale.searched;
  }

  /** Programs the kernel and keeps it so, through whatever failures, until the signal is aborted. */
  async run(onFirstSync: () => void, signal: AbortSignal): Promise<void> {
    const { mode, clock, log, syncPeriod, minSyncPeriod, health } = this.#options;
    const noteDrift = (drift: Drift) => this.#drifted([drift]);
    let failures = 0;
    let first = true;
    let nextResync = clock.monotonic() + resyncMs;
    let nextAudit = clock.monotonic() + syncPeriod;
    for (const family of this.#families()) health.updated(family);
    this.#showCounters();
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    this.#queue();
    while (!signal.aborted) {
      const now = clock.monotonic();
      if (this.#queuedAt === undefined) {
        if (now >= nextResync) {
          this.#reason = "resync";
          this.#queue();
        } else if (now >= nextAudit) {
          await this.#audit(signal);
          this.#stale.search(signal);
          nextAudit = clock.monotonic() + Math.max(syncPeriod, (clock.monotonic() - now) / auditShare);
        } else {
          await this.#sleepUntilWoken(Math.min(nextResync, nextAudit) - now);
        }
        continue;
      }
      const repairAt = this.#reason === "drift" ? this.#lastRepair + betweenRepairsMs : now;
      if (repairAt > now && !(await clock.sleep(repairAt - now, signal))) break;
      let wait = minSyncPeriod;
      const whole = this.#reason !== undefined;
      try {
        await this.#sync(signal);
        failures = 0;
        if (whole) {
          nextResync = clock.monotonic() + resyncMs;
          nextAudit = clock.monotonic() + syncPeriod;
        }
        if (first) {
          first = false;
          mode.watch?.(noteDrift, signal);
          onFirstSync();
        }
      } catch (error) {
        if (signal.aborted) break;
        this.#countFailures(1, whole ? 0 : 1);
        wait = Math.min(syncPeriod, firstRetryMs * 2 ** failures++);
        log.error(error, "Programming the kernel failed, trying again", { mode: mode.name, afterMilliseconds: wait });
        this.#reason = "failure";
        this.#queue();
      }
      if (wait > 0) await clock.sleep(wait, signal);
    }
  }

  /** Shows counters before anything is counted: an increase from nothing to 1 is none to who watches increases. */
  #showCounters(): void {
    const { metrics, mode } = this.#options;
    metrics.driftRepairs.labels(mode.name).add(0);
    this.#countFailures(0, 0);
    for (const family of this.#families()) {
      if (mode.name === "nftables") metrics.nftablesCleanupFailures.labels(family).add(0);
    }
  }

  #countFailures(all: number, partial: number): void {
    const { metrics, mode } = this.#options;
    metrics.syncFailures.labels(mode.name).add(all);
    for (const family of this.#families()) {
      if (mode.name === "nftables") metrics.nftablesFailures.labels(family).add(all);
      if (mode.name === "iptables") metrics.iptablesFailures.labels(family).add(all);
      if (mode.name === "iptables") metrics.iptablesPartialFailures.labels(family).add(partial);
    }
  }

  /** The families that this node serves. */
  #families(): readonly Family[] {
    const { inputs } = this.#options;
    return families.filter((family) => inputs.settings.families[family] !== undefined);
  }

  #queue(): void {
    const { clock, health, metrics } = this.#options;
    this.#queuedAt ??= clock.monotonic();
    for (const family of this.#families()) {
      health.queued(family);
      metrics.lastQueued.labels(family).set(clock.now() / 1000);
    }
    this.#wake();
  }

  #drifted(drifts: readonly Drift[]): void {
    this.#drifts.push(...drifts.slice(0, mostDrifts - this.#drifts.length));
    this.#reason ??= "drift";
    this.#queue();
  }

  async #audit(signal: AbortSignal): Promise<void> {
    const { mode, log } = this.#options;
    try {
      const drifts = await this.#timed("audit", () => mode.audit(signal));
      if (drifts.length > 0) this.#drifted(drifts);
    } catch (error) {
      if (signal.aborted) return;
      log.error(error, "Comparing with the kernel failed", { mode: mode.name });
      this.#reason = "failure";
      this.#queue();
    }
  }

  /** One call into the mode: everything, or what changed. On failure what was taken is still to be done. */
  async #sync(signal: AbortSignal): Promise<void> {
    const { mode, clock, log, health, metrics, inputs } = this.#options;
    const reason = this.#reason;
    const drifts = this.#drifts.length;
    const queuedAt = this.#queuedAt ?? clock.monotonic();
    this.#reason = undefined;
    this.#queuedAt = undefined;
    const changes = this.#state.takeChanges();
    this.#gather(changes);
    const started = clock.monotonic();
    if (reason !== undefined) {
      const desired = { settings: inputs.settings, decisions: this.#state.decisions };
      await this.#timed("replace", () => mode.replace(desired, signal));
    } else if (changes.decisions.size > 0) {
      await this.#timed("apply", () => mode.apply(changes.decisions, signal));
    }
    const ended = clock.monotonic();
    const seconds = (ended - started) / 1000;
    for (const family of this.#families()) {
      if (this.#queuedAt === undefined) health.updated(family);
      metrics.syncDuration.labels(family).observe(seconds);
      (reason === undefined ? metrics.partialSyncDuration : metrics.fullSyncDuration).labels(family).observe(seconds);
      metrics.lastSync.labels(family).set(clock.now() / 1000);
    }
    metrics.reaction.observe((ended - queuedAt) / 1000);
    if (drifts > 0) this.#repaired(this.#drifts.splice(0, drifts));
    this.#report();
    log.debug(reason === undefined ? 4 : 2, "Kernel programmed", {
      mode: mode.name,
      ...(reason === undefined
        ? { changed: changes.decisions.size }
        : { whole: reason, decisions: this.#state.decisions.size }),
      milliseconds: Math.round((ended - started) * 1000) / 1000,
    });
    this.#stale.search(signal);
    const checks = this.#healthChecks;
    this.#healthChecks = new Map();
    if (checks.size > 0) await this.#options.onHealthChecks(checks);
  }

  #gather(changes: StateChanges): void {
    this.#triggers.push(...changes.triggers);
    this.#stale.suspect(changes.udp);
    for (const [key, check] of changes.healthChecks) this.#healthChecks.set(key, check);
  }

  #repaired(drifts: readonly Drift[]): void {
    const { clock, events, metrics, mode } = this.#options;
    const now = clock.monotonic();
    this.#repairs = now - this.#lastRepair < fightMs ? this.#repairs + 1 : 1;
    this.#lastRepair = now;
    metrics.driftRepairs.labels(mode.name).add(1);
    const what = drifts.map((drift) => drift.what).join("; ");
    const fight =
      this.#repairs < 3 ? "" : ` (${this.#repairs} times in a row: does another service proxy run on this node?)`;
    events.record({
      type: "Warning",
      reason: "DriftRepaired",
      action: "Repair",
      note: `Somebody else changed the rules of mode ${mode.name}, they are as decided again${fight}: ${what}`,
    });
  }

  #report(): void {
    const { clock, metrics, mode } = this.#options;
    const { pending, seen, noLocalEndpoints, decisions, conflicts } = this.#state;
    for (const { family, time } of this.#triggers) {
      metrics.networkProgramming.labels(family).observe(Math.max(0, clock.now() - time) / 1000);
    }
    this.#triggers = [];
    metrics.serviceChangesPending.set(pending.services);
    metrics.endpointChangesPending.set(pending.endpointSlices);
    metrics.serviceChanges.add(seen.services - metrics.serviceChanges.value);
    metrics.endpointChanges.add(seen.endpointSlices - metrics.endpointChanges.value);
    metrics.decisions.set(decisions.size);
    if (conflicts.length > metrics.conflicts.value) this.#tellConflicts(conflicts);
    metrics.conflicts.set(conflicts.length);
    metrics.iptablesRules.clear();
    metrics.iptablesRulesWritten.clear();
    for (const { family, table, total, last } of mode.rules ?? []) {
      metrics.iptablesRules.labels(table, family).set(total);
      metrics.iptablesRulesWritten.labels(table, family).set(last);
    }
    for (const family of this.#families()) {
      const { internal, external } = noLocalEndpoints[family];
      metrics.noLocalEndpoints.labels(family, "internal").set(internal);
      metrics.noLocalEndpoints.labels(family, "external").set(external);
    }
  }

  #tellConflicts(conflicts: readonly Conflict[]): void {
    const shown = conflicts.slice(0, 5).map(({ frontEnd, winner, losers }) => ({ frontEnd, winner, losers }));
    this.#options.log.warn("Several services claim the same address and port, one of them gets it", {
      conflicts: conflicts.length,
      shown,
    });
  }

  async #timed<T>(operation: string, work: () => Promise<T>): Promise<T> {
    const { clock, metrics, mode } = this.#options;
    const started = clock.monotonic();
    const result = await work();
    metrics.applyDuration.labels(mode.name, operation).observe((clock.monotonic() - started) / 1000);
    return result;
  }

  async #sleepUntilWoken(milliseconds: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await this.#options.clock.sleep(milliseconds, woken.signal);
    this.#wake = () => {};
  }
}
