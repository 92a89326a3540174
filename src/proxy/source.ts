/** Where the proxy takes its objects from: a cluster, or a directory of manifests. */
import { accessSync, constants, statSync } from "node:fs";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { inCluster } from "../kube/access.ts";
import { type ApiResponse, KubeClient } from "../kube/client.ts";
import { ClusterSource } from "../kube/cluster.ts";
import { loadKubeconfig } from "../kube/kubeconfig.ts";
import { ManifestSource } from "../kube/manifests.ts";
import type { Source } from "../kube/source.ts";
import type { Clock } from "../telemetry/clock.ts";
import { errorText, type Logger } from "../telemetry/log.ts";
import type { AgentOptions } from "./config/options.ts";

/** A source, ready to watch. */
export interface OpenSource {
  readonly source: Source;
  /** The client of the cluster; undefined without one. */
  readonly client: KubeClient | undefined;
  /** What it is, for people. */
  readonly origin: string;
  /** What of it is refused now, one line each. */
  readonly problems: () => readonly string[];
}

/** What a source needs. */
export interface SourceParts {
  readonly log: Logger;
  readonly clock: Clock;
  readonly version: string;
  readonly onResponse: (response: ApiResponse) => void;
}

/**
 * Opens the source that options name: `--manifests`, else the kubeconfig file and `--master`, else the cluster that
 * this pod runs in.
 *
 * @throws if there is no such directory, or it cannot be read, or there is no way to a cluster.
 */
export function openSource({ config, manifests, master }: AgentOptions, parts: SourceParts): OpenSource {
  const { log, clock, version, onResponse } = parts;
  if (manifests !== "") {
    const problem = problemOfDirectory(manifests);
    if (problem !== undefined) throw new InvalidInputError(commandLine, [`--manifests ${manifests}: ${problem}`]);
    const source = new ManifestSource(manifests, { log, clock });
    return { source, client: undefined, origin: `directory ${manifests}`, problems: () => source.problems };
  }
  const { kubeconfig, qps, burst } = config.clientConnection;
  const files = kubeconfig === "" ? [] : [kubeconfig];
  const access =
    kubeconfig === "" && master === "" ? inCluster() : loadKubeconfig(files, master === "" ? {} : { server: master });
  const userAgent = `portolan-proxy/${version} (${process.platform}/${process.arch})`;
  const client = new KubeClient(access, { qps, burst, userAgent, clock, onResponse });
  // What the API server lets through and we cannot use is a matter of its objects, each of which is logged.
  return { source: new ClusterSource(client, { log, clock }), client, origin: access.origin, problems: () => [] };
}

function problemOfDirectory(path: string): string | undefined {
  try {
    if (!statSync(path).isDirectory()) return "is no directory";
    accessSync(path, constants.R_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return `cannot be read: ${errorText(error)}`;
  }
}
