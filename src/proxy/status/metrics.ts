/** The metrics of the service proxy: kube-proxy's names with their meaning, and a few of our own. */
import { type NamedCounter, readNamedCounters } from "../../kernel/nfacct.ts";
import type { ApiResponse } from "../../kube/client.ts";
import { exponentialBuckets, linearBuckets, type MetricOptions, type Registry } from "../../telemetry/metrics.ts";
import { type FeatureGate, type FeatureName, featureEnabled, featureGates } from "../config/gates.ts";

/** All metrics of the proxy, registered. */
export type ProxyMetrics = ReturnType<typeof registerProxyMetrics>;

/** Registers the metrics of the proxy. */
export function registerProxyMetrics(registry: Registry) {
  const kube = (name: string, help: string, ...labels: readonly string[]): MetricOptions => ({
    name: `kubeproxy_${name}`,
    help,
    labels,
    stability: "ALPHA",
  });
  const syncBuckets = exponentialBuckets(0.001, 2, 15);
  const family = "ip_family";
  return {
    syncDuration: registry.histograms({
      ...kube("sync_proxy_rules_duration_seconds", "Time to apply changes to the kernel", family),
      buckets: syncBuckets,
    }),
    fullSyncDuration: registry.histograms({
      ...kube("sync_full_proxy_rules_duration_seconds", "Time to program the kernel as a whole", family),
      buckets: syncBuckets,
    }),
    partialSyncDuration: registry.histograms({
      ...kube("sync_partial_proxy_rules_duration_seconds", "Time to program what changed", family),
      buckets: syncBuckets,
    }),
    lastSync: registry.gauges(
      kube("sync_proxy_rules_last_timestamp_seconds", "When the kernel was last programmed successfully", family),
    ),
    lastQueued: registry.gauges(
      kube("sync_proxy_rules_last_queued_timestamp_seconds", "When a change was last queued", family),
    ),
    networkProgramming: registry.histograms({
      ...kube(
        "network_programming_duration_seconds",
        "From a change of a Service or pod in the cluster to its effect on this node",
        family,
      ),
      buckets: [0, 0.25, 0.5, ...linearBuckets(1, 1, 59), ...linearBuckets(60, 5, 12), ...linearBuckets(120, 30, 7)],
    }),
    endpointChangesPending: registry.gauge(
      kube("sync_proxy_rules_endpoint_changes_pending", "Changes of EndpointSlices not yet programmed"),
    ),
    endpointChanges: registry.counter(kube("sync_proxy_rules_endpoint_changes_total", "Changes of EndpointSlices")),
    serviceChangesPending: registry.gauge(
      kube("sync_proxy_rules_service_changes_pending", "Changes of Services not yet programmed"),
    ),
    serviceChanges: registry.counter(kube("sync_proxy_rules_service_changes_total", "Changes of Services")),
    noLocalEndpoints: registry.gauges(
      kube(
        "sync_proxy_rules_no_local_endpoints_total",
        "Service ports that a traffic policy of Local leaves without endpoints on this node",
        family,
        "traffic_policy",
      ),
    ),
    healthz: registry.counters(kube("proxy_healthz_total", "Answers of /healthz by status", "code")),
    livez: registry.counters(kube("proxy_livez_total", "Answers of /livez by status", "code")),
    conntrackDuration: registry.histograms({
      ...kube("conntrack_reconciler_sync_duration_seconds", "Time to remove stale UDP connections", family),
      buckets: syncBuckets,
    }),
    conntrackDeleted: registry.counters(
      kube("conntrack_reconciler_deleted_entries_total", "Stale UDP connections removed", family),
    ),
    nftablesFailures: registry.counters(
      kube("sync_proxy_rules_nftables_sync_failures_total", "Failures to program the kernel in mode nftables", family),
    ),
    iptablesFailures: registry.counters(
      kube(
        "sync_proxy_rules_iptables_restore_failures_total",
        "Failures to program the kernel in mode iptables",
        family,
      ),
    ),
    iptablesPartialFailures: registry.counters(
      kube(
        "sync_proxy_rules_iptables_partial_restore_failures_total",
        "Failures to program what changed in mode iptables",
        family,
      ),
    ),
    iptablesRules: registry.gauges(
      kube("sync_proxy_rules_iptables_total", "Rules of this proxy in mode iptables", "table", family),
    ),
    iptablesRulesWritten: registry.gauges(
      kube("sync_proxy_rules_iptables_last", "Rules that mode iptables wrote last", "table", family),
    ),
    nftablesCleanupFailures: registry.counters(
      kube(
        "sync_proxy_rules_nftables_cleanup_failures_total",
        "Always 0: mode nftables removes what is stale in the transaction of the change, with no step of its own",
        family,
      ),
    ),
    syncFailures: registry.counters({
      name: "portolan_sync_failures_total",
      help: "Attempts to program the kernel that failed.",
      labels: ["mode"],
    }),
    driftRepairs: registry.counters({
      name: "portolan_drift_repairs_total",
      help: "Times that the kernel was not as programmed and was mended.",
      labels: ["mode"],
    }),
    applyDuration: registry.histograms({
      name: "portolan_apply_duration_seconds",
      help: "Time of one call into the mode.",
      labels: ["mode", "operation"],
      buckets: exponentialBuckets(0.00002, 2, 20),
    }),
    reaction: registry.histogram({
      name: "portolan_reaction_seconds",
      help: "From the arrival of a change in this process to its effect in the kernel.",
      buckets: exponentialBuckets(0.0001, 2, 18),
    }),
    decisions: registry.gauge({
      name: "portolan_decisions",
      help: "Service ports and families that the kernel is programmed for.",
    }),
    conflicts: registry.gauge({
      name: "portolan_conflicts",
      help: "Addresses and ports that several services claim.",
    }),
    eventsSkipped: registry.counters({
      name: "portolan_events_skipped_total",
      help: "Kubernetes Events not posted.",
      labels: ["why"],
    }),
  };
}

