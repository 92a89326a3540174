/** Plugin prometheus: counts queries, and serves all metrics to Prometheus. */

import { metricsContentType } from "../../../telemetry/metrics.ts";
import { single } from "../../corefile/stanza.ts";
import { formatListen } from "../../server/listeners/listener.ts";
import type { Plugin } from "../../server/plugin.ts";
import { RequestMetrics } from "../../server/requestmetrics.ts";
import type { Site } from "../../server/site.ts";

/** Where metrics are served if the directive does not say. */
const defaultAddress = "localhost:9153";

/** One set of counters for all blocks and instances that share a registry. */
const shared = new WeakMap<object, RequestMetrics>();

/** The counters of an environment. */
export function requestMetricsOf(metrics: Site["env"]["metrics"]): RequestMetrics {
  const existing = shared.get(metrics) ?? new RequestMetrics(metrics);
  shared.set(metrics, existing);
  return existing;
}

/** The plugin. */
export const prometheus: Plugin = {
  name: "prometheus",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const address = stanza.hostPort(defaultAddress);
    for (const property of stanza.properties) throw stanza.unknown(property);
    const { env } = site;
    const metrics = requestMetricsOf(env.metrics);
    const server = serverLabel(site);
    site.onStart(async (signal) => {
      const enabled = env.metrics.gauges(
        "coredns_plugin_enabled",
        "1 for each plugin that a server block has.",
        "server",
        "zone",
        "view",
        "name",
      );
      const { viewName } = site.settings;
      for (const zone of site.zones) {
        for (const { name } of site.handlers) enabled.labels(server, zone, viewName, name).set(1);
      }
      await env.http.route(
        address,
        "/metrics",
        () => ({
          status: 200,
          headers: { "Content-Type": metricsContentType },
          body: env.metrics.registry.text(),
        }),
        signal,
      );
    });
    return {
      name: "prometheus",
      serve(query, next) {
        const start = env.clock.monotonic();
        const { viewName } = site.settings;
        query.state.onSent.push((answer, size) => {
          metrics.answered(server, viewName, query, answer, size, (env.clock.monotonic() - start) / 1000);
        });
        return next(query);
      },
    };
  },
};

/** The first listen address of a block: the label `server`. */
export function serverLabel({ keys: [key], settings: { bind } }: Site): string {
  if (key === undefined) return "";
  return formatListen({ transport: key.transport, address: bind[0] ?? "::", port: key.port });
}
