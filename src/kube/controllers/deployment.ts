/** Deployments: pods of the current template take the place of those of older ones, step by step. */
import type { Api } from "../server/api.ts";
import { type ApiObject, type JsonObject, numberAt, objectAt, sameJson, textAt, without } from "../server/json.ts";
import { type Action, controlledBy, controllerOf, isControlledBy, perform } from "./action.ts";
import { claim } from "./claim.ts";
import { availableOf, isComplete, isRecreate, replicasOf, rollingLimits, statusOf, sum } from "./deploymentstatus.ts";
import { LabelIndex } from "./labelindex.ts";
import { type Controller, keyOfObject, splitKey } from "./loop.ts";
import { ownerOf } from "./occupancy.ts";
import { isTerminating, templateHash } from "./pods.ts";
import type { Decision } from "./replicaset.ts";

const revisionKey = "deployment.kubernetes.io/revision";
const historyKey = "deployment.kubernetes.io/revision-history";
const hashLabel = "pod-template-hash";
const resource = "replicasets.apps";

const revisionOf = (object: JsonObject) => Number(textAt(object, "metadata", "annotations", revisionKey) || 0);

/** What to do about a Deployment. `sets` are the ReplicaSets that it controls, `pods` how many pods of old ones there are, ending ones included. */
export function decideDeployment(
  deployment: ApiObject,
  sets: readonly ApiObject[],
  oldPods: number,
  now: number,
): Decision {
  if (deployment.metadata.deletionTimestamp !== undefined)
    return { actions: [statusOf(deployment, sets, undefined, now)] };
  const current = sets.find((set) => sameJson(templateOf(set), templateOf(deployment)));
  const old = sets.filter((set) => set !== current);
  const paused = objectAt(deployment, "spec").paused === true;
  const actions: Action[] = [];
  if (paused) actions.push(...scaleTogether(deployment, sets));
  else if (current === undefined) {
    actions.push(...prepareFirst(deployment, old, oldPods));
  } else {
    actions.push(...renumber(deployment, current, old));
    actions.push(
      ...(isRecreate(deployment) ? recreate(deployment, current, old, oldPods) : roll(deployment, current, old)),
    );
    actions.push(...forget(deployment, old));
  }
  // Several changes of one set become one write.
  const merged = mergeUpdates(actions);
  const status = statusOf(deployment, sets, current, now);
  const deadline = numberAt(deployment, ["spec", "progressDeadlineSeconds"], 600) * 1000;
  return {
    actions: [...merged, status],
    ...(isComplete(deployment, sets, current) || paused ? {} : { again: deadline + 1000 }),
  };
}

/** The template without the label that tells ReplicaSets apart. */
function templateOf(object: ApiObject): JsonObject {
  const template = objectAt(object, "spec", "template");
  const metadata = objectAt(template, "metadata");
  const rest = without(objectAt(metadata, "labels"), hashLabel);
  return { ...template, metadata: { ...without(metadata, "creationTimestamp"), labels: rest } };
}

/** Annotations that a ReplicaSet has from its Deployment. */
function annotationsOf(deployment: ApiObject, revision: number, before: JsonObject): JsonObject {
  const own = without(
    objectAt(deployment, "metadata", "annotations"),
    "kubectl.kubernetes.io/last-applied-configuration",
    revisionKey,
  );
  return { ...before, ...own, [revisionKey]: String(revision) };
}

/** Makes the ReplicaSet of the current template; a Recreate waits until the old pods are gone. */
function prepareFirst(deployment: ApiObject, old: readonly ApiObject[], oldPods: number): readonly Action[] {
  const recreating = isRecreate(deployment);
  const downs = recreating ? old.filter((set) => replicasOf(set) > 0).map((set) => scaled(deployment, set, 0)) : [];
  if (recreating && (oldPods > 0 || sum(old, replicasOf) > 0)) return downs.flat();
  const template = objectAt(deployment, "spec", "template");
  const hash = templateHash(templateOf(deployment));
  const label = { [hashLabel]: hash };
  const metadata = objectAt(template, "metadata");
  const labels = { ...objectAt(metadata, "labels"), ...label };
  const selector = objectAt(deployment, "spec", "selector");
  const { surge } = rollingLimits(deployment);
  const wanted = replicasOf(deployment);
  const room = Math.max(0, wanted + surge - sum(old, replicasOf));
  const replicas = recreating || old.length === 0 ? wanted : Math.min(wanted, room);
  const revision = Math.max(0, ...old.map(revisionOf)) + 1;
  const name = `${deployment.metadata.name}-${hash}`;
  const minReadySeconds = numberAt(deployment, ["spec", "minReadySeconds"]);
  const object: JsonObject = {
    metadata: {
      name,
      labels,
      annotations: annotationsOf(deployment, revision, {}),
      ownerReferences: [controlledBy(deployment)],
    },
    spec: {
      replicas,
      ...(minReadySeconds > 0 ? { minReadySeconds } : {}),
      selector: { ...selector, matchLabels: { ...objectAt(selector, "matchLabels"), ...label } },
      template: { ...template, metadata: { ...metadata, labels } },
    },
  };
  const message = `Scaled up replica set ${name} from 0 to ${replicas}`;
  return [
    { type: "create", resource, namespace: deployment.metadata.namespace ?? "", object },
    ...withRevision(deployment, revision),
    ...(replicas > 0 ? [{ type: "event", about: deployment, reason: "ScalingReplicaSet", message } as const] : []),
  ];
}

