/** What traces and checks want to know of API objects, beyond what service networking uses. */

import { type EndpointSlice, endpointSlices } from "../../kube/objects/endpointslice.ts";
import { type Fields, isFields, Problems } from "../../kube/objects/fields.ts";
import { nodes } from "../../kube/objects/node.ts";
import type { Projected, Resource } from "../../kube/objects/resource.ts";
import { type Service, services } from "../../kube/objects/service.ts";
import type { Address } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";
import type { Protocol } from "../../net/protocol.ts";

/** The objects of a cluster. */
export interface ClusterObjects {
  readonly services: readonly CheckedService[];
  readonly slices: readonly EndpointSlice[];
  readonly pods: readonly CheckedPod[];
  readonly nodes: readonly CheckedNode[];
}

/** A Service with what it says of its pods. */
export interface CheckedService extends Service {
  /** Empty for Services whose endpoints somebody else writes. */
  readonly selector: Readonly<Record<string, string>>;
  /** `spec.ports[].targetPort` as it is, in the order of `ports`; the port itself where there is none. */
  readonly targetPorts: readonly (number | string)[];
  /** `spec.publishNotReadyAddresses`. */
  readonly publishNotReady: boolean;
}

/** A Pod. */
export interface CheckedPod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Empty until it is scheduled. */
  readonly node: string;
  readonly addresses: readonly Address[];
  readonly hostNetwork: boolean;
  readonly phase: string;
  readonly ready: boolean;
  /** When it was made, and since when it has been ready, or not, in seconds since 1970; absent where it does not say. */
  readonly created?: number;
  readonly readinessSince?: number;
  readonly deleting: boolean;
  readonly ports: readonly { readonly name: string; readonly protocol: Protocol; readonly port: number }[];
}

/** A Node. */
export interface CheckedNode {
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly podCIDRs: readonly Prefix[];
  /** Absent where it has none. */
  readonly zone?: string;
  /** What flannel wrote about its VXLAN; absent without it. */
  readonly flannel?: { readonly mac: string; readonly publicIP: string; readonly vni: number };
}

/** Services for checks. */
export const checkedServices: Resource<CheckedService> = {
  ...services,
  project(raw) {
    const projected = services.project(raw);
    if (projected.outcome !== "object") return projected;
    const spec = fieldsOf(fieldsOf(raw).spec);
    const ports = Array.isArray(spec.ports) ? spec.ports.map(fieldsOf) : [];
    const targetPorts = ports.map(({ targetPort, port }) =>
      typeof targetPort === "string" || (typeof targetPort === "number" && targetPort > 0) ? targetPort : Number(port),
    );
    return {
      outcome: "object",
      object: {
        ...projected.object,
        selector: textsOf(spec.selector),
        targetPorts,
        publishNotReady: spec.publishNotReadyAddresses === true,
      },
    };
  },
};

/** EndpointSlices for checks. */
export const checkedSlices: Resource<EndpointSlice> = endpointSlices;

/** Pods for checks. */
export const checkedPods: Resource<CheckedPod> = {
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  namespaced: true,
  project: projectPod,
};

/** Nodes for checks. */
export const checkedNodes: Resource<CheckedNode> = {
  ...nodes,
  project(raw) {
    const projected = nodes.project(raw);
    if (projected.outcome !== "object") return projected;
    const { name, addresses, podCIDRs, zone } = projected.object;
    const flannel = flannelOf(textsOf(fieldsOf(fieldsOf(raw).metadata).annotations));
    return {
      outcome: "object",
      object: { name, addresses, podCIDRs, ...(zone !== "" && { zone }), ...(flannel && { flannel }) },
    };
  },
};

function projectPod(raw: unknown): Projected<CheckedPod> {
  const problems = new Problems();
  const root = problems.fields("Pod", raw);
  const metadata = problems.fields("metadata", root.metadata);
  const spec = problems.fields("spec", root.spec);
  const status = problems.fields("status", root.status);
  const conditions = problems.list("status.conditions", status.conditions).map(fieldsOf);
  const readiness = conditions.find(({ type }) => type === "Ready");
  const [created, since] = [secondsOf(metadata.creationTimestamp), secondsOf(readiness?.lastTransitionTime)];
  // Restartable init containers serve ports too.
  const containers = [
    ...problems.list("spec.containers", spec.containers),
    ...problems.list("spec.initContainers", spec.initContainers),
  ];
  const pod: CheckedPod = {
    namespace: problems.name("metadata.namespace", metadata.namespace, "label"),
    name: problems.name("metadata.name", metadata.name, "subdomain"),
    labels: textsOf(metadata.labels),
    node: problems.text("spec.nodeName", spec.nodeName),
    addresses: problems.each("status.podIPs", status.podIPs, (path, item) =>
      problems.address(`${path}.ip`, problems.fields(path, item).ip),
    ),
    hostNetwork: spec.hostNetwork === true,
    phase: problems.text("status.phase", status.phase),
    ready: readiness?.status === "True",
    ...(created !== undefined && { created }),
    ...(since !== undefined && { readinessSince: since }),
    deleting: (metadata.deletionTimestamp ?? "") !== "",
    ports: containers.map(fieldsOf).flatMap((container) =>
      problems.each("spec.containers[].ports", container.ports, (path, item) => {
        const entry = problems.fields(path, item);
        return {
          name: problems.text(`${path}.name`, entry.name),
          protocol: problems.protocol(`${path}.protocol`, entry.protocol),
          port: problems.integer(`${path}.containerPort`, entry.containerPort, 1, 65535, 0),
        };
      }),
    ),
  };
  return problems.result(() => pod);
}

/** A time as the API writes it, in seconds since 1970. */
function secondsOf(time: unknown): number | undefined {
  const seconds = typeof time === "string" ? Math.floor(Date.parse(time) / 1000) : Number.NaN;
  return seconds >= 0 ? seconds : undefined;
}

/** What flannel's backend `vxlan` writes into annotations of the Node. */
function flannelOf(annotations: Readonly<Record<string, string>>): CheckedNode["flannel"] {
  const { "flannel.alpha.coreos.com/backend-data": data, "flannel.alpha.coreos.com/public-ip": publicIP } = annotations;
  if (data === undefined || publicIP === undefined) return undefined;
  try {
    const { VtepMAC: mac, VNI: vni } = fieldsOf(JSON.parse(data));
    return typeof mac === "string" && typeof vni === "number" ? { mac: mac.toLowerCase(), publicIP, vni } : undefined;
  } catch {
    return undefined;
  }
}

/** The fields of an object; none of anything else. */
export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : {};
}

/** The fields that are strings, as of labels. */
export function textsOf(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(fieldsOf(value)).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}
