/** API objects, reduced to what names are made of. */

import { serviceNameLabel, triggerTimeAnnotation } from "../../../kube/objects/endpointslice.ts";
import { type Fields, Problems } from "../../../kube/objects/fields.ts";
import { Interner, intern } from "../../../kube/objects/intern.ts";
import { labelOf } from "../../../kube/objects/metadata.ts";
import type { Projected, Resource } from "../../../kube/objects/resource.ts";
import { type Address, tryParseAddress } from "../../../net/address.ts";
import type { Protocol } from "../../../net/protocol.ts";

/** A port that names can be made of. */
export interface NamedPort {
  readonly name: string;
  readonly protocol: Protocol;
  /** -1 stands for "no ports at all": addresses are answered, SRV records are not. */
  readonly port: number;
}

/** A Service. */
export interface DnsService {
  readonly namespace: string;
  readonly name: string;
  readonly kind: "clusterIP" | "headless" | "externalName";
  /** True if the cluster finds its endpoints itself. */
  readonly selector: boolean;
  readonly clusterIPs: readonly Address[];
  /** Of type ExternalName: a name with a final dot, or an address. */
  readonly externalName: string;
  /** `spec.externalIPs` and addresses of the load balancer, for plugin k8s_external. */
  readonly externalIPs: readonly Address[];
  /** Names of the load balancer, with final dots. */
  readonly externalHosts: readonly string[];
  readonly ports: readonly NamedPort[];
}

/** An EndpointSlice with its ready endpoints. */
export interface DnsSlice {
  readonly namespace: string;
  readonly name: string;
  readonly service: string;
  readonly ports: readonly NamedPort[];
  readonly endpoints: readonly DnsEndpoint[];
  /** Milliseconds since the epoch; 0 where unknown. */
  readonly lastChangeTriggerTime: number;
}

/** A ready endpoint. */
export interface DnsEndpoint {
  readonly address: Address;
  /** Its label: empty where it has none, and its address stands for it. */
  readonly hostname: string;
}

/** A namespace. */
export interface DnsNamespace {
  readonly name: string;
}

/** A pod that has an address. */
export interface DnsPod {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly Address[];
}

const noPorts: readonly NamedPort[] = [{ name: "", protocol: "TCP", port: -1 }];
const portLists = new Interner<readonly NamedPort[]>();

/** Services. */
export const dnsServices: Resource<DnsService> = {
  group: "",
  version: "v1",
  kind: "Service",
  plural: "services",
  namespaced: true,
  project: projectService,
};

/**
 * EndpointSlices.
 *
 * @param podNames endpoints without hostname are labelled with the name of their pod.
 */
export function dnsSlices(podNames: boolean): Resource<DnsSlice> {
  return {
    group: "discovery.k8s.io",
    version: "v1",
    kind: "EndpointSlice",
    plural: "endpointslices",
    namespaced: true,
    project: (raw) => projectSlice(raw, podNames),
  };
}

/** Namespaces. */
export const dnsNamespaces: Resource<DnsNamespace> = {
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  namespaced: false,
  project(raw) {
    const problems = new Problems();
    const metadata = problems.fields("metadata", problems.fields("Namespace", raw).metadata);
    const name = intern(problems.name("metadata.name", metadata.name, "label"));
    return problems.result(() => ({ name }));
  },
};

/** Pods. */
export const dnsPods: Resource<DnsPod> = {
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  namespaced: true,
  project: projectPod,
};

function projectService(raw: unknown): Projected<DnsService> {
  const problems = new Problems();
  const root = problems.fields("Service", raw);
  const metadata = problems.fields("metadata", root.metadata);
  const spec = problems.fields("spec", root.spec);
  const status = problems.fields("status", root.status);
  const ingress = problems.fields("status.loadBalancer", status.loadBalancer).ingress;
  const clusterIPs = problems.list("spec.clusterIPs", spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []));
  const external = spec.type === "ExternalName";
  const externalName = problems.text("spec.externalName", spec.externalName);
  const service: DnsService = {
    namespace: intern(problems.name("metadata.namespace", metadata.namespace, "label")),
    name: intern(problems.name("metadata.name", metadata.name, "label")),
    kind: external ? "externalName" : clusterIPs.includes("None") ? "headless" : "clusterIP",
    selector: Object.keys(problems.fields("spec.selector", spec.selector)).length > 0,
    clusterIPs: clusterIPs.includes("None")
      ? []
      : problems.each("spec.clusterIPs", clusterIPs, (path, item) =>
          item === "" ? undefined : problems.address(path, item),
        ),
    externalName: external ? absolute(externalName) : "",
    externalIPs: [
      ...problems.each("spec.externalIPs", spec.externalIPs, (path, item) => problems.address(path, item)),
      ...problems.each("status.loadBalancer.ingress", ingress, (path, item) => {
        const { ip } = problems.fields(path, item);
        return ip === undefined || ip === null || ip === "" ? undefined : problems.address(`${path}.ip`, ip);
      }),
    ],
    externalHosts: problems.each("status.loadBalancer.ingress", ingress, (path, item) => {
      const hostname = problems.text(`${path}.hostname`, problems.fields(path, item).hostname);
      return hostname === "" ? undefined : absolute(hostname);
    }),
    ports: readPorts("spec.ports", spec.ports, problems),
  };
  return problems.result(() => service);
}

