/** Every kind that is built in. */
import { lease, namespace, node } from "./cluster.ts";
import { configMap, secret, serviceAccount } from "./config.ts";
import { customResourceDefinition } from "./definition.ts";
import { podDisruptionBudget } from "./disruption.ts";
import { endpointSlice, endpoints } from "./endpoints.ts";
import { event, newEvent } from "./event.ts";
import { ingress, ingressClass } from "./ingress.ts";
import type { Kind } from "./kind.ts";
import { pod } from "./pod.ts";
import { clusterRole, clusterRoleBinding, role, roleBinding } from "./rbac.ts";
import { service } from "./service.ts";
import { ipAddress, serviceCIDR } from "./servicecidr.ts";
import { KindSet } from "./set.ts";
import { controllerRevision, daemonSet, deployment, replicaSet } from "./workloads.ts";

/** They, in the order of discovery. Of several versions of a kind, the stored one comes first. */
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
  podDisruptionBudget,
  lease,
  role,
  roleBinding,
  clusterRole,
  clusterRoleBinding,
  newEvent,
  customResourceDefinition,
];

/** The kinds that are built in, as every server begins. */
export const builtIn = new KindSet(kinds);

/** The kinds that are built in, with others. */
export function withKinds(others: readonly Kind[]): KindSet {
  return others.length === 0 ? builtIn : new KindSet([...kinds, ...others]);
}
