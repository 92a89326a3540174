/** EndpointSlices, reduced to what service networking uses (`discovery.k8s.io/v1` of the Kubernetes API). */
import { type Address, type Family, families, familyOf } from "../../net/address.ts";
import type { Protocol } from "../../net/protocol.ts";
import { type Fields, isFields, noFields, Problems } from "./fields.ts";
import { Interner, intern } from "./intern.ts";
import { labelOf } from "./metadata.ts";
import type { Projected, Resource } from "./resource.ts";

/** A slice of the endpoints of a Service, of one address family. */
export interface EndpointSlice {
  readonly kind: "EndpointSlice";
  readonly namespace: string;
  readonly name: string;
  /** The Service it belongs to: label `kubernetes.io/service-name`. */
  readonly service: string;
  readonly family: Family;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly SliceEndpoint[];
  /** Annotation `endpoints.kubernetes.io/last-change-trigger-time`, milliseconds since the epoch; 0 where there is none. */
  readonly lastChangeTriggerTime: number;
}

/** A port that every endpoint of the slice serves. Ports without a number are left out. */
export interface EndpointPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** An endpoint of a slice: its first address (the API defines no use of the others) and its conditions. */
export interface SliceEndpoint {
  readonly address: Address;
  /** `conditions.ready`; absent means true. */
  readonly ready: boolean;
  /** `conditions.serving`; absent means true. */
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Empty where unknown. */
  readonly nodeName: string;
  /** `hints.forZones`, names; undefined without hints. */
  readonly zoneHints?: readonly string[];
  /** `hints.forNodes`, names; undefined without hints. */
  readonly nodeHints?: readonly string[];
}

/** The label that names the Service of a slice. */
export const serviceNameLabel = "kubernetes.io/service-name";
/** The annotation that says when the change happened that made a controller write the slice. */
export const triggerTimeAnnotation = "endpoints.kubernetes.io/last-change-trigger-time";

/** EndpointSlices of the API. */
export const endpointSlices: Resource<EndpointSlice> = {
  group: "discovery.k8s.io",
  version: "v1",
  kind: "EndpointSlice",
  plural: "endpointslices",
  namespaced: true,
  project: projectEndpointSlice,
};

/** Reduces a raw `discovery.k8s.io/v1` EndpointSlice. Slices of addressType FQDN are ignored. */
export function projectEndpointSlice(raw: unknown): Projected<EndpointSlice> {
  const problems = new Problems();
  const root = problems.fields("EndpointSlice", raw);
  if (root.addressType === "FQDN") return { outcome: "ignored" };
  const metadata = problems.fields("metadata", root.metadata);
  const family = readFamily(root.addressType, problems);
  const slice: EndpointSlice = {
    kind: "EndpointSlice",
    namespace: intern(problems.name("metadata.namespace", metadata.namespace, "label")),
    name: problems.name("metadata.name", metadata.name, "subdomain"),
    service: intern(readService(metadata, problems)),
    family,
    ports: readPorts(root.ports, problems),
    endpoints: readEndpoints(root.endpoints, family, problems),
    lastChangeTriggerTime: readTriggerTime(metadata, problems),
  };
  return problems.result(() => slice);
}

function readFamily(value: unknown, problems: Problems): Family {
  if (value === undefined || value === null || value === "") problems.required("addressType", "IPv4, IPv6 or FQDN");
  return problems.oneOf("addressType", value, families, "IPv4");
}

function readService(metadata: Fields, problems: Problems): string {
  const service = labelOf(metadata, "labels", serviceNameLabel, problems);
  return problems.name(`metadata.labels[${serviceNameLabel}]`, service, "label");
}

/** Milliseconds of an RFC 3339 time; 0 where it is missing or unreadable: nothing but a latency metric hangs on it. */
function readTriggerTime(metadata: Fields, problems: Problems): number {
  const text = labelOf(metadata, "annotations", triggerTimeAnnotation, problems);
  const time = text === "" ? 0 : Date.parse(text);
  return Number.isNaN(time) ? 0 : time;
}

