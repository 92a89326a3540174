/** What plugin kubernetes knows about a query, for plugins that use metadata. */
import { tryParseAddress } from "../../../net/address.ts";
import type { Query } from "../../server/query.ts";
import { longestZone } from "../../wire/names.ts";
import { withoutZone } from "./answers.ts";
import type { KubernetesHandler } from "./kubernetes.ts";
import { parseClusterName } from "./lookup.ts";

/** The labels `kubernetes/...` of a query: of its client where pods are watched, of its name where it is in a zone. */
export function* metadataOf(
  { options, cluster }: KubernetesHandler,
  query: Query,
): Iterable<readonly [string, () => string]> {
  const address = tryParseAddress(query.client.address);
  const pod = address === undefined ? undefined : cluster.directory.podsByIP(address)[0];
  if (pod !== undefined) {
    yield ["kubernetes/client-namespace", () => pod.namespace];
    yield ["kubernetes/client-pod-name", () => pod.name];
  }
  const zone = longestZone(options.zones, query.name);
  if (zone === undefined) return;
  const name = parseClusterName(withoutZone(query.name, zone));
  if (name === undefined) {
    yield ["kubernetes/parse-error", () => "invalid query name"];
    return;
  }
  if (name.kind === "apex") return;
  yield ["kubernetes/port-name", () => name.port];
  yield ["kubernetes/protocol", () => name.protocol];
  yield ["kubernetes/endpoint", () => name.endpoint];
  yield ["kubernetes/service", () => name.name];
  yield ["kubernetes/namespace", () => name.namespace];
  yield ["kubernetes/kind", () => (name.kind === "pod" ? "pod" : "svc")];
}
