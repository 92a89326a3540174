/** The source of objects that is a cluster: its API server, list and watch. */
import { type Clock, systemClock } from "../telemetry/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { KubeClient } from "./client.ts";
import { defaultTimings, Reflector, type ReflectorHooks, type ReflectorTimings } from "./reflector.ts";
import type { Source, Watch } from "./source.ts";

/** What a {@link ClusterSource} may be given. */
export interface ClusterSourceOptions {
  readonly log: Logger;
  readonly clock?: Clock;
  /** Random numbers from 0 to 1. */
  readonly random?: () => number;
  readonly timings?: Partial<ReflectorTimings>;
  readonly hooks?: ReflectorHooks;
}

/**
 * Watches the objects of a cluster. Failures of any kind are logged and tried again for ever, with pauses: an object
 * once delivered stays until the API server says that it is gone.
 */
export class ClusterSource implements Source {
  readonly #client: KubeClient;
  readonly #options: ClusterSourceOptions;

  constructor(client: KubeClient, options: ClusterSourceOptions) {
    this.#client = client;
    this.#options = options;
  }

  watch<T>(watch: Watch<T>, signal: AbortSignal): void {
    const { log, clock = systemClock, random = Math.random, hooks = {} } = this.#options;
    const timings = { ...defaultTimings, ...this.#options.timings };
    const reflector = new Reflector(watch, { client: this.#client, log, clock, random, timings, hooks });
    void reflector.run(signal);
  }
}