const portLists = new Interner<readonly EndpointPort[]>();

/** Most slices of a cluster share a few lists of ports, so one copy of each is kept. */
function readPorts(value: unknown, problems: Problems): readonly EndpointPort[] {
  const ports = problems.each("ports", value, (path, item) => {
    const entry = problems.fields(path, item);
    const name = (entry.name ?? "") === "" ? "" : problems.name(`${path}.name`, entry.name, "label");
    const protocol = problems.protocol(`${path}.protocol`, entry.protocol);
    const port = problems.integer(`${path}.port`, entry.port, 0, 65535, 0);
    return port === 0 ? undefined : { name: intern(name), protocol, port };
  });
  return portLists.get(ports.map((port) => `${port.name}/${port.protocol}/${port.port}`).join(" "), () => ports);
}

/** Written as a loop that builds no path until something is wrong: a large cluster has a million endpoints. */
function readEndpoints(value: unknown, family: Family, problems: Problems): readonly SliceEndpoint[] {
  const list = problems.list("endpoints", value);
  const endpoints: SliceEndpoint[] = [];
  for (let i = 0; i < list.length; i++) {
    const item = list[i];
    if (!isFields(item)) {
      problems.invalid(`endpoints[${i}]`, item, "must be an object");
      continue;
    }
    const address = readAddress(item, i, family, problems);
    const conditions = item.conditions ?? noFields;
    if (!isFields(conditions)) {
      problems.invalid(`endpoints[${i}].conditions`, conditions, "must be an object");
      continue;
    }
    if (address === undefined) continue;
    endpoints.push({
      address,
      ready: readCondition(conditions, "ready", i, true, problems),
      serving: readCondition(conditions, "serving", i, true, problems),
      terminating: readCondition(conditions, "terminating", i, false, problems),
      nodeName: readNodeName(item.nodeName, i, problems),
      ...readHints(item, i, problems),
    });
  }
  // A copy has room for what it holds and no more.
  return endpoints.slice();
}

function readAddress(endpoint: Fields, i: number, family: Family, problems: Problems): Address | undefined {
  const addresses = endpoint.addresses;
  if (!Array.isArray(addresses) || addresses.length === 0) {
    problems.required(`endpoints[${i}].addresses`, "at least one address");
    return undefined;
  }
  const address = problems.reachableAddress(`endpoints[${i}].addresses[0]`, addresses[0]);
  if (address === undefined || familyOf(address) === family) return address;
  problems.invalid(`endpoints[${i}].addresses[0]`, address, `must be an ${family} address, as addressType says`);
  return undefined;
}

function readCondition(conditions: Fields, name: string, i: number, otherwise: boolean, problems: Problems): boolean {
  const value = conditions[name];
  if (typeof value === "boolean") return value;
  if (value !== undefined && value !== null) {
    problems.invalid(`endpoints[${i}].conditions.${name}`, value, "must be true or false");
  }
  return otherwise;
}

function readNodeName(value: unknown, i: number, problems: Problems): string {
  return value === undefined || value === null || value === ""
    ? ""
    : intern(problems.text(`endpoints[${i}].nodeName`, value));
}

function readHints(endpoint: Fields, i: number, problems: Problems): Pick<SliceEndpoint, "zoneHints" | "nodeHints"> {
  if (endpoint.hints === undefined || endpoint.hints === null) return {};
  const path = `endpoints[${i}].hints`;
  const hints = problems.fields(path, endpoint.hints);
  const names = (field: string) =>
    problems.each(`${path}.${field}`, hints[field], (at, item) =>
      intern(problems.text(`${at}.name`, problems.fields(at, item).name)),
    );
  const zoneHints = names("forZones");
  const nodeHints = names("forNodes");
  return { ...(zoneHints.length > 0 && { zoneHints }), ...(nodeHints.length > 0 && { nodeHints }) };
}
