/** Nodes and ServiceCIDRs, reduced to what service networking uses. */
import type { Address } from "../../net/address.ts";
import { type Prefix, prefixFamily } from "../../net/prefix.ts";
import { type Fields, Problems } from "./fields.ts";
import { labelOf } from "./metadata.ts";
import type { Projected, Resource } from "./resource.ts";

/** The node that an agent runs on (`v1.Node`). */
export interface Node {
  readonly kind: "Node";
  readonly name: string;
  readonly uid: string;
  /** Addresses of type InternalIP, then ExternalIP, in the order of `status.addresses`. */
  readonly addresses: readonly Address[];
  readonly podCIDRs: readonly Prefix[];
  /** Label `topology.kubernetes.io/zone`; empty where there is none. */
  readonly zone: string;
  /** True once `metadata.deletionTimestamp` is set. */
  readonly deleting: boolean;
  /** Keys of `spec.taints`. */
  readonly taints: readonly string[];
}

/** A range of cluster IPs (`networking.k8s.io/v1` ServiceCIDR). */
export interface ServiceCIDR {
  readonly kind: "ServiceCIDR";
  readonly name: string;
  readonly cidrs: readonly Prefix[];
}

/** The label that names the zone of a node. */
export const zoneLabel = "topology.kubernetes.io/zone";

/** Nodes of the API. */
export const nodes: Resource<Node> = {
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  namespaced: false,
  project: projectNode,
};

/** ServiceCIDRs of the API. */
export const serviceCIDRs: Resource<ServiceCIDR> = {
  group: "networking.k8s.io",
  version: "v1",
  kind: "ServiceCIDR",
  plural: "servicecidrs",
  namespaced: false,
  project: projectServiceCIDR,
};

/** Reduces a raw `v1.Node`. */
export function projectNode(raw: unknown): Projected<Node> {
  const problems = new Problems();
  const root = problems.fields("Node", raw);
  const metadata = problems.fields("metadata", root.metadata);
  const spec = problems.fields("spec", root.spec);
  const status = problems.fields("status", root.status);
  const single = spec.podCIDR;
  const podCIDRs = spec.podCIDRs ?? (single === undefined || single === null || single === "" ? [] : [single]);
  const node: Node = {
    kind: "Node",
    name: problems.name("metadata.name", metadata.name, "subdomain"),
    uid: problems.text("metadata.uid", metadata.uid),
    addresses: readAddresses(status, problems),
    podCIDRs: problems.each("spec.podCIDRs", podCIDRs, (path, item) => problems.prefix(path, item)),
    zone: labelOf(metadata, "labels", zoneLabel, problems),
    deleting: (metadata.deletionTimestamp ?? "") !== "",
    taints: problems.each("spec.taints", spec.taints, (path, item) =>
      problems.text(`${path}.key`, problems.fields(path, item).key),
    ),
  };
  return problems.result(() => node);
}

/** Reduces a raw `networking.k8s.io/v1` ServiceCIDR. */
export function projectServiceCIDR(raw: unknown): Projected<ServiceCIDR> {
  const problems = new Problems();
  const root = problems.fields("ServiceCIDR", raw);
  const metadata = problems.fields("metadata", root.metadata);
  const spec = problems.fields("spec", root.spec);
  const cidrs = problems.each("spec.cidrs", spec.cidrs, (path, item) => problems.prefix(path, item));
  if (new Set(cidrs.map(prefixFamily)).size < cidrs.length) {
    problems.invalid("spec.cidrs", cidrs.join(","), "must have one prefix of each family at most");
  }
  const name = problems.name("metadata.name", metadata.name, "subdomain");
  return problems.result(() => ({ kind: "ServiceCIDR", name, cidrs }));
}

function readAddresses(status: Fields, problems: Problems): readonly Address[] {
  const ofType = (type: string) =>
    problems.each("status.addresses", status.addresses, (path, item) => {
      const entry = problems.fields(path, item);
      return entry.type === type ? problems.address(`${path}.address`, entry.address) : undefined;
    });
  return [...new Set([...ofType("InternalIP"), ...ofType("ExternalIP")])];
}
