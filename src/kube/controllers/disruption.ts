/** PodDisruptionBudgets: how many of their pods are healthy, and how many may be evicted. */
import type { Api } from "../server/api.ts";
import { type ApiObject, type JsonObject, numberAt, objectAt, textAt } from "../server/json.ts";
import { isBudgetOf } from "../server/kinds/disruption.ts";
import { amountOf } from "../server/kinds/workloads.ts";
import { timestamp } from "../server/lifecycle.ts";
import { type Action, controllerOf, perform } from "./action.ts";
import { type Controller, keyOfObject, splitKey } from "./loop.ts";
import { conditionOf, isReady, isTerminating } from "./pods.ts";

const resource = "poddisruptionbudgets.policy";

/** What the owners of a budget's pods want in all: their replicas, or why that cannot be known. */
export type Expected = { readonly pods: number } | { readonly failure: string };

/** The status of a budget over its pods. */
export function decideBudget(
  budget: ApiObject,
  pods: readonly ApiObject[],
  expected: Expected,
  now: number,
): JsonObject {
  const { minAvailable, maxUnavailable } = objectAt(budget, "spec");
  const currentHealthy = pods.filter((pod) => isReady(pod) && !isTerminating(pod)).length;
  // A number that must stay needs no owners: the pods that there are count.
  const failure = typeof minAvailable !== "number" && "failure" in expected ? expected.failure : undefined;
  const wanted = "pods" in expected ? expected.pods : 0;
  const expectedPods = typeof minAvailable === "number" ? pods.length : wanted;
  const desiredHealthy =
    maxUnavailable !== undefined
      ? Math.max(0, expectedPods - (amountOf(maxUnavailable, expectedPods, true) ?? 0))
      : (amountOf(minAvailable, expectedPods, true) ?? 0);
  const room = failure === undefined && expectedPods > 0 ? Math.max(0, currentHealthy - desiredHealthy) : 0;
  const observedGeneration = numberAt(budget, ["metadata", "generation"]);
  const status = room > 0 ? "True" : "False";
  const reason = failure !== undefined ? "SyncFailed" : room > 0 ? "SufficientPods" : "InsufficientPods";
  const before = conditionOf(budget, "DisruptionAllowed");
  const lastTransitionTime = textAt(before, "status") === status ? before?.lastTransitionTime : timestamp(now);
  const allowed = {
    type: "DisruptionAllowed",
    status,
    observedGeneration,
    lastTransitionTime,
    reason,
    message: failure ?? "",
  };
  return {
    observedGeneration,
    disruptionsAllowed: room,
    currentHealthy,
    desiredHealthy,
    expectedPods,
    conditions: [allowed],
  };
}

/** The replicas that the owners of pods want in all, each owner once. Pods without an owner count for nothing, as upstream. */
function expectedOf(api: Api, namespace: string, pods: readonly ApiObject[]): Expected {
  const wanted = new Map<string, number>();
  for (const pod of pods) {
    const owner = scalableOwner(api, namespace, pod);
    if (typeof owner === "string") return { failure: owner };
    if (owner !== undefined) wanted.set(owner.metadata.uid, numberAt(owner, ["spec", "replicas"], 1));
  }
  return { pods: [...wanted.values()].reduce((sum, replicas) => sum + replicas, 0) };
}

/** The owner whose replicas a pod is one of: a Deployment rather than its ReplicaSet. A text says why there is none. */
function scalableOwner(api: Api, namespace: string, pod: ApiObject): ApiObject | string | undefined {
  const reference = controllerOf(pod);
  if (reference === undefined) return undefined;
  const { kind, name } = reference;
  if (kind !== "ReplicaSet") return `${String(kind)} ${String(name)} does not implement the scale subresource`;
  const set = api.store.get({ resource: "replicasets.apps", namespace, name: String(name) });
  if (set === undefined) return undefined;
  const above = controllerOf(set);
  const deployment =
    above?.kind === "Deployment"
      ? api.store.get({ resource: "deployments.apps", namespace, name: String(above.name) })
      : undefined;
  return deployment ?? set;
}

/** The controller of PodDisruptionBudgets. */
export function disruptionController(api: Api): Controller {
  const component = "disruption-controller";
  return {
    name: component,
    watches: [resource, "pods", "deployments.apps", "replicasets.apps"],
    keysOf(changed, { object, previous }) {
      if (changed === resource) return [keyOfObject(object)];
      const budgets = api.list(resource, object.metadata.namespace);
      if (budgets.length === 0) return [];
      if (changed !== "pods") {
        const replicas = (set: ApiObject | undefined) => numberAt(set, ["spec", "replicas"], -1);
        return replicas(object) === replicas(previous) ? [] : budgets.map(keyOfObject);
      }
      const concerned = (budget: ApiObject) =>
        isBudgetOf(budget, object) || (previous !== undefined && isBudgetOf(budget, previous));
      return budgets.filter(concerned).map(keyOfObject);
    },
    reconcile(key) {
      const [namespace, name] = splitKey(key);
      const budget = api.store.get({ resource, namespace, name });
      if (budget === undefined) return undefined;
      const pods = api.list("pods", namespace).filter((pod) => isBudgetOf(budget, pod));
      const status = decideBudget(budget, pods, expectedOf(api, namespace, pods), api.now());
      const actions: readonly Action[] = [{ type: "status", resource, object: { ...budget, status } }];
      perform(api, actions, component);
      return undefined;
    },
  };
}