/**
 * Registers `kubernetes_feature_enabled`.
 *
 * @returns a function that takes the gates as a configuration sets them.
 */
export function registerFeatures(registry: Registry): (set: Readonly<Record<string, boolean>>) => void {
  const metric = registry.gauges({
    name: "kubernetes_feature_enabled",
    help: "Whether a feature is on; its stage is empty for those that are stable.",
    labels: ["name", "stage"],
    stability: "BETA",
  });
  return (set) => {
    for (const [name, gate] of Object.entries(featureGates) as [FeatureName, FeatureGate][]) {
      const stage = gate.stage === "GA" ? "" : gate.stage.toUpperCase();
      metric.labels(name, stage).set(featureEnabled(name, set) ? 1 : 0);
    }
  };
}

/** Registers the versions of this program, under Kubernetes' name too: dashboards look for that. */
export function registerBuildInfo(registry: Registry, version: string): void {
  const [major = "", minor = ""] = version.split(".");
  registry
    .gauges({
      name: "kubernetes_build_info",
      help: "The version of this program; the value is always 1.",
      labels: ["git_version", "major", "minor", "platform"],
      stability: "ALPHA",
    })
    .labels(`v${version}-portolan`, major, minor, `${process.platform}/${process.arch}`)
    .set(1);
}

/**
 * Registers `rest_client_*`, the requests to the API server.
 *
 * @returns a function to be told of each response.
 */
export function registerClientMetrics(registry: Registry): (response: ApiResponse) => void {
  const requests = registry.counters({
    name: "rest_client_requests_total",
    help: "Requests to the API server by status code, method and host.",
    labels: ["code", "host", "method"],
    stability: "ALPHA",
  });
  const durations = registry.histograms({
    name: "rest_client_request_duration_seconds",
    help: "Time until the API server answered.",
    labels: ["host", "verb"],
    buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
    stability: "ALPHA",
  });
  return ({ code, host, method, seconds }) => {
    requests.labels(code, host, method).add(1);
    durations.labels(host, method).observe(seconds);
  };
}

/**
 * Registers the packet counters that the rules of mode iptables have; they appear while that mode is in use.
 *
 * @param inUse whether it is.
 */
export function registerIptablesCounters(registry: Registry, inUse: () => boolean): void {
  const help: Readonly<Record<string, readonly [name: string, help: string]>> = {
    ct_state_invalid_dropped_pkts: [
      "kubeproxy_iptables_ct_state_invalid_dropped_packets_total",
      "Packets dropped because the connection tracker found them invalid",
    ],
    localhost_nps_accepted_pkts: [
      "kubeproxy_iptables_localhost_nodeports_accepted_packets_total",
      "Packets to node ports on loopback addresses",
    ],
  };
  for (const [counter, [name, text]] of Object.entries(help)) {
    const metric = registry.counters({
      name,
      help: text,
      stability: "ALPHA",
      calculate: () => {
        metric.clear();
        const found = inUse() ? tryReadCounters().find((each) => each.name === counter) : undefined;
        if (found !== undefined) metric.labels().add(found.packets);
      },
    });
  }
}

/** No counters where the kernel has none. */
function tryReadCounters(): readonly NamedCounter[] {
  try {
    return readNamedCounters();
  } catch {
    return [];
  }
}
