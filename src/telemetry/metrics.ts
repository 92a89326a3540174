/**
 * Metrics in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * A metric with labels is bound to label values once, with `labels(...)`; what is done on the hot path is then an
 * addition to a number: `const applied = metric.labels("IPv4"); ... applied.add(1)`.
 */

/** What every metric has. */
export interface MetricOptions {
  readonly name: string;
  readonly help: string;
  /** Names of the labels, in the order in which values are given to `labels(...)`. */
  readonly labels?: readonly string[];
  /** Kubernetes' promise for the name, put before the help text as its components do. */
  readonly stability?: "ALPHA" | "BETA" | "STABLE";
  /** Called before each exposition: for values that are looked up rather than counted. */
  readonly calculate?: () => void;
}

/** A value that only grows. */
export interface Counter {
  /** Adds 0 or more. */
  add(amount: number): void;
  readonly value: number;
}

/** A value that goes up and down. */
export interface Gauge {
  set(value: number): void;
  add(amount: number): void;
  readonly value: number;
}

/** Counts of observations by size. */
export interface Histogram {
  observe(value: number): void;
  readonly count: number;
  readonly sum: number;
}

/** A metric with labels. */
export interface Family<M> {
  /** The metric of these label values, made when first asked for; as many values as the metric has labels. */
  labels(...values: readonly string[]): M;
  /** Forgets all label values. */
  clear(): void;
}

/** The media type of {@link Registry.text}. */
export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

/** Upper limits `start * factor^i`, i = 0 to count-1. */
export function exponentialBuckets(start: number, factor: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => start * factor ** i);
}

/** Upper limits `start + step * i`, i = 0 to count-1. */
export function linearBuckets(start: number, step: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => start + step * i);
}

/** A set of metrics that are exposed together. */
export class Registry {
  readonly #metrics = new Map<string, MetricFamily<Sampled>>();

  /** A counter without labels. Throws, as all of these do, if the name is taken or not a metric name. */
  counter(options: MetricOptions): Counter {
    return this.counters(options).labels();
  }

  /** A counter for each combination of label values. */
  counters(options: MetricOptions): Family<Counter> {
    return this.#add(new MetricFamily(options, "counter", () => new Value()));
  }

  /** A gauge without labels. */
  gauge(options: MetricOptions): Gauge {
    return this.gauges(options).labels();
  }

  /** A gauge for each combination of label values. */
  gauges(options: MetricOptions): Family<Gauge> {
    return this.#add(new MetricFamily(options, "gauge", () => new Value()));
  }

  /** A histogram without labels; `buckets` are ascending upper limits, +Inf is added. */
  histogram(options: MetricOptions & { readonly buckets: readonly number[] }): Histogram {
    return this.histograms(options).labels();
  }

  /** A histogram for each combination of label values. */
  histograms(options: MetricOptions & { readonly buckets: readonly number[] }): Family<Histogram> {
    const limits = Float64Array.from(options.buckets);
    return this.#add(new MetricFamily(options, "histogram", () => new Buckets(limits)));
  }

  /** All metrics, ordered by name, as Prometheus scrapes them. */
  text(): string {
    const metrics = [...this.#metrics.values()];
    for (const metric of metrics) metric.calculate();
    return metrics
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((metric) => metric.text())
      .join("");
  }

  #add<M extends Sampled>(metric: MetricFamily<M>): MetricFamily<M> {
    if (this.#metrics.has(metric.name)) throw new TypeError(`metric ${metric.name} is registered twice`);
    this.#metrics.set(metric.name, metric);
    return metric;
  }
}

/** A metric that can write its samples. */
interface Sampled {
  sample(name: string, labels: string): string;
}

class MetricFamily<M extends Sampled> implements Family<M> {
  readonly name: string;
  readonly #options: MetricOptions;
  readonly #type: string;
  readonly #make: () => M;
  readonly #members = new Map<string, M>();

  constructor(options: MetricOptions, type: string, make: () => M) {
    for (const name of [options.name, ...(options.labels ?? [])]) {
      if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) throw new TypeError(`${name} is not a name of a metric or label`);
    }
    this.name = options.name;
    this.#options = options;
    this.#type = type;
    this.#make = make;
  }

  labels(...values: readonly string[]): M {
    const names = this.#options.labels ?? [];
    if (values.length !== names.length) {
      throw new TypeError(`metric ${this.name} has ${names.length} labels, got ${values.length} values`);
    }
    const key = names.map((name, i) => `${name}="${escapeLabel(values[i] ?? "")}"`).join(",");
    let member = this.#members.get(key);
    if (member === undefined) {
      member = this.#make();
      this.#members.set(key, member);
    }
    return member;
  }

  clear(): void {
    this.#members.clear();
  }

  calculate(): void {
    this.#options.calculate?.();
  }

  text(): string {
    if (this.#members.size === 0) return "";
    const { help, stability } = this.#options;
    const prefix = stability === undefined ? "" : `[${stability}] `;
    const escaped = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
    let text = `# HELP ${this.name} ${prefix}${escaped}\n# TYPE ${this.name} ${this.#type}\n`;
    for (const [labels, member] of this.#members) text += member.sample(this.name, labels);
    return text;
  }
}

class Value implements Counter, Gauge, Sampled {
  value = 0;

  set(value: number): void {
    this.value = value;
  }

  add(amount: number): void {
    this.value += amount;
  }

  sample(name: string, labels: string): string {
    return `${name}${labels === "" ? "" : `{${labels}}`} ${formatNumber(this.value)}\n`;
  }
}

class Buckets implements Histogram, Sampled {
  readonly #limits: Float64Array;
  readonly #counts: Float64Array;
  count = 0;
  sum = 0;

  constructor(limits: Float64Array) {
    this.#limits = limits;
    this.#counts = new Float64Array(limits.length + 1);
  }

  observe(value: number): void {
    let low = 0;
    let high = this.#limits.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value <= (this.#limits[middle] ?? 0)) high = middle;
      else low = middle + 1;
    }
    this.#counts[low] = (this.#counts[low] ?? 0) + 1;
    this.count++;
    this.sum += value;
  }

  sample(name: string, labels: string): string {
    const before = labels === "" ? "" : `${labels},`;
    const set = labels === "" ? "" : `{${labels}}`;
    let text = "";
    let total = 0;
    for (let i = 0; i < this.#counts.length; i++) {
      total += this.#counts[i] ?? 0;
      const limit = formatNumber(this.#limits[i] ?? Number.POSITIVE_INFINITY);
      text += `${name}_bucket{${before}le="${limit}"} ${total}\n`;
    }
    return `${text}${name}_sum${set} ${formatNumber(this.sum)}\n${name}_count${set} ${this.count}\n`;
  }
}

function escapeLabel(value: string): string {
  return /["\\\n]/.test(value) ? value.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n") : value;
}

function formatNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
