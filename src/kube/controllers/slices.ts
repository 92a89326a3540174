/** From a Service and its pods to EndpointSlices: who is in them, and how they change as little as possible. Pure. */
import { type Family, familyOf, tryParseAddress } from "../../net/address.ts";
import {
  type ApiObject,
  isObject,
  type Json,
  type JsonObject,
  listAt,
  numberAt,
  objectAt,
  sameJson,
  textAt,
} from "../server/json.ts";
import { type Action, controlledBy } from "./action.ts";
import { hasEnded, isReady, isTerminating, nodeOf } from "./pods.ts";

/** Endpoints that one slice holds at most (upstream's default). */
export const sliceCapacity = 100;

const serviceLabel = "kubernetes.io/service-name";
const managerLabel = "endpointslice.kubernetes.io/managed-by";
const headlessLabel = "service.kubernetes.io/headless";

/** Endpoints of one family that serve the same ports. */
export interface EndpointGroup {
  readonly family: Family;
  readonly ports: readonly JsonObject[];
  readonly endpoints: readonly JsonObject[];
}

/** The endpoints of a Service, by family and ports. `zoneOf` gives the zone of a node, empty if unknown. */
export function endpointGroups(
  service: ApiObject,
  pods: readonly ApiObject[],
  zoneOf: (node: string) => string,
): readonly EndpointGroup[] {
  const spec = objectAt(service, "spec");
  const families = listAt(spec, "ipFamilies").filter(
    (family): family is Family => family === "IPv4" || family === "IPv6",
  );
  const groups = new Map<string, { family: Family; ports: readonly JsonObject[]; endpoints: JsonObject[] }>();
  for (const family of families) {
    for (const pod of pods) {
      const ip = podAddress(pod, family);
      if (ip === undefined || hasEnded(pod)) continue;
      const ports = portsOf(spec, pod);
      // Without ports a headless Service still has addresses; a Service with ports that the pod lacks has no endpoint there.
      if (ports.length === 0 && listAt(spec, "ports").length > 0) continue;
      const key = `${family}${JSON.stringify(ports)}`;
      const group = groups.get(key) ?? { family, ports, endpoints: [] };
      groups.set(key, group);
      group.endpoints.push(endpointOf(service, pod, ip, zoneOf));
    }
  }
  return [...groups.values()].map((group) => ({
    ...group,
    endpoints: withHints(textAt(spec, "trafficDistribution"), group.endpoints),
  }));
}

function podAddress(pod: ApiObject, family: Family): string | undefined {
  const all = [...listAt(pod, "status", "podIPs").map((item) => textAt(item, "ip")), textAt(pod, "status", "podIP")];
  return all.find((text) => {
    const address = tryParseAddress(text);
    return address !== undefined && familyOf(address) === family;
  });
}

/** The ports of a Service on a pod: a named target that the pod does not have is left out. */
export function portsOf(spec: JsonObject, pod: ApiObject): readonly JsonObject[] {
  return listAt(spec, "ports")
    .filter(isObject)
    .flatMap((port) => {
      const protocol = textAt(port, "protocol");
      const number =
        typeof port.targetPort === "string"
          ? namedPort(pod, port.targetPort, protocol)
          : (port.targetPort ?? port.port);
      if (number === undefined) return [];
      const application = port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol };
      return [{ name: textAt(port, "name"), port: number, protocol, ...application }];
    });
}

function namedPort(pod: ApiObject, name: string, protocol: string): Json | undefined {
  for (const container of [...listAt(pod, "spec", "containers"), ...listAt(pod, "spec", "initContainers")]) {
    for (const port of listAt(container, "ports").filter(isObject)) {
      if (textAt(port, "name") === name && textAt(port, "protocol") === protocol) return port.containerPort;
    }
  }
  return undefined;
}

