/** Mirrors Endpoints that were written by hand, for a Service without selector, into EndpointSlices. */
import { type Family, familyOf, tryParseAddress } from "../../net/address.ts";
import type { Api } from "../server/api.ts";
import { type ApiObject, isObject, type JsonObject, listAt, objectAt, textAt } from "../server/json.ts";
import { perform } from "./action.ts";
import { byLabels } from "./labelindex.ts";
import { type Controller, keyOfObject, splitKey } from "./loop.ts";
import { type EndpointGroup, reconcileSlices } from "./slices.ts";

const manager = "endpointslicemirroring-controller.k8s.io";
const sliceResource = "endpointslices.discovery.k8s.io";
/** The Service of the API itself: whoever runs the server writes both of its forms. */
const apiService = "default/kubernetes";
const skipLabel = "endpointslice.kubernetes.io/skip-mirror";

/** The endpoints of an Endpoints object, by family and ports. */
export function mirroredGroups(endpoints: ApiObject): readonly EndpointGroup[] {
  return listAt(endpoints, "subsets").flatMap((subset) => {
    const ports = listAt(subset, "ports")
      .filter(isObject)
      .map((port) => ({ ...port, name: textAt(port, "name") }));
    const parts = [
      ...listAt(subset, "addresses").map((address) => ({ address, ready: true })),
      ...listAt(subset, "notReadyAddresses").map((address) => ({ address, ready: false })),
    ];
    return (["IPv4", "IPv6"] as const).flatMap((family: Family): readonly EndpointGroup[] => {
      const endpoints = parts.flatMap(({ address, ready }): readonly JsonObject[] => {
        const ip = tryParseAddress(textAt(address, "ip"));
        if (ip === undefined || familyOf(ip) !== family) return [];
        const { hostname, nodeName, targetRef } = objectAt({ address }, "address");
        const rest = { hostname, nodeName, targetRef };
        const present = Object.entries(rest).filter(([, value]) => value !== undefined);
        return [{ addresses: [ip], conditions: { ready }, ...Object.fromEntries(present) }];
      });
      return endpoints.length === 0 ? [] : [{ family, ports, endpoints }];
    });
  });
}

/** The controller that mirrors. */
export function mirrorController(api: Api): Controller {
  const slices = byLabels();
  return {
    name: "endpointslicemirroring-controller",
    watches: ["endpoints", "services", sliceResource],
    keysOf(resource, change) {
      if (resource !== sliceResource) return [keyOfObject(change.object)];
      slices.note(change);
      const { labels, namespace = "" } = change.object.metadata;
      if (
        change.type === "ADDED" ||
        objectAt({ labels }, "labels")["endpointslice.kubernetes.io/managed-by"] !== manager
      )
        return [];
      return [`${namespace}/${textAt(change.object, "metadata", "labels", "kubernetes.io/service-name")}`];
    },
    reconcile(key) {
      const [namespace, name] = splitKey(key);
      const service = api.store.get({ resource: "services", namespace, name });
      const endpoints = api.store.get({ resource: "endpoints", namespace, name });
      const present = slices
        .withAll(namespace, { "kubernetes.io/service-name": name })
        .flatMap((slice) => api.store.get({ resource: sliceResource, namespace, name: slice }) ?? [])
        .filter((slice) => textAt(slice, "metadata", "labels", "endpointslice.kubernetes.io/managed-by") === manager);
      if (service === undefined || service.metadata.deletionTimestamp !== undefined) return undefined;
      const byHand = Object.keys(objectAt(service, "spec", "selector")).length === 0;
      const skipped = key === apiService || textAt(endpoints, "metadata", "labels", skipLabel) === "true";
      const groups = endpoints === undefined || !byHand || skipped ? [] : mirroredGroups(endpoints);
      // Without families there are no empty slices to keep: where nothing is mirrored, nothing is there.
      const owner = { ...service, spec: { ...objectAt(service, "spec"), ipFamilies: [] } };
      perform(api, reconcileSlices(owner, groups, present, manager, ""), "endpoint-slice-mirroring-controller");
      return undefined;
    },
  };
}
