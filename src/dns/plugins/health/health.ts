/** Plugin health: says over HTTP that the process lives. */

import { textReply } from "../../../telemetry/http.ts";
import { single } from "../../corefile/stanza.ts";
import { timeBuckets } from "../../server/metrics.ts";
import type { Plugin } from "../../server/plugin.ts";

const defaultAddress = ":8080";
/** How often the server looks at its own health, in milliseconds, and how long it waits for the answer. */
const probeEvery = 1000;
const probeTimeout = 5000;

/** The plugin. */
export const health: Plugin = {
  name: "health",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const address = stanza.hostPort(defaultAddress);
    for (const property of stanza.properties) {
      if (property.name !== "lameduck") throw stanza.unknown(property);
      property.expect(1);
      site.settings.lameduck = Math.max(site.settings.lameduck, property.duration(0, "lameduck"));
    }
    const { env } = site;
    site.onStart(async (signal) => {
      const port = await env.http.route(address, "/health", () => textReply(200, "OK"), signal);
      const duration = env.metrics
        .histograms("coredns_health_request_duration_seconds", "Time of the server's own health probes.", timeBuckets)
        .labels();
      const failures = env.metrics
        .counters("coredns_health_request_failures_total", "The server's own health probes that failed.")
        .labels();
      const host = address.slice(0, address.lastIndexOf(":"));
      const own = host === "" || host === "0.0.0.0" || host === "[::]" ? "localhost" : host;
      const probe = async () => {
        while (await env.clock.sleep(probeEvery, signal)) {
          const start = env.clock.monotonic();
          try {
            await ask(`http://${own}:${port}/health`, AbortSignal.any([signal, AbortSignal.timeout(probeTimeout)]));
          } catch {
            if (!signal.aborted) failures.add(1);
          }
          duration.observe((env.clock.monotonic() - start) / 1000);
        }
      };
      void probe();
    });
    return undefined;
  },
};

/** Fetches a page. The global fetch would do as well, but takes 13 MB. */
function ask(url: string, signal: AbortSignal): Promise<void> {
  const { get } = process.getBuiltinModule("node:http");
  return new Promise((resolve, reject) => {
    const request = get(url, { signal }, (response) => response.resume().on("end", resolve).on("error", reject));
    request.on("error", reject);
  });
}