function endpointOf(service: ApiObject, pod: ApiObject, ip: string, zoneOf: (node: string) => string): JsonObject {
  const serving = isReady(pod);
  const terminating = isTerminating(pod);
  const ready = objectAt(service, "spec").publishNotReadyAddresses === true || (serving && !terminating);
  const { name, namespace, uid } = pod.metadata;
  const node = nodeOf(pod);
  const zone = zoneOf(node);
  const named = textAt(pod, "spec", "subdomain") === service.metadata.name && textAt(pod, "spec", "hostname") !== "";
  return {
    addresses: [ip],
    conditions: { ready, serving, terminating },
    ...(named ? { hostname: textAt(pod, "spec", "hostname") } : {}),
    ...(node === "" ? {} : { nodeName: node }),
    targetRef: { kind: "Pod", ...(namespace === undefined ? {} : { namespace }), name, uid },
    ...(zone === "" ? {} : { zone }),
  };
}

/** Hints for a traffic distribution (KEP-4444, KEP-3015): each endpoint is for its own zone or node. */
function withHints(distribution: string, endpoints: readonly JsonObject[]): readonly JsonObject[] {
  const known = ["PreferClose", "PreferSameZone", "PreferSameNode"];
  if (!known.includes(distribution) || endpoints.some((endpoint) => textAt(endpoint, "zone") === "")) return endpoints;
  const byNode = distribution === "PreferSameNode";
  if (byNode && endpoints.some((endpoint) => textAt(endpoint, "nodeName") === "")) return endpoints;
  return endpoints.map((endpoint) => {
    const nodes = byNode ? { forNodes: [{ name: textAt(endpoint, "nodeName") }] } : {};
    return { ...endpoint, hints: { ...nodes, forZones: [{ name: textAt(endpoint, "zone") }] } };
  });
}

/**
 * The writes that make the slices of a Service hold its endpoints: those that stay keep their slice, new ones fill slices
 * that have room, the fullest first, and slices left empty go.
 *
 * @param changed when the change began that led here, for measuring; RFC 3339, or empty.
 */
export function reconcileSlices(
  service: ApiObject,
  groups: readonly EndpointGroup[],
  slices: readonly ApiObject[],
  manager: string,
  changed: string,
): readonly Action[] {
  const resource = "endpointslices.discovery.k8s.io";
  const actions: Action[] = [];
  const used = new Set<ApiObject>();
  for (const group of groups) {
    const mine = slices.filter(
      (slice) => textAt(slice, "addressType") === group.family && sameJson(withNames(slice), [...group.ports]),
    );
    const waiting = new Map(group.endpoints.map((endpoint) => [idOf(endpoint), endpoint]));
    const contents = mine.map((slice) => {
      const kept = listAt(slice, "endpoints")
        .filter(isObject)
        .flatMap((endpoint) => {
          const now = waiting.get(idOf(endpoint));
          waiting.delete(idOf(endpoint));
          return now === undefined ? [] : [now];
        });
      return { slice, endpoints: kept };
    });
    for (const content of contents.toSorted((a, b) => b.endpoints.length - a.endpoints.length)) {
      if (content.endpoints.length === 0 && waiting.size === 0) continue;
      for (const [id, endpoint] of waiting) {
        if (content.endpoints.length >= sliceCapacity) break;
        content.endpoints.push(endpoint);
        waiting.delete(id);
      }
    }
    for (const { slice, endpoints } of contents) {
      if (endpoints.length === 0) continue;
      used.add(slice);
      const metadata = {
        ...slice.metadata,
        labels: labelsOf(service, manager),
        annotations: annotationsOf(slice, changed),
      };
      const same = sameJson(slice.endpoints, endpoints) && sameJson(slice.metadata.labels, metadata.labels);
      if (!same) actions.push({ type: "update", resource, object: { ...slice, metadata, endpoints } });
    }
    const rest = [...waiting.values()];
    for (let i = 0; i < rest.length; i += sliceCapacity) {
      actions.push(newSlice(service, group.family, group.ports, rest.slice(i, i + sliceCapacity), manager, changed));
    }
  }
  // A Service without endpoints keeps one empty slice of each family, so that its consumers know that it has none.
  for (const family of listAt(service, "spec", "ipFamilies")) {
    if (groups.some((group) => group.family === family)) continue;
    const placeholder = slices.find((slice) => slice.addressType === family && !used.has(slice));
    if (placeholder === undefined)
      actions.push(newSlice(service, family === "IPv6" ? "IPv6" : "IPv4", [], [], manager, changed));
    else {
      used.add(placeholder);
      if (listAt(placeholder, "endpoints").length > 0 || listAt(placeholder, "ports").length > 0) {
        const metadata = { ...placeholder.metadata, annotations: annotationsOf(placeholder, changed) };
        actions.push({ type: "update", resource, object: { ...placeholder, metadata, endpoints: [], ports: [] } });
      }
    }
  }
  for (const object of slices) if (!used.has(object)) actions.push({ type: "delete", resource, object });
  return actions;
}