function withRevision(deployment: ApiObject, revision: number): readonly Action[] {
  if (revisionOf(deployment) === revision) return [];
  const annotations = { ...objectAt(deployment, "metadata", "annotations"), [revisionKey]: String(revision) };
  return [
    {
      type: "update",
      resource: "deployments.apps",
      object: { ...deployment, metadata: { ...deployment.metadata, annotations } },
    },
  ];
}

/** The current set has the highest revision, also when it is an old one to which the Deployment went back. */
function renumber(deployment: ApiObject, current: ApiObject, old: readonly ApiObject[]): readonly Action[] {
  const highest = Math.max(0, ...old.map(revisionOf));
  const before = revisionOf(current);
  const revision = before > highest ? before : highest + 1;
  const present = objectAt(current, "metadata", "annotations");
  const history = [textAt(present, historyKey), String(before)].filter((part) => part !== "").join(",");
  const annotations = annotationsOf(
    deployment,
    revision,
    revision === before || before === 0 ? present : { ...present, [historyKey]: history },
  );
  const same = sameJson(annotations, present);
  const actions: Action[] = same
    ? []
    : [{ type: "update", resource, object: { ...current, metadata: { ...current.metadata, annotations } } }];
  return [...actions, ...withRevision(deployment, revision)];
}

/** A set with another number of replicas, and the event that tells it. */
function scaled(deployment: ApiObject, set: ApiObject, replicas: number): readonly Action[] {
  const before = replicasOf(set);
  if (before === replicas) return [];
  const object = { ...set, spec: { ...objectAt(set, "spec"), replicas } };
  const direction = replicas > before ? "up" : "down";
  const message = `Scaled ${direction} replica set ${set.metadata.name} from ${before} to ${replicas}`;
  return [
    { type: "update", resource, object },
    { type: "event", about: deployment, reason: "ScalingReplicaSet", message },
  ];
}

/** One step of a rolling update: as many new pods as the surge allows, as few old ones as availability allows. */
function roll(deployment: ApiObject, current: ApiObject, old: readonly ApiObject[]): readonly Action[] {
  const wanted = replicasOf(deployment);
  const { surge, unavailable } = rollingLimits(deployment);
  const total = sum([current, ...old], replicasOf);
  const now = replicasOf(current);
  const next = now > wanted ? wanted : now + Math.max(0, Math.min(wanted - now, wanted + surge - total));
  const actions: Action[] = [...scaled(deployment, current, next)];
  if (sum(old, replicasOf) === 0 || next > now) return actions;
  const minimum = wanted - unavailable;
  const unready = now - availableOf(current);
  let spare = total - minimum - unready;
  if (spare <= 0) return actions;
  // Pods of old sets that are not available go first: nobody misses them.
  const order = [...old].sort((a, b) => revisionOf(a) - revisionOf(b));
  const left = new Map(order.map((set) => [set, replicasOf(set)]));
  for (const set of order) {
    const cut = Math.min(spare, Math.max(0, replicasOf(set) - availableOf(set)));
    left.set(set, replicasOf(set) - cut);
    spare -= cut;
  }
  let healthy = sum([current, ...old], availableOf) - minimum;
  for (const set of order) {
    const rest = left.get(set) ?? 0;
    const cut = Math.min(Math.max(0, healthy), rest, Math.max(0, spare));
    left.set(set, rest - cut);
    healthy -= cut;
    spare -= cut;
  }
  for (const [set, replicas] of left) actions.push(...scaled(deployment, set, replicas));
  return actions;
}

function recreate(
  deployment: ApiObject,
  current: ApiObject,
  old: readonly ApiObject[],
  oldPods: number,
): readonly Action[] {
  const downs = old.flatMap((set) => scaled(deployment, set, 0));
  return downs.length > 0 || oldPods > 0 ? downs : scaled(deployment, current, replicasOf(deployment));
}