function projectSlice(raw: unknown, podNames: boolean): Projected<DnsSlice> {
  const problems = new Problems();
  const root = problems.fields("EndpointSlice", raw);
  if (root.addressType === "FQDN") return { outcome: "ignored" };
  const metadata = problems.fields("metadata", root.metadata);
  const service = labelOf(metadata, "labels", serviceNameLabel, problems);
  if (service === "") return { outcome: "ignored" };
  const time = Date.parse(labelOf(metadata, "annotations", triggerTimeAnnotation, problems));
  const slice: DnsSlice = {
    namespace: intern(problems.name("metadata.namespace", metadata.namespace, "label")),
    name: problems.name("metadata.name", metadata.name, "subdomain"),
    service: intern(service),
    ports: readPorts("ports", root.ports, problems),
    endpoints: problems.each("endpoints", root.endpoints, (path, item) => readEndpoint(path, item, podNames, problems)),
    lastChangeTriggerTime: Number.isNaN(time) ? 0 : time,
  };
  return problems.result(() => slice);
}

/** A ready endpoint; undefined if it is not ready. */
function readEndpoint(path: string, item: unknown, podNames: boolean, problems: Problems): DnsEndpoint | undefined {
  const entry = problems.fields(path, item);
  const conditions = problems.fields(`${path}.conditions`, entry.conditions);
  if (!problems.flag(`${path}.conditions.ready`, conditions.ready, true)) return undefined;
  const [first] = problems.list(`${path}.addresses`, entry.addresses);
  const address = problems.address(`${path}.addresses[0]`, first);
  if (address === undefined) return undefined;
  const hostname = problems.text(`${path}.hostname`, entry.hostname);
  if (hostname !== "" || !podNames) return { address, hostname };
  const target = problems.fields(`${path}.targetRef`, entry.targetRef);
  const pod = target.kind === "Pod" ? problems.text(`${path}.targetRef.name`, target.name) : "";
  return { address, hostname: pod.length > 63 ? "" : pod };
}

function projectPod(raw: unknown): Projected<DnsPod> {
  const problems = new Problems();
  const root = problems.fields("Pod", raw);
  const metadata = problems.fields("metadata", root.metadata);
  const status = problems.fields("status", root.status);
  if (status.phase === "Succeeded" || status.phase === "Failed") return { outcome: "ignored" };
  const several = problems.each("status.podIPs", status.podIPs, (path, item) =>
    problems.address(path, problems.fields(path, item).ip),
  );
  const single = tryParseAddress(problems.text("status.podIP", status.podIP));
  const addresses = several.length > 0 ? several : single === undefined ? [] : [single];
  if (addresses.length === 0) return { outcome: "ignored" };
  const pod: DnsPod = {
    namespace: intern(problems.name("metadata.namespace", metadata.namespace, "label")),
    name: problems.name("metadata.name", metadata.name, "subdomain"),
    addresses,
  };
  return problems.result(() => pod);
}

function readPorts(path: string, value: unknown, problems: Problems): readonly NamedPort[] {
  const ports = problems.each(path, value, (at, item): NamedPort | undefined => {
    const entry: Fields = problems.fields(at, item);
    const port = problems.integer(`${at}.port`, entry.port, 0, 65535, 0);
    const protocol = problems.protocol(`${at}.protocol`, entry.protocol);
    return { name: problems.text(`${at}.name`, entry.name), protocol, port };
  });
  if (ports.length === 0) return noPorts;
  return portLists.get(ports.map(({ name, protocol, port }) => `${name}/${protocol}/${port}`).join(" "), () => ports);
}

function absolute(name: string): string {
  return name.endsWith(".") || tryParseAddress(name) !== undefined ? name : `${name}.`;
}
