/** Metrics that outlive a reload: asked for again, a metric is the one that stands already. */
import type { Counter, Family, Gauge, Histogram, MetricOptions, Registry } from "../../telemetry/metrics.ts";

/** Finds or registers metrics by name. */
export class Metrics {
  readonly registry: Registry;
  readonly #families = new Map<string, Family<unknown>>();

  constructor(registry: Registry) {
    this.registry = registry;
  }

  counters(name: string, help: string, ...labels: readonly string[]): Family<Counter> {
    return this.#find({ name, help, labels }, (options) => this.registry.counters(options));
  }

  gauges(name: string, help: string, ...labels: readonly string[]): Family<Gauge> {
    return this.#find({ name, help, labels }, (options) => this.registry.gauges(options));
  }

  histograms(name: string, help: string, buckets: readonly number[], ...labels: readonly string[]): Family<Histogram> {
    return this.#find({ name, help, labels }, (options) => this.registry.histograms({ ...options, buckets }));
  }

  #find<M>(options: MetricOptions, make: (options: MetricOptions) => Family<M>): Family<M> {
    const family = this.#families.get(options.name) ?? make(options);
    this.#families.set(options.name, family);
    return family as Family<M>;
  }
}

/** Upper limits of histograms of time, in seconds: 0.25 ms, doubled 15 times. */
export const timeBuckets: readonly number[] = Array.from({ length: 16 }, (_, i) => 0.00025 * 2 ** i);

/** Upper limits of histograms of message sizes, in bytes. */
export const sizeBuckets: readonly number[] = [
  0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3,
];
