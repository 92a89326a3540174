/** ReplicaSets: as many pods as are wanted. */
import type { Api } from "../server/api.ts";
import { type ApiObject, type JsonObject, numberAt, objectAt } from "../server/json.ts";
import { requirementsOf, selects } from "../server/select/labels.ts";
import { type Action, controlledBy, controllerOf, perform } from "./action.ts";
import { claim } from "./claim.ts";
import { LabelIndex } from "./labelindex.ts";
import { type Controller, keyOfObject, splitKey } from "./loop.ts";
import { ownerOf } from "./occupancy.ts";
import { availableIn, byExpendability, isActive, isReady, isTerminating, podOf } from "./pods.ts";

/** What a controller does, and when to look again (milliseconds). */
export interface Decision {
  readonly actions: readonly Action[];
  readonly again?: number;
}

/** Pods that may be made in one go: more follow as soon as others had their turn. */
const burst = 100;

/** What to do about a ReplicaSet. `pods` are those that it controls. */
export function decideReplicaSet(set: ApiObject, pods: readonly ApiObject[], now: number): Decision {
  const actions: Action[] = [];
  const mine = pods.filter(isActive);
  if (!isTerminating(set)) {
    const missing = numberAt(set, ["spec", "replicas"]) - mine.length;
    const template = objectAt(set, "spec", "template");
    const namespace = set.metadata.namespace ?? "";
    for (let i = 0; i < Math.min(missing, burst); i++) {
      const object = podOf(template, controlledBy(set), `${set.metadata.name}-`);
      actions.push({ type: "create", resource: "pods", namespace, object, of: set });
    }
    const surplus = missing < 0 ? [...mine].sort(byExpendability(now)).slice(0, -missing) : [];
    for (const object of surplus) actions.push({ type: "delete", resource: "pods", object, of: set });
  }
  const minimum = numberAt(set, ["spec", "minReadySeconds"]);
  const waits = mine.map((pod) => availableIn(pod, minimum, now));
  const pending = waits.filter((wait): wait is number => wait !== undefined && wait > 0);
  const labels = requirementsOf({ matchLabels: objectAt(set, "spec", "template", "metadata", "labels") });
  const status: JsonObject = {
    ...objectAt(set, "status"),
    replicas: mine.length,
    fullyLabeledReplicas: mine.filter((pod) => selects(labels, objectAt(pod, "metadata", "labels"))).length,
    readyReplicas: mine.filter(isReady).length,
    availableReplicas: waits.filter((wait) => wait === 0).length,
    observedGeneration: numberAt(set, ["metadata", "generation"]),
  };
  actions.push({ type: "status", resource: "replicasets.apps", object: { ...set, status: withoutZeros(status) } });
  return { actions, ...(pending.length > 0 ? { again: Math.min(...pending) + 10 } : {}) };
}

/** Counts that are zero are left out, as they are upstream; `replicas` always stays. */
export function withoutZeros(status: JsonObject, kept: readonly string[] = ["replicas"]): JsonObject {
  return Object.fromEntries(Object.entries(status).filter(([name, value]) => value !== 0 || kept.includes(name)));
}

/** The controller of ReplicaSets. */
export function replicaSetController(api: Api): Controller {
  const component = "replicaset-controller";
  // Pods by their controller; those without one may be adopted.
  const owned = new LabelIndex((pod) => ({ owner: ownerOf(pod) }));
  return {
    name: component,
    watches: ["replicasets.apps", "pods"],
    keysOf(resource, change) {
      const { object, previous } = change;
      if (resource === "replicasets.apps") return [keyOfObject(object)];
      owned.note(change);
      const namespace = object.metadata.namespace ?? "";
      const owners = [object, previous].flatMap((pod) => (pod === undefined ? [] : [controllerOf(pod)]));
      const named = owners.flatMap((owner) =>
        owner?.kind === "ReplicaSet" ? [`${namespace}/${String(owner.name)}`] : [],
      );
      if (controllerOf(object) !== undefined) return named;
      return [...named, ...api.list("replicasets.apps", namespace).map(keyOfObject)];
    },
    reconcile(key) {
      const [namespace, name] = splitKey(key);
      const set = api.store.get({ resource: "replicasets.apps", namespace, name });
      if (set === undefined) return undefined;
      const names = [set.metadata.uid, ""].flatMap((owner) => owned.withAny(namespace, { owner }));
      const pods = names.flatMap((pod) => api.store.get({ resource: "pods", namespace, name: pod }) ?? []);
      const claimed = claim("pods", set, pods.filter(isActive));
      perform(api, claimed.actions, component);
      // Pods that come or go bring the set here again.
      if (claimed.actions.length > 0) return undefined;
      const decision = decideReplicaSet(set, claimed.mine, api.now());
      perform(api, decision.actions, component);
      // Pods that were just made or removed change the status: their changes bring the set here again.
      return decision.again;
    },
  };
}
