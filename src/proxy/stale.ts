/** Connections of UDP clients to endpoints that are gone: searched for beside whatever else the proxy does. */
import { type Address, type Family, families } from "../net/address.ts";
import type { UdpService } from "../service/conntrack.ts";
import type { DecisionKey } from "../service/decision.ts";
import type { ServiceState } from "../service/state.ts";
import type { Clock } from "../telemetry/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Mode } from "./modes/mode.ts";
import type { ProxyMetrics } from "./status/metrics.ts";

/** Removes connections of UDP clients to endpoints that are gone. */
export interface ConntrackCleaner {
  /**
   * @param services as they are at the time of the call: the search may take a while.
   * @returns how many were removed.
   */
  removeStale(family: Family, services: () => readonly UdpService[], signal: AbortSignal): Promise<number>;
}

/** What the search needs. */
export interface StaleOptions {
  readonly state: ServiceState;
  readonly mode: Mode;
  readonly conntrack: ConntrackCleaner;
  readonly clock: Clock;
  readonly metrics: ProxyMetrics;
  readonly log: Logger;
}

/** Searches for stale connections of the services that changes touched. */
export class StaleConnections {
  readonly #options: StaleOptions;
  /** The service ports to search for. */
  #suspects = new Set<DecisionKey>();
  #searching: Promise<void> | undefined;

  constructor(options: StaleOptions) {
    this.#options = options;
  }

  /** Takes note of service ports whose connections may be stale once the kernel is programmed. */
  suspect(keys: Iterable<DecisionKey>): void {
    for (const key of keys) this.#suspects.add(key);
  }

  /**
   * Begins to search, if there is anything to search for and no search under way: that one takes it in. A large table
   * takes longer than a change may wait. What fails is searched for again with the next call.
   */
  search(signal: AbortSignal): void {
    this.#searching ??= this.#search(signal).finally(() => {
      this.#searching = undefined;
    });
  }

  /** Settled when the search that is under way is over; undefined: there is none. */
  get searched(): Promise<void> | undefined {
    return this.#searching;
  }

  async #search(signal: AbortSignal): Promise<void> {
    const failed = new Set<DecisionKey>();
    while (this.#suspects.size > 0 && !signal.aborted) {
      const suspects = this.#suspects;
      this.#suspects = new Set();
      for (const family of families) {
        const services = () => this.#services(suspects).filter((service) => service.family === family);
        if (services().length === 0 || (await this.#remove(family, services, signal))) continue;
        for (const key of suspects) failed.add(key);
      }
    }
    this.suspect(failed);
  }

  #services(keys: ReadonlySet<DecisionKey>): readonly UdpService[] {
    const { state, mode } = this.#options;
    const { translatesTo = new Set<Address>() } = mode;
    return state
      .udpServices(keys)
      .map((service) =>
        translatesTo.size > 0 && service.serving.size > 0
          ? { ...service, serving: service.serving.union(translatesTo) }
          : service,
      );
  }

  /** @returns whether that was possible. */
  async #remove(family: Family, services: () => readonly UdpService[], signal: AbortSignal): Promise<boolean> {
    const { conntrack, clock, metrics, log } = this.#options;
    const started = clock.monotonic();
    let done = true;
    try {
      const removed = await conntrack.removeStale(family, services, signal);
      metrics.conntrackDeleted.labels(family).add(removed);
      if (removed > 0) log.debug(2, "Stale UDP connections removed", { family, removed });
    } catch (error) {
      done = false;
      if (!signal.aborted) log.error(error, "Removing stale UDP connections failed", { family });
    }
    metrics.conntrackDuration.labels(family).observe((clock.monotonic() - started) / 1000);
    return done;
  }
}