/** Ports as they are compared: in their order, each with a name. */
function withNames(slice: ApiObject): readonly Json[] {
  return listAt(slice, "ports").map((port) => (isObject(port) ? { ...port, name: textAt(port, "name") } : port));
}

function idOf(endpoint: JsonObject): string {
  return `${textAt(endpoint, "targetRef", "uid")}/${String(listAt(endpoint, "addresses")[0])}`;
}

function labelsOf(service: ApiObject, manager: string): JsonObject {
  const own = objectAt(service, "metadata", "labels");
  const headless = textAt(service, "spec", "clusterIP") === "None" ? { [headlessLabel]: "" } : {};
  return { ...own, ...headless, [managerLabel]: manager, [serviceLabel]: service.metadata.name };
}

const triggerTime = "endpoints.kubernetes.io/last-change-trigger-time";

function annotationsOf(slice: ApiObject, changed: string): JsonObject {
  const { [triggerTime]: _, ...rest } = objectAt(slice, "metadata", "annotations");
  return changed === "" ? rest : { ...rest, [triggerTime]: changed };
}

function newSlice(
  service: ApiObject,
  family: Family,
  ports: readonly JsonObject[],
  endpoints: readonly JsonObject[],
  manager: string,
  changed: string,
): Action {
  const metadata = {
    generateName: `${service.metadata.name}-`,
    labels: labelsOf(service, manager),
    ...(changed === "" ? {} : { annotations: { [triggerTime]: changed } }),
    ownerReferences: [controlledBy(service)],
  };
  const object = { metadata, addressType: family, endpoints, ports };
  return {
    type: "create",
    resource: "endpointslices.discovery.k8s.io",
    namespace: service.metadata.namespace ?? "",
    object,
  };
}

/** How many addresses the older Endpoints object holds at most. */
const endpointsCapacity = 1000;

/** The subsets of the older Endpoints object of a Service: its first family only. */
export function subsetsOf(service: ApiObject, groups: readonly EndpointGroup[]): readonly JsonObject[] {
  const [family] = listAt(service, "spec", "ipFamilies");
  let room = endpointsCapacity;
  return groups
    .filter((group) => group.family === family)
    .flatMap((group) => {
      const shown = group.endpoints.slice(0, room);
      room -= shown.length;
      const part = (ready: boolean) =>
        shown.filter(
          (endpoint) =>
            (objectAt(endpoint, "conditions").ready === true) === ready &&
            objectAt(endpoint, "conditions").terminating !== true,
        );
      const address = (endpoint: JsonObject): JsonObject => ({
        ip: String(listAt(endpoint, "addresses")[0]),
        ...(endpoint.hostname === undefined ? {} : { hostname: endpoint.hostname }),
        ...(endpoint.nodeName === undefined ? {} : { nodeName: endpoint.nodeName }),
        ...(endpoint.targetRef === undefined ? {} : { targetRef: endpoint.targetRef }),
      });
      const addresses = part(true).map(address);
      const notReadyAddresses = part(false).map(address);
      if (addresses.length + notReadyAddresses.length === 0) return [];
      const ports = group.ports.map((port) => ({
        ...port,
        ...(textAt(port, "name") === "" ? { name: undefined } : {}),
        port: numberAt(port, ["port"]),
      }));
      return [
        {
          ...(addresses.length > 0 ? { addresses } : {}),
          ...(notReadyAddresses.length > 0 ? { notReadyAddresses } : {}),
          ...(ports.length > 0 ? { ports: ports.map((port) => JSON.parse(JSON.stringify(port)) as JsonObject) } : {}),
        },
      ];
    });
}
