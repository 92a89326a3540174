/** Keeps EndpointSlices and the older Endpoints of Services with a selector as their pods are. */
import { type Api, internal } from "../server/api.ts";
import { type ApiObject, type JsonObject, listAt, objectAt, sameJson, textAt } from "../server/json.ts";
import { timestamp } from "../server/lifecycle.ts";
import { requirementsOf, selects } from "../server/select/labels.ts";
import { needKind, perform } from "./action.ts";
import { byLabels, LabelIndex } from "./labelindex.ts";
import { type Controller, keyOfObject, splitKey } from "./loop.ts";
import { conditionOf, nodeOf } from "./pods.ts";
import { endpointGroups, reconcileSlices, subsetsOf } from "./slices.ts";

const manager = "endpointslice-controller.k8s.io";
const sliceResource = "endpointslices.discovery.k8s.io";
const zoneLabel = "topology.kubernetes.io/zone";

function hasSelector(service: ApiObject): boolean {
  return (
    Object.keys(objectAt(service, "spec", "selector")).length > 0 && textAt(service, "spec", "type") !== "ExternalName"
  );
}

function selectorOf(service: ApiObject): JsonObject {
  return objectAt(service, "spec", "selector");
}

/** What of a pod its endpoints depend on. */
function visible(pod: ApiObject): string {
  const { status, metadata } = pod;
  const ready = textAt(conditionOf(pod, "Ready"), "status");
  return JSON.stringify([
    metadata.labels,
    metadata.deletionTimestamp,
    objectAt({ status }, "status").phase,
    listAt(pod, "status", "podIPs"),
    textAt(pod, "status", "podIP"),
    ready,
    nodeOf(pod),
  ]);
}

/** The controller of EndpointSlices and Endpoints. */
export function endpointsController(api: Api): Controller {
  const pods = byLabels();
  const slices = byLabels();
  // One label of its selector is enough to find a Service by: a pod of it has that label.
  const services = new LabelIndex((service) =>
    Object.fromEntries(Object.entries(hasSelector(service) ? selectorOf(service) : {}).slice(0, 1)),
  );
  const found = (resource: string, namespace: string, names: readonly string[]) =>
    names.flatMap((name) => api.store.get({ resource, namespace, name }) ?? []);
  const selecting = (pod: ApiObject): readonly string[] => {
    const { namespace = "" } = pod.metadata;
    const labels = objectAt(pod, "metadata", "labels");
    return found("services", namespace, services.withAny(namespace, labels))
      .filter(
        (service) => hasSelector(service) && selects(requirementsOf({ matchLabels: selectorOf(service) }), labels),
      )
      .map(keyOfObject);
  };
  return {
    name: "endpointslice-controller",
    watches: ["services", "pods", "nodes", sliceResource],
    keysOf(resource, change) {
      const { type, object, previous } = change;
      if (resource === "services") {
        services.note(change);
        return [keyOfObject(object)];
      }
      if (resource === "pods") {
        pods.note(change);
        if (type === "MODIFIED" && previous !== undefined && visible(previous) === visible(object)) return [];
        return [...new Set([object, ...(previous === undefined ? [] : [previous])].flatMap(selecting))];
      }
      if (resource === "nodes") {
        const zone = (node: ApiObject | undefined) => textAt(node, "metadata", "labels", zoneLabel);
        return zone(object) === zone(previous) ? [] : api.list("services").map(keyOfObject);
      }
      slices.note(change);
      // A slice that somebody else changed or deleted is put right.
      const service = textAt(object, "metadata", "labels", "kubernetes.io/service-name");
      const ours = textAt(object, "metadata", "labels", "endpointslice.kubernetes.io/managed-by") === manager;
      return ours && type !== "ADDED" ? [`${object.metadata.namespace ?? ""}/${service}`] : [];
    },
    reconcile(key) {
      const [namespace, name] = splitKey(key);
      const service = api.store.get({ resource: "services", namespace, name });
      if (service === undefined) removeEndpoints(api, namespace, name);
      if (service === undefined || service.metadata.deletionTimestamp !== undefined || !hasSelector(service))
        return undefined;
      const selector = selectorOf(service);
      const requirements = requirementsOf({ matchLabels: selector });
      const mine = found("pods", namespace, pods.withAll(namespace, selector))
        .filter((pod) => selects(requirements, objectAt(pod, "metadata", "labels")))
        .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
      const zoneOf = (node: string) =>
        textAt(api.store.get({ resource: "nodes", namespace: "", name: node }), "metadata", "labels", zoneLabel);
      const groups = endpointGroups(service, mine, zoneOf);
      const labels = { "kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": manager };
      const present = found(
        sliceResource,
        namespace,
        slices.withAll(namespace, { "kubernetes.io/service-name": name }),
      ).filter((slice) => selects(requirementsOf({ matchLabels: labels }), objectAt(slice, "metadata", "labels")));
      perform(
        api,
        reconcileSlices(service, groups, present, manager, timestamp(api.now())),
        "endpoint-slice-controller",
      );
      writeEndpoints(api, service, subsetsOf(service, groups));
      return undefined;
    },
  };
}

function writeEndpoints(api: Api, service: ApiObject, subsets: ReturnType<typeof subsetsOf>): void {
  const kind = needKind(api, "endpoints");
  const { namespace = "", name, labels } = service.metadata;
  const present = api.store.get({ resource: "endpoints", namespace, name });
  if (present !== undefined && sameJson(listAt(present, "subsets"), [...subsets])) return;
  const metadata = present?.metadata ?? { name, ...(labels === undefined ? {} : { labels }) };
  api.update(kind, namespace, name, { metadata, ...(subsets.length > 0 ? { subsets } : {}) }, "", internal);
}

/** The Endpoints of a Service go with it; they are known by the name alone. */
function removeEndpoints(api: Api, namespace: string, name: string): void {
  if (api.store.get({ resource: "endpoints", namespace, name }) === undefined) return;
  api.delete(needKind(api, "endpoints"), namespace, name, { dryRun: false });
}
