/** Services, reduced to what service networking uses (`v1.Service` of the Kubernetes API). */
import { type Address, familyOf } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";
import type { Protocol } from "../../net/protocol.ts";
import { type Fields, Problems } from "./fields.ts";
import { intern } from "./intern.ts";
import { labelOf } from "./metadata.ts";
import type { Projected, Resource } from "./resource.ts";

/** A Service. Addresses are of both families; headless and ExternalName Services have no `clusterIPs`. */
export interface Service {
  readonly kind: "Service";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  /** `spec.clusterIPs`, or `spec.clusterIP` where that is missing; empty for headless Services. */
  readonly clusterIPs: readonly Address[];
  readonly externalIPs: readonly Address[];
  /** `status.loadBalancer.ingress` entries that have an `ip`; `ipMode` absent means VIP (KEP-1860). */
  readonly loadBalancerIPs: readonly { readonly ip: Address; readonly ipMode: "VIP" | "Proxy" }[];
  /** `spec.loadBalancerSourceRanges`, trimmed; empty means everyone. */
  readonly loadBalancerSourceRanges: readonly Prefix[];
  readonly ports: readonly ServicePort[];
  readonly externalTrafficPolicy: "Cluster" | "Local";
  readonly internalTrafficPolicy: "Cluster" | "Local";
  /** 0 where there is none. */
  readonly healthCheckNodePort: number;
  /** Seconds of ClientIP session affinity, 1 to 86400; 0 without affinity. */
  readonly affinitySeconds: number;
  /** The scheduler that an annotation asks for, by IPVS's name (`rr`, `lc`, …). */
  readonly scheduler?: string;
}

/** A port of a Service. */
export interface ServicePort {
  /** Empty for the only port of a Service. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** 0 where there is none. */
  readonly nodePort: number;
}

const types = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] as const;
const policies = ["Cluster", "Local"] as const;
/** Names the IPVS scheduler of a Service. */
export const schedulerAnnotation = "portolan.io/ipvs-scheduler";
/** What the API server sets where `sessionAffinityConfig` says nothing: 3 hours. */
const defaultAffinitySeconds = 10_800;

/** Reduces a raw `v1.Service`. */
export function projectService(raw: unknown): Projected<Service> {
  const problems = new Problems();
  const root = problems.fields("Service", raw);
  const metadata = problems.fields("metadata", root.metadata);
  const spec = problems.fields("spec", root.spec);
  const scheduler = readScheduler(metadata, problems);
  const service: Service = {
    kind: "Service",
    namespace: intern(problems.name("metadata.namespace", metadata.namespace, "label")),
    name: intern(problems.name("metadata.name", metadata.name, "label")),
    uid: problems.text("metadata.uid", metadata.uid),
    type: problems.oneOf("spec.type", spec.type, types, "ClusterIP"),
    clusterIPs: readClusterIPs(spec, problems),
    externalIPs: problems.each("spec.externalIPs", spec.externalIPs, (path, item) =>
      problems.reachableAddress(path, item),
    ),
    loadBalancerIPs: readLoadBalancerIPs(root, problems),
    loadBalancerSourceRanges: problems.each(
      "spec.loadBalancerSourceRanges",
      spec.loadBalancerSourceRanges,
      (path, item) => problems.prefix(path, item),
    ),
    ports: readPorts(spec, problems),
    externalTrafficPolicy: readPolicy("externalTrafficPolicy", spec, problems),
    internalTrafficPolicy: readPolicy("internalTrafficPolicy", spec, problems),
    healthCheckNodePort: problems.integer("spec.healthCheckNodePort", spec.healthCheckNodePort, 0, 65535, 0),
    affinitySeconds: readAffinity(spec, problems),
    ...(scheduler !== "" && { scheduler }),
  };
  return problems.result(() => service);
}

