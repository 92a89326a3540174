/** Keeps EndpointSlices and the older Endpoints of Services with a selector as their pods are. */
import { type Api, internal } from "../server/api.ts";
import { type ApiObject, listAt, objectAt, sameJson, textAt } from "../server/json.ts";
import { timestamp } from "../server/lifecycle.ts";
import { requirementsOf, selects } from "../server/select/labels.ts";
import { needKind, perform } from "./action.ts";
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
  const selecting = (pod: ApiObject) =>
    api
      .list("services", pod.metadata.namespace ?? "")
      .filter(
        (service) =>
          hasSelector(service) &&
          selects(
            requirementsOf({ matchLabels: objectAt(service, "spec", "selector") }),
            objectAt(pod, "metadata", "labels"),
          ),
      );
  return {
    name: "endpointslice-controller",
    watches: ["services", "pods", "nodes", sliceResource],
    keysOf(resource, { type, object, previous }) {
      if (resource === "services") return [keyOfObject(object)];
      if (resource === "pods") {
        if (type === "MODIFIED" && previous !== undefined && visible(previous) === visible(object)) return [];
        const pods = previous === undefined ? [object] : [object, previous];
        return [...new Set(pods.flatMap((pod) => selecting(pod).map(keyOfObject)))];
      }
      if (resource === "nodes") {
        const zone = (node: ApiObject | undefined) => textAt(node, "metadata", "labels", zoneLabel);
        return zone(object) === zone(previous) ? [] : api.list("services").map(keyOfObject);
      }
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
      const requirements = requirementsOf({ matchLabels: objectAt(service, "spec", "selector") });
      const pods = api
        .list("pods", namespace)
        .filter((pod) => selects(requirements, objectAt(pod, "metadata", "labels")));
      const zoneOf = (node: string) =>
        textAt(api.store.get({ resource: "nodes", namespace: "", name: node }), "metadata", "labels", zoneLabel);
      const groups = endpointGroups(service, pods, zoneOf);
      const slices = api.list(sliceResource, namespace).filter((slice) => {
        const labels = objectAt(slice, "metadata", "labels");
        return (
          labels["kubernetes.io/service-name"] === name && labels["endpointslice.kubernetes.io/managed-by"] === manager
        );
      });
      perform(
        api,
        reconcileSlices(service, groups, slices, manager, timestamp(api.now())),
        "endpoint-slice-controller",
      );
      writeEndpoints(api, service, subsetsOf(service, groups));
      return undefined;
    },
  };
}

function writeEndpoints(api: Api, service: ApiObject, subsets: ReturnType<typeof subsetsOf>): void {
  const kind = needKind("endpoints");
  const { namespace = "", name, labels } = service.metadata;
  const present = api.store.get({ resource: "endpoints", namespace, name });
  if (present !== undefined && sameJson(listAt(present, "subsets"), [...subsets])) return;
  const metadata = present?.metadata ?? { name, ...(labels === undefined ? {} : { labels }) };
  api.update(kind, namespace, name, { metadata, ...(subsets.length > 0 ? { subsets } : {}) }, "", internal);
}

/** The Endpoints of a Service go with it; they are known by the name alone. */
function removeEndpoints(api: Api, namespace: string, name: string): void {
  if (api.store.get({ resource: "endpoints", namespace, name }) === undefined) return;
  api.delete(needKind("endpoints"), namespace, name, { dryRun: false });
}
