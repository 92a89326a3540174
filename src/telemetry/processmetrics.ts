/** Metrics about this process: the names that all Prometheus clients use, and those of Node. */
import { readdirSync, readFileSync } from "node:fs";
import { constants, monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";
import type { Registry } from "./metrics.ts";

/**
 * Registers `process_*` and `nodejs_*`.
 *
 * @returns a function that stops the measuring (the event loop's delay and garbage collections are watched).
 */
export function registerProcessMetrics(registry: Registry): () => void {
  const gauge = (name: string, help: string, calculate: () => number) => {
    const metric = registry.gauge({ name, help, calculate: () => metric.set(calculate()) });
  };
  const cpu = registry.counter({
    name: "process_cpu_seconds_total",
    help: "User and system CPU time spent in seconds.",
    calculate: () => {
      const { user, system } = process.cpuUsage();
      cpu.add((user + system) / 1e6 - cpu.value);
    },
  });
  gauge("process_resident_memory_bytes", "Resident memory size in bytes.", () => process.memoryUsage.rss());
  gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", () => statusBytes("VmSize"));
  gauge("process_open_fds", "Number of open file descriptors.", () => readdirSync("/proc/self/fd").length - 1);
  gauge("process_max_fds", "Maximum number of open file descriptors.", () => {
    const limit = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return limit === "unlimited" ? Number.POSITIVE_INFINITY : Number(limit);
  });
  const started = performance.timeOrigin / 1000;
  gauge("process_start_time_seconds", "Start time of the process since the epoch in seconds.", () => started);
  gauge("nodejs_heap_size_total_bytes", "Heap size in bytes.", () => process.memoryUsage().heapTotal);
  gauge("nodejs_heap_size_used_bytes", "Used part of the heap in bytes.", () => process.memoryUsage().heapUsed);
  gauge("nodejs_external_memory_bytes", "Memory outside of the heap in bytes.", () => process.memoryUsage().external);
  gauge(
    "nodejs_eventloop_utilization",
    "Part of the time since the start in which the event loop was busy, 0 to 1.",
    () => performance.eventLoopUtilization().utilization,
  );

  const resolution = 100;
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  const beyond = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - resolution / 1000) || 0;
  gauge("nodejs_eventloop_lag_p99_seconds", "99th percentile of the event loop's delay since the last scrape.", () =>
    beyond(delay.percentile(99)),
  );
  // The name sorts after p99 only in the text; all values are calculated in the order of registration: reset last.
  gauge("nodejs_eventloop_lag_max_seconds", "Longest delay of the event loop since the last scrape.", () => {
    const longest = beyond(delay.max);
    delay.reset();
    return longest;
  });

  const collections = registry.histograms({
    name: "nodejs_gc_duration_seconds",
    help: "Garbage collections by kind.",
    labels: ["kind"],
    buckets: [0.001, 0.01, 0.1, 1],
  });
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) collections.labels(gcKind(entry)).observe(entry.duration / 1000);
  });
  observer.observe({ entryTypes: ["gc"] });

  const version = registry.gauges({
    name: "nodejs_version_info",
    help: "Version of Node; the value is always 1.",
    labels: ["version"],
  });
  version.labels(process.version).set(1);
  return () => {
    delay.disable();
    observer.disconnect();
  };
}

function gcKind(entry: PerformanceEntry): string {
  const detail: unknown = "detail" in entry ? entry.detail : undefined;
  const kind = typeof detail === "object" && detail !== null && "kind" in detail ? detail.kind : undefined;
  if (kind === constants.NODE_PERFORMANCE_GC_MAJOR) return "major";
  if (kind === constants.NODE_PERFORMANCE_GC_MINOR) return "minor";
  if (kind === constants.NODE_PERFORMANCE_GC_INCREMENTAL) return "incremental";
  return "weakcb";
}

function statusBytes(field: string): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}
