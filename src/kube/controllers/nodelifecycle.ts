/** Nodes that are not heard of: nothing more comes to them, and their pods are not ready, so that no traffic goes there. */
import { type Api, internal } from "../server/api.ts";
import { type ApiObject, isObject, type JsonObject, listAt, objectAt, textAt } from "../server/json.ts";
import { timestamp } from "../server/lifecycle.ts";
import { type Action, needKind, perform } from "./action.ts";
import { type Controller, keyOfObject } from "./loop.ts";
import { conditionOf, hasEnded, isReady, nodeOf } from "./pods.ts";

/** The taints of a node by the status of its condition Ready: none is `True`. */
const taintOf: Readonly<Record<string, string>> = {
  False: "node.kubernetes.io/not-ready",
  Unknown: "node.kubernetes.io/unreachable",
};
const effects = ["NoSchedule", "NoExecute"];
/** The taint of a node that was cordoned. */
const cordoned = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** The taints that a node should have, or undefined if it has them. One that has said nothing yet is not taken for lost. */
export function decideTaints(node: ApiObject, now: number): readonly JsonObject[] | undefined {
  const status = textAt(conditionOf(node, "Ready"), "status");
  const present = listAt(node, "spec", "taints").filter(isObject);
  const ours = [cordoned.key, ...(status === "" ? [] : Object.values(taintOf))];
  const lost = taintOf[status];
  const wanted = [
    ...(lost === undefined ? [] : effects.map((effect) => ({ key: lost, effect }))),
    ...(objectAt(node, "spec").unschedulable === true ? [cordoned] : []),
  ];
  const has = (taints: readonly JsonObject[], { key, effect }: JsonObject) =>
    taints.some((taint) => taint.key === key && taint.effect === effect);
  const kept = present.filter((taint) => !ours.includes(textAt(taint, "key")) || has(wanted, taint));
  const missing = wanted.filter((taint) => !has(kept, taint));
  if (missing.length === 0) return kept.length === present.length ? undefined : kept;
  return [...kept, ...missing.map((taint) => ({ ...taint, timeAdded: timestamp(now) }))];
}

/** True if a node is not ready, or not heard of. */
function isLost(node: ApiObject): boolean {
  return taintOf[textAt(conditionOf(node, "Ready"), "status")] !== undefined;
}

/** The pods of a node that is not heard of as they should be: those that are ready are so no more. */
export function decidePods(node: ApiObject, pods: readonly ApiObject[], now: number): readonly Action[] {
  if (!isLost(node)) return [];
  return pods
    .filter((pod) => isReady(pod) && !hasEnded(pod))
    .map((pod) => {
      const conditions = listAt(pod, "status", "conditions")
        .filter(isObject)
        .map((condition) =>
          condition.type === "Ready"
            ? { ...condition, status: "False", reason: "NodeNotReady", lastTransitionTime: timestamp(now) }
            : condition,
        );
      return {
        type: "status",
        resource: "pods",
        object: { ...pod, status: { ...objectAt(pod, "status"), conditions } },
      };
    });
}

/**
 * The controller of nodes that come and go. Its keys are their names. Who tells that a node is not heard of any more
 * sets its condition Ready; pods are not evicted, for on one machine nodes come back or are deleted.
 */
export function nodeLifecycleController(api: Api): Controller {
  const component = "node-lifecycle-controller";
  return {
    name: component,
    watches: ["nodes", "pods"],
    keysOf(resource, { type, object, previous }) {
      if (type === "DELETED") return [];
      if (resource === "nodes") return [keyOfObject(object)];
      // A pod that says that it is ready, or that comes to a node, is looked at again.
      if (nodeOf(object) === "" || !isReady(object) || (previous !== undefined && isReady(previous))) return [];
      const node = api.store.get({ resource: "nodes", namespace: "", name: nodeOf(object) });
      return node !== undefined && isLost(node) ? [`/${nodeOf(object)}`] : [];
    },
    reconcile(key) {
      const node = api.store.get({ resource: "nodes", namespace: "", name: key.slice(1) });
      if (node === undefined) return undefined;
      const taints = decideTaints(node, api.now());
      if (taints !== undefined) {
        const { taints: _, ...rest } = objectAt(node, "spec");
        const spec = taints.length === 0 ? rest : { ...rest, taints };
        api.update(needKind(api, "nodes"), "", node.metadata.name, { ...node, spec }, "", internal);
      }
      if (!isLost(node)) return undefined;
      const pods = api.list("pods").filter((pod) => nodeOf(pod) === node.metadata.name);
      perform(api, decidePods(node, pods, api.now()), component);
      return undefined;
    },
  };
}