/** While a Deployment is paused its sets still follow its number of replicas; the newest takes the difference. */
function scaleTogether(deployment: ApiObject, sets: readonly ApiObject[]): readonly Action[] {
  const newest = [...sets].sort((a, b) => revisionOf(b) - revisionOf(a))[0];
  if (newest === undefined) return [];
  const difference = replicasOf(deployment) - sum(sets, replicasOf);
  return scaled(deployment, newest, Math.max(0, replicasOf(newest) + difference));
}

/** Empty old sets beyond the limit of the history go, oldest first. */
function forget(deployment: ApiObject, old: readonly ApiObject[]): readonly Action[] {
  const limit = numberAt(deployment, ["spec", "revisionHistoryLimit"], 10);
  const empty = old.filter(
    (set) => replicasOf(set) === 0 && numberAt(set, ["status", "replicas"]) === 0 && !isTerminating(set),
  );
  const excess = empty.sort((a, b) => revisionOf(a) - revisionOf(b)).slice(0, Math.max(0, empty.length - limit));
  return excess.map((object) => ({ type: "delete", resource, object }));
}

/** Two updates of one object in a row become one: the second has what the first changed. */
function mergeUpdates(actions: readonly Action[]): readonly Action[] {
  const merged: Action[] = [];
  for (const action of actions) {
    const i = merged.findIndex(
      (other) =>
        action.type === "update" &&
        other.type === "update" &&
        other.resource === action.resource &&
        other.object.metadata.uid === action.object.metadata.uid,
    );
    const earlier = merged[i];
    if (earlier?.type !== "update" || action.type !== "update") merged.push(action);
    else merged[i] = { ...action, object: { ...action.object, metadata: earlier.object.metadata } };
  }
  return merged;
}

/** The controller of Deployments. */
export function deploymentController(api: Api): Controller {
  const component = "deployment-controller";
  const owned = new LabelIndex((set) => ({ owner: ownerOf(set) }));
  return {
    name: component,
    watches: ["deployments.apps", "replicasets.apps", "pods"],
    keysOf(kind, change) {
      const { type, object, previous } = change;
      if (kind === "deployments.apps") return [keyOfObject(object)];
      if (kind === "pods") {
        // Only the end of a pod matters here: a Recreate waits for it.
        const set = type === "DELETED" ? controllerOf(object) : undefined;
        const owner =
          set === undefined
            ? undefined
            : api.store.get({ resource, namespace: object.metadata.namespace ?? "", name: String(set.name) });
        return owner === undefined ? [] : ownerKeys(owner);
      }
      owned.note(change);
      const owners = [object, previous].flatMap((set) => (set === undefined ? [] : ownerKeys(set)));
      if (controllerOf(object) !== undefined || type === "DELETED") return owners;
      return [...owners, ...api.list("deployments.apps", object.metadata.namespace).map(keyOfObject)];
    },
    reconcile(key) {
      const [namespace, name] = splitKey(key);
      const deployment = api.store.get({ resource: "deployments.apps", namespace, name });
      if (deployment === undefined) return undefined;
      const names = [deployment.metadata.uid, ""].flatMap((owner) => owned.withAny(namespace, { owner }));
      const candidates = names.flatMap((set) => api.store.get({ resource, namespace, name: set }) ?? []);
      const { mine: sets, actions } = claim(resource, deployment, candidates);
      perform(api, actions, component);
      // Sets that come or go bring it here again.
      if (actions.length > 0) return undefined;
      const wanted = templateOf(deployment);
      const old = isRecreate(deployment) ? sets.filter((set) => !sameJson(templateOf(set), wanted)) : [];
      const oldPods =
        old.length === 0
          ? 0
          : api.list("pods", namespace).filter((pod) => old.some((set) => isControlledBy(pod, set))).length;
      const decision = decideDeployment(deployment, sets, oldPods, api.now());
      // An update of the Deployment itself brings it here again: its status is written then, on top of that.
      const updated = decision.actions.some(
        (action) => action.type === "update" && action.resource === "deployments.apps",
      );
      perform(
        api,
        updated ? decision.actions.filter((action) => action.type !== "status") : decision.actions,
        component,
      );
      return decision.again;
    },
  };
}

function ownerKeys(object: ApiObject): readonly string[] {
  const owner = controllerOf(object);
  return owner?.kind === "Deployment" ? [`${object.metadata.namespace ?? ""}/${String(owner.name)}`] : [];
}
