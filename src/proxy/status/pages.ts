/** The pages of the metrics server. */
import { type HttpHandler, jsonReply, type Routes, router, textReply } from "../../telemetry/http.ts";
import type { LogWriter } from "../../telemetry/log.ts";
import { metricsContentType, type Registry } from "../../telemetry/metrics.ts";
import { cpuProfile } from "../../telemetry/profile.ts";
import { featureEnabled } from "../config/gates.ts";
import { writeConfiguration } from "../config/schema.ts";
import type { KubeProxyConfiguration } from "../config/types.ts";

/** What the pages show; the functions are called for each request. */
export interface PagesOptions {
  readonly registry: Registry;
  /** The registry of `/metrics/slis`. */
  readonly slis: Registry;
  readonly config: () => KubeProxyConfiguration;
  /** The mode in use; empty before there is one. */
  readonly mode: () => string;
  /** The command line's flags with their values. */
  readonly flags: Readonly<Record<string, string>>;
  readonly log: LogWriter;
  readonly version: string;
  readonly now: () => number;
  /** When the program began, milliseconds since the epoch. */
  readonly started: number;
}

const notForMachines =
  "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.";

/** The handler of the metrics server. `/debug/` is there only if profiling is enabled. */
export function statusPages(options: PagesOptions): HttpHandler {
  const { registry, slis, config, mode, log } = options;
  const metrics = (from: Registry) => () => ({
    status: 200,
    headers: { "Content-Type": metricsContentType },
    body: from.text(),
  });
  const routes: Routes = {
    "/healthz": () => textReply(200, "ok"),
    "/metrics": metrics(registry),
    "/metrics/slis": metrics(slis),
    "/proxyMode": () => textReply(200, mode()),
    "/configz": () => jsonReply(200, { "kubeproxy.config.k8s.io": writeConfiguration(config()) }),
  };
  const gates = config().featureGates;
  const pages: Routes = {
    ...routes,
    ...(featureEnabled("ComponentStatusz", gates)
      ? { "/statusz": () => textReply(200, statusz(options, Object.keys(pages))) }
      : {}),
    ...(featureEnabled("ComponentFlagz", gates) ? { "/flagz": () => textReply(200, flagz(options)) } : {}),
    ...(config().enableProfiling ? debugRoutes(log) : {}),
  };
  return router(pages, { "/debug/flags/v": ["PUT"] });
}

function debugRoutes(log: LogWriter): Routes {
  return {
    "/debug/flags/v": ({ body }) => {
      const level = Number(body.trim());
      if (!/^\d{1,9}$/.test(body.trim())) return textReply(400, "the body must be a verbosity such as 4\n");
      log.options = { ...log.options, verbosity: level };
      return textReply(200, `successfully set logging verbosity to ${level}`);
    },
    "/debug/pprof/": () =>
      textReply(200, "/debug/pprof/profile?seconds=10 is a CPU profile in V8's .cpuprofile format\n"),
    "/debug/pprof/profile": async ({ query }) => {
      const seconds = Number(query.get("seconds") ?? 10);
      if (!(seconds > 0 && seconds <= 300)) return textReply(400, "seconds must be more than 0 and at most 300\n");
      const headers = {
        "Content-Type": "application/json",
        "Content-Disposition": 'attachment; filename="portolan.cpuprofile"',
      };
      return { status: 200, headers, body: await cpuProfile(seconds * 1000) };
    },
  };
}

function statusz({ now, started, version, mode }: PagesOptions, paths: readonly string[]): string {
  const seconds = Math.floor((now() - started) / 1000);
  const up = `${Math.floor(seconds / 3600)} hr ${Math.floor(seconds / 60) % 60} min ${seconds % 60} sec`;
  return `portolan proxy statusz
${notForMachines}

Started: ${new Date(started).toUTCString()}
Up: ${up}
Node version: ${process.version}
Binary version: ${version}
Proxy mode: ${mode()}

Paths: ${paths.toSorted().join(" ")}
`;
}

function flagz({ flags }: PagesOptions): string {
  const lines = Object.entries(flags).map(([name, value]) => `${name}=${value}\n`);
  return `portolan proxy flagz\n${notForMachines}\n\n${lines.sort().join("")}`;
}