/** Services of the API. */
export const services: Resource<Service> = {
  group: "",
  version: "v1",
  kind: "Service",
  plural: "services",
  namespaced: true,
  project: projectService,
};

function readPolicy(field: string, spec: Fields, problems: Problems): "Cluster" | "Local" {
  return problems.oneOf(`spec.${field}`, spec[field], policies, "Cluster");
}

/** One address of each family at most; none for headless Services and for those that wait for theirs. */
function readClusterIPs(spec: Fields, problems: Problems): readonly Address[] {
  const single = spec.clusterIP;
  const raw = spec.clusterIPs ?? (single === undefined || single === null ? [] : [single]);
  const read = (path: string, item: unknown) =>
    item === "None" || item === "" ? undefined : problems.reachableAddress(path, item);
  const addresses = problems.each("spec.clusterIPs", raw, read);
  if (new Set(addresses.map(familyOf)).size < addresses.length) {
    problems.invalid("spec.clusterIPs", addresses.join(","), "must have one address of each family at most");
  }
  return addresses;
}

function readLoadBalancerIPs(root: Fields, problems: Problems): Service["loadBalancerIPs"] {
  const status = problems.fields("status", root.status);
  const ingress = problems.fields("status.loadBalancer", status.loadBalancer).ingress;
  return problems.each("status.loadBalancer.ingress", ingress, (path, item) => {
    const entry = problems.fields(path, item);
    if (entry.ip === undefined || entry.ip === null || entry.ip === "") return undefined;
    const ipMode = problems.oneOf(`${path}.ipMode`, entry.ipMode, ["VIP", "Proxy"], "VIP");
    const ip = problems.address(`${path}.ip`, entry.ip);
    return ip && { ip, ipMode };
  });
}

function readPorts(spec: Fields, problems: Problems): readonly ServicePort[] {
  const seen = new Set<string>();
  const raw = problems.list("spec.ports", spec.ports);
  return problems.each("spec.ports", raw, (path, item) => {
    const entry = problems.fields(path, item);
    const named = raw.length > 1 || (entry.name ?? "") !== "";
    const port: ServicePort = {
      name: named ? intern(problems.name(`${path}.name`, entry.name, "label")) : "",
      protocol: problems.protocol(`${path}.protocol`, entry.protocol),
      port: problems.integer(`${path}.port`, entry.port, 1, 65535, 0),
      nodePort: problems.integer(`${path}.nodePort`, entry.nodePort, 0, 65535, 0),
    };
    if (entry.port === undefined || entry.port === null) problems.required(`${path}.port`, "1 to 65535");
    const number = `${port.protocol} ${port.port}`;
    for (const [field, key] of [
      ["port", number],
      ["name", port.name],
    ] as const) {
      if (key !== "" && seen.has(key))
        problems.invalid(`${path}.${field}`, key, "is that of another port of this Service");
      seen.add(key);
    }
    return port;
  });
}

/** A name that a scheduler may have; whether the kernel has it is seen where it is used. */
function readScheduler(metadata: Fields, problems: Problems): string {
  const text = labelOf(metadata, "annotations", schedulerAnnotation, problems);
  if (/^[a-z0-9_]{0,15}$/.test(text)) return intern(text);
  problems.invalid(`metadata.annotations.${schedulerAnnotation}`, text, "must be the name of a scheduler, such as rr");
  return "";
}

function readAffinity(spec: Fields, problems: Problems): number {
  const kind = problems.oneOf("spec.sessionAffinity", spec.sessionAffinity, ["None", "ClientIP"], "None");
  const config = problems.fields("spec.sessionAffinityConfig", spec.sessionAffinityConfig);
  const path = "spec.sessionAffinityConfig.clientIP";
  const seconds = problems.fields(path, config.clientIP).timeoutSeconds;
  const timeout = problems.integer(`${path}.timeoutSeconds`, seconds, 1, 86400, defaultAffinitySeconds);
  return kind === "ClientIP" ? timeout : 0;
}
