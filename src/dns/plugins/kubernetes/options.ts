/** The directive `kubernetes` and its properties. */
import type { Stanza } from "../../corefile/stanza.ts";
import type { Fallthrough } from "../../server/plugin.ts";
import type { Connection, Site } from "../../server/site.ts";
import { fallthroughOf, noFallthrough, zonesOf } from "../../server/zones.ts";
import { isReverseZone } from "../../wire/reverse.ts";
import type { LookupOptions, PodMode } from "./lookup.ts";

/** What a stanza says. */
export interface KubernetesOptions extends LookupOptions {
  readonly zones: readonly string[];
  /** The first zone that is not a reverse zone: targets of PTR records are in it. */
  readonly primaryZone: string;
  readonly connection: Connection;
  /** Endpoints without hostname are named by their pod. */
  readonly endpointPodNames: boolean;
  /** Label selector of services, slices and pods; empty for all. */
  readonly labels: string;
  /** Label selector of namespaces; empty for all. */
  readonly namespaceLabels: string;
  /** Seconds, 0 to 3600. */
  readonly ttl: number;
  readonly fallthrough: Fallthrough;
  /** Milliseconds that the start waits for the objects of the cluster. */
  readonly startupTimeout: number;
}

const podModes: readonly PodMode[] = ["disabled", "insecure", "verified"];
const defaultTtl = 5;
const defaultStartupTimeout = 5000;

/**
 * Reads a stanza.
 *
 * @throws {CorefileError} if it is wrong.
 */
export function parseOptions(stanza: Stanza, site: Site): KubernetesOptions {
  const zones = zonesOf(stanza, stanza.args, site);
  const primaryZone = zones.find((zone) => !isReverseZone(zone));
  if (primaryZone === undefined) throw stanza.error("a zone that is not a reverse zone must be used");
  let endpoint: Connection["endpoint"];
  let tls: Connection["tls"];
  let kubeconfig: Connection["kubeconfig"];
  let labels = "";
  let namespaceLabels = "";
  let namespaces: ReadonlySet<string> = new Set();
  let pods: PodMode = "disabled";
  let ttl = defaultTtl;
  let startupTimeout = defaultStartupTimeout;
  let fallthrough = noFallthrough;
  let endpointPodNames = false;
  let noEndpoints = false;
  let ignoreEmpty = false;
  for (const property of stanza.properties) {
    switch (property.name) {
      case "endpoint":
        [endpoint] = property.expect(1, Number.POSITIVE_INFINITY);
        break;
      case "tls": {
        const [cert = "", key = "", ca = ""] = property.expect(3);
        tls = { cert, key, ca };
        break;
      }
      case "kubeconfig": {
        const [file = "", context] = property.expect(1, 2);
        kubeconfig = { file, ...(context !== undefined && { context }) };
        break;
      }
      // The client limits itself by what the API server says; these are accepted for the sake of existing files.
      case "apiserver_qps":
      case "apiserver_burst":
      case "apiserver_max_inflight":
        property.expect(1);
        property.number(0, property.name, 0);
        break;
      case "namespaces":
        namespaces = new Set(property.expect(1, Number.POSITIVE_INFINITY));
        break;
      case "namespace_labels":
        namespaceLabels = property.expect(1, Number.POSITIVE_INFINITY).join(" ");
        break;
      case "labels":
        labels = property.expect(1, Number.POSITIVE_INFINITY).join(" ");
        break;
      case "pods": {
        const mode = podModes.find((one) => one === property.expect(1)[0]);
        if (mode === undefined) throw property.error(`'${property.args[0]}' must be one of ${podModes.join(", ")}`);
        pods = mode;
        break;
      }
      case "endpoint_pod_names":
        property.expect(0);
        endpointPodNames = true;
        break;
      case "noendpoints":
        property.expect(0);
        noEndpoints = true;
        break;
      case "ttl":
        property.expect(1);
        ttl = property.number(0, "ttl", 0, 3600);
        break;
      case "fallthrough":
        fallthrough = fallthroughOf(property);
        break;
      case "ignore":
        if (property.expect(1)[0] !== "empty_service")
          throw property.error(`'${property.args[0]}' must be empty_service`);
        ignoreEmpty = true;
        break;
      case "startup_timeout":
        property.expect(1);
        startupTimeout = property.duration(0, "startup_timeout");
        break;
      default:
        throw stanza.unknown(property);
    }
  }
  if (namespaces.size > 0 && namespaceLabels !== "") {
    throw stanza.error("namespaces and namespace_labels cannot both be given");
  }
  return {
    zones,
    primaryZone,
    connection: { ...(endpoint && { endpoint }), ...(tls && { tls }), ...(kubeconfig && { kubeconfig }) },
    labels,
    namespaceLabels,
    namespaces,
    pods,
    ttl,
    fallthrough,
    startupTimeout,
    endpointPodNames,
    noEndpoints,
    ignoreEmpty,
  };
}
