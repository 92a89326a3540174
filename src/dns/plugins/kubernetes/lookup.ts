/** What a name below the zone means, and what is found under it (Kubernetes DNS-Based Service Discovery 1.1.0). */
import { type Address, tryParseAddress } from "../../../net/address.ts";
import { labelsOf } from "../../wire/names.ts";
import type { Directory } from "./directory.ts";
import type { DnsEndpoint, NamedPort } from "./objects.ts";

/** How names of pods (`1-2-3-4.namespace.pod`) are answered. */
export type PodMode = "disabled" | "insecure" | "verified";

/** What lookups depend on beside the directory. */
export interface LookupOptions {
  readonly pods: PodMode;
  /** Services without ready endpoints do not exist. */
  readonly ignoreEmpty: boolean;
  /** Endpoints are not watched: their names do not exist. */
  readonly noEndpoints: boolean;
  /** Empty: all. */
  readonly namespaces: ReadonlySet<string>;
}

/** A name, taken apart. Parts are empty where the name has none. */
export interface ClusterName {
  readonly kind: "apex" | "service" | "pod";
  readonly namespace: string;
  /** Of a pod: its address with dashes. */
  readonly name: string;
  /** `name.namespace` */
  readonly key: string;
  readonly endpoint: string;
  readonly port: string;
  readonly protocol: string;
}

/** One address and port that a name leads to. */
export interface Item {
  readonly address: Address;
  readonly port: number;
  /** The name of this address without the zone: `web.default.svc`, `host.web.default.svc`. */
  readonly target: string;
}

/** What is found under a name. `nothing` means that it does not exist. */
export type Found =
  | { readonly kind: "nothing" }
  | { readonly kind: "alias"; readonly host: string }
  | { readonly kind: "items"; readonly items: readonly Item[] };

const nothing: Found = { kind: "nothing" };
const noItems: Found = { kind: "items", items: [] };

/**
 * Takes a name apart, from right to left: `[[_port._protocol.|endpoint.]service.]namespace.svc` or
 * `[address.]namespace.pod`.
 *
 * @param base the name in lower case, without the zone and without a final dot.
 * @returns undefined for names that can never exist.
 */
export function parseClusterName(base: string): ClusterName | undefined {
  const plain = parsePlain(base);
  if (plain !== undefined) return plain;
  if (base === "" || base === "svc" || base === "pod") return name("apex");
  const labels = labelsOf(base);
  const last = labels.at(-1);
  if (last !== "svc" && last !== "pod") return undefined;
  const kind = last === "svc" ? "service" : "pod";
  const [namespace = "", service = "", ...rest] = labels.reverse().slice(1);
  switch (rest.length) {
    case 0:
      return name(kind, namespace, service);
    case 1:
      return name(kind, namespace, service, rest[0]);
    case 2:
      return name(kind, namespace, service, "", withoutUnderscore(rest[1]), withoutUnderscore(rest[0]));
    default:
      return undefined;
  }
}

/** `service.namespace.svc`, which most queries are for: without taking all labels apart. */
function parsePlain(base: string): ClusterName | undefined {
  const end = base.length - ".svc".length;
  const dot = base.indexOf(".");
  if (dot <= 0 || base.indexOf(".", dot + 1) !== end || !base.endsWith(".svc") || base.includes("\\")) return undefined;
  return {
    kind: "service",
    namespace: base.slice(dot + 1, end),
    name: base.slice(0, dot),
    key: base.slice(0, end),
    endpoint: "",
    port: "",
    protocol: "",
  };
}

function name(
  kind: ClusterName["kind"],
  namespace = "",
  service = "",
  endpoint = "",
  port = "",
  protocol = "",
): ClusterName {
  return { kind, namespace, name: service, key: `${service}.${namespace}`, endpoint, port, protocol };
}

function withoutUnderscore(label = ""): string {
  return label.startsWith("_") ? label.slice(1) : label;
}

/** True if names of this namespace are answered. */
export function isExposed(directory: Directory, options: LookupOptions, namespace: string): boolean {
  return directory.hasNamespace(namespace) && (options.namespaces.size === 0 || options.namespaces.has(namespace));
}

/** Finds what is under a name. */
export function find(directory: Directory, options: LookupOptions, cluster: ClusterName): Found {
  if (cluster.kind === "apex") return noItems;
  if (!isExposed(directory, options, cluster.namespace)) return nothing;
  if (cluster.kind === "pod") return findPod(directory, options, cluster);
  return cluster.name === "" ? noItems : findService(directory, options, cluster);
}

function findPod(directory: Directory, options: LookupOptions, { namespace, name }: ClusterName): Found {
  if (options.pods === "disabled") return nothing;
  if (name === "") return noItems;
  const four = name.split("-").length === 4 && !name.includes("--");
  const address = tryParseAddress(name.replaceAll("-", four ? "." : ":"));
  if (address === undefined) return nothing;
  if (options.pods === "verified" && !directory.podsByIP(address).some((pod) => pod.namespace === namespace)) {
    return nothing;
  }
  return { kind: "items", items: [{ address, port: -1, target: `${name}.${namespace}.pod` }] };
}

function findService(directory: Directory, options: LookupOptions, cluster: ClusterName): Found {
  const { key } = cluster;
  const service = directory.service(key);
  if (service === undefined) return nothing;
  const plain = cluster.endpoint === "" && cluster.port === "" && cluster.protocol === "";
  if (service.kind === "externalName") {
    if (!plain || tryParseAddress(service.externalName) !== undefined) return nothing;
    return { kind: "alias", host: service.externalName };
  }
  if (service.kind === "headless" || cluster.endpoint !== "") return findEndpoints(directory, options, cluster, key);
  if (options.ignoreEmpty && directory.slices(key).every(({ endpoints }) => endpoints.length === 0)) return nothing;
  const items: Item[] = [];
  let matched = false;
  for (const port of service.ports) {
    if (!matches(cluster, port)) continue;
    matched = true;
    for (const address of service.clusterIPs) items.push({ address, port: port.port, target: `${key}.svc` });
  }
  return matched ? { kind: "items", items } : nothing;
}

function findEndpoints(directory: Directory, options: LookupOptions, cluster: ClusterName, key: string): Found {
  if (options.noEndpoints) return nothing;
  const items: Item[] = [];
  for (const { endpoints, ports } of directory.slices(key)) {
    for (const endpoint of endpoints) {
      const hostname = endpointName(endpoint);
      if (cluster.endpoint !== "" && cluster.endpoint !== hostname.toLowerCase()) continue;
      for (const port of ports) {
        if (matches(cluster, port))
          items.push({ address: endpoint.address, port: port.port, target: `${hostname}.${key}.svc` });
      }
    }
  }
  return items.length > 0 ? { kind: "items", items } : nothing;
}

function matches(cluster: ClusterName, port: NamedPort): boolean {
  if (cluster.port !== "" && cluster.port !== port.name.toLowerCase()) return false;
  return cluster.protocol === "" || cluster.protocol === port.protocol.toLowerCase();
}

/** The label of an endpoint: its own, or its address with dashes. */
export function endpointName({ hostname, address }: DnsEndpoint): string {
  if (hostname !== "") return hostname;
  const dashed = address.replace(/[.:]/g, "-");
  return dashed.endsWith("-") ? `${dashed}0` : dashed;
}
