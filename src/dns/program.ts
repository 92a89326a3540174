/** A DNS server as a program: a Corefile from disk, the machine's clock, the cluster's API. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ClusterAccess, inCluster } from "../kube/access.ts";
import { FileCredentials } from "../kube/auth/files.ts";
import type { Source } from "../kube/source.ts";
import { systemClock } from "../telemetry/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Counter, Family } from "../telemetry/metrics.ts";
import { Registry } from "../telemetry/metrics.ts";
import { registerProcessMetrics } from "../telemetry/processmetrics.ts";
import { withImpliedNamespaces } from "./manifestnamespaces.ts";
import { plugins } from "./plugins/index.ts";
import { requestMetricsOf } from "./plugins/prometheus/prometheus.ts";
import { secureRandom } from "./random.ts";
import { HttpPool } from "./server/http.ts";
import { type CorefileText, Instance } from "./server/instance.ts";
import { isMissing, makeLog, messageOf } from "./server/log.ts";
import { Metrics, timeBuckets } from "./server/metrics.ts";
import { DnsServer, type ServerOptions } from "./server/server.ts";
import type { Connection, Environment } from "./server/site.ts";

/** What the program is started with. */
export interface DnsProgramOptions {
  /** The path of the Corefile; where there is none and none was asked for, {@link defaultCorefile} serves. */
  readonly corefile: string;
  /** False: the Corefile was named by the user, and must exist. */
  readonly optional: boolean;
  /** The port of plain DNS where a key names none. */
  readonly dnsPort: number;
  /** A directory of manifests to take objects from instead of a cluster. */
  readonly manifests?: string;
  readonly version: string;
  /** Gets each log line, newline included. */
  readonly write: (line: string) => void;
  /** For those parts that are not plugins: the client of the API and the pages over HTTP. */
  readonly log: Logger;
  /** Ends the program because of something that must not go on. */
  readonly fatal: (message: string) => void;
}

/** What serves if there is no Corefile. */
export const defaultCorefile = ". {\n  whoami\n  log\n}\n";

/** Makes the server. It opens nothing before it is started. */
export function makeDnsServer(options: DnsProgramOptions): DnsServer {
  const server: DnsServer = new DnsServer(
    serverOptions(options, new HttpPool(systemClock, options.log), () => server.reload()),
  );
  return server;
}

/** A Corefile that is set up without a server. */
export interface Rehearsal {
  readonly instance: Instance;
  /** Where plugin kubernetes has its objects from; undefined before the start, or if there is no such plugin. */
  readonly source: () => Promise<Source> | undefined;
}

/**
 * Sets up the Corefile without a server: what it starts opens no port.
 *
 * @throws {CorefileError} if it is wrong.
 */
export async function rehearse(options: DnsProgramOptions): Promise<Rehearsal> {
  const all = serverOptions(options, { route: async () => 0 }, async () => false);
  let source: Promise<Source> | undefined;
  const connect: Environment["connect"] = (connection, signal) => {
    const opened = all.env.connect(connection, signal);
    source ??= opened;
    return opened;
  };
  const instance = await Instance.load(all.read(), all.read, { ...all, env: { ...all.env, connect } });
  return { instance, source: () => source };
}

function serverOptions(
  options: DnsProgramOptions,
  http: Environment["http"],
  reload: Environment["reload"],
): ServerOptions {
  const registry = new Registry();
  registerProcessMetrics(registry);
  const metrics = new Metrics(registry);
  metrics
    .gauges("coredns_build_info", "1, with the version of this program.", "version", "revision", "goversion")
    .labels(options.version, "", "")
    .set(1);
  const log = makeLog(options.write);
  return {
    plugins,
    env: {
      clock: systemClock,
      log,
      metrics,
      http,
      random: secureRandom,
      connect: connector(options, metrics),
      reload,
      fatal: options.fatal,
    },
    requestMetrics: requestMetricsOf(metrics),
    dnsPort: options.dnsPort,
    read: () => readCorefile(options),
    host: {
      readFile: (path) => readFileSync(path, "utf8"),
      // A pattern that ends in a star leaves hidden files out, as the links of a mounted ConfigMap are.
      glob: (pattern) => globSync(pattern).sort(),
      env: process.env,
      warn: (message) => log.warn(message),
    },
  };
}

/** How a Corefile from standard input is named, on the command line and in messages. */
const standardInput = "stdin";
/** What came from standard input: it can be read once. */
let inputText: string | undefined;

function readCorefile({ corefile, optional }: DnsProgramOptions): CorefileText {
  try {
    if (corefile !== standardInput) return { path: corefile, text: readFileSync(corefile, "utf8") };
    inputText ??= readFileSync(0, "utf8");
    return { path: corefile, text: inputText };
  } catch (error) {
    if (isMissing(error) && optional) return { path: corefile, text: defaultCorefile };
    throw new Error(`the Corefile ${corefile} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Opens sources: of manifests, or of the cluster that a Corefile names or that this runs in. What only one of them needs
 * is loaded with it.
 */
function connector(options: DnsProgramOptions, metrics: Metrics): Environment["connect"] {
  const { manifests, log, version } = options;
  if (manifests !== undefined) {
    let source: Promise<Source> | undefined;
    return () => {
      source ??= openManifests(manifests, log);
      return source;
    };
  }
  const requests: Family<Counter> = metrics.counters(
    "coredns_kubernetes_rest_client_requests_total",
    "Requests to the API server by status, method and host.",
    "code",
    "method",
    "host",
  );
  const durations = metrics.histograms(
    "coredns_kubernetes_rest_client_request_duration_seconds",
    "Seconds that requests to the API server took.",
    timeBuckets,
    "verb",
    "host",
  );
  return async (connection): Promise<Source> => {
    const access = await accessOf(connection);
    const { KubeClient } = await import("../kube/client.ts");
    const { ClusterSource } = await import("../kube/cluster.ts");
    const { host } = access.server;
    const client = new KubeClient(access, {
      userAgent: `portolan-dns/${version}`,
      onResponse: ({ code, method, seconds }) => {
        requests.labels(String(code), method, host).add(1);
        durations.labels(method, host).observe(seconds);
      },
    });
    return new ClusterSource(client, { log });
  };
}

/** One source for all instances: it watches its directory once. */
async function openManifests(directory: string, log: Logger): Promise<Source> {
  const { ManifestSource } = await import("../kube/manifests.ts");
  return withImpliedNamespaces(new ManifestSource(directory, { log, clock: systemClock }));
}

async function accessOf({ endpoint, tls, kubeconfig }: Connection): Promise<ClusterAccess> {
  if (kubeconfig !== undefined) {
    const { loadKubeconfig } = await import("../kube/kubeconfig.ts");
    return loadKubeconfig([kubeconfig.file], {
      ...(kubeconfig.context !== undefined && { context: kubeconfig.context }),
      ...(endpoint !== undefined && { server: endpoint }),
    });
  }
  if (endpoint === undefined) return inCluster();
  return {
    server: new URL(endpoint.includes("://") ? endpoint : `http://${endpoint}`),
    ...(tls !== undefined && { ca: readFileSync(tls.ca, "utf8") }),
    insecure: false,
    credentials: new FileCredentials(
      tls === undefined ? {} : { certificate: { certFile: tls.cert, keyFile: tls.key } },
    ),
    namespace: "default",
    origin: "endpoint of the Corefile",
  };
}

/** Where the Corefile is if nobody says. */
export function defaultCorefilePath(): string {
  return join(process.cwd(), "Corefile");
}
