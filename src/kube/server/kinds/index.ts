/** Every kind that the server serves. */
import { lease, namespace, node } from "./cluster.ts";
import { configMap, secret, serviceAccount } from "./config.ts";
import { endpointSlice, endpoints } from "./endpoints.ts";
import { event, newEvent } from "./event.ts";
import { type Kind, resourceOf } from "./kind.ts";
import { ingress, ingressClass, ipAddress, serviceCIDR } from "./networking.ts";
import { pod } from "./pod.ts";
import { clusterRole, clusterRoleBinding, role, roleBinding } from "./rbac.ts";
import { service } from "./service.ts";
import { controllerRevision, daemonSet, deployment, replicaSet } from "./workloads.ts";

/** All kinds, in the order of discovery. Of several versions of a kind, the stored one comes first. */
export const kinds: readonly Kind[] = [
  namespace,
  node,
  pod,
  service,
  endpoints,
  configMap,
  secret,
  serviceAccount,
  event,
  deployment,
  replicaSet,
  daemonSet,
  controllerRevision,
  endpointSlice,
  ingress,
  ingressClass,
  serviceCIDR,
  ipAddress,
  lease,
  role,
  roleBinding,
  clusterRole,
  clusterRoleBinding,
  newEvent,
];

const byResource = new Map(kinds.map((kind) => [resourceOf(kind), kind]));

/** The kind of a resource such as `services` or `deployments.apps`, or undefined. */
export function kindOf(resource: string): Kind | undefined {
  return byResource.get(resource);
}

/** The kind that a path of the API names, or undefined. */
export function findKind(group: string, version: string, plural: string): Kind | undefined {
  const kind = byResource.get(group === "" ? plural : `${plural}.${group}`);
  return kind?.version === version ? kind : undefined;
}
