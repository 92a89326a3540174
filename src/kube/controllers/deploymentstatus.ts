/** What there is of a Deployment: counts and conditions. Pure. */
import { type ApiObject, type JsonObject, listAt, numberAt, objectAt, textAt } from "../server/json.ts";
import { amountOf } from "../server/kinds/workloads.ts";
import { timestamp } from "../server/lifecycle.ts";
import type { Action } from "./action.ts";
import { conditionOf } from "./pods.ts";
import { withoutZeros } from "./replicaset.ts";

/** Replicas that are wanted. */
export const replicasOf = (object: ApiObject) => numberAt(object, ["spec", "replicas"]);
/** Replicas of a set that are available. */
export const availableOf = (set: ApiObject) => numberAt(set, ["status", "availableReplicas"]);
/** A number summed over sets. */
export const sum = (sets: readonly ApiObject[], of: (set: ApiObject) => number) =>
  sets.reduce((all, set) => all + of(set), 0);

/** True if all old pods end before new ones start. */
export function isRecreate(deployment: ApiObject): boolean {
  return textAt(deployment, "spec", "strategy", "type") === "Recreate";
}

/** Limits of a rolling update: pods that may be too many, and too few. */
export function rollingLimits(deployment: ApiObject): { readonly surge: number; readonly unavailable: number } {
  const replicas = replicasOf(deployment);
  const rolling = objectAt(deployment, "spec", "strategy", "rollingUpdate");
  const surge = amountOf(rolling.maxSurge, replicas, true) ?? 1;
  const unavailable = Math.min(replicas, amountOf(rolling.maxUnavailable, replicas, false) ?? 0);
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

/** True if all pods of the Deployment are of its current template, and available. */
export function isComplete(deployment: ApiObject, sets: readonly ApiObject[], current: ApiObject | undefined): boolean {
  if (current === undefined) return false;
  const wanted = replicasOf(deployment);
  const total = sum(sets, (set) => numberAt(set, ["status", "replicas"]));
  return numberAt(current, ["status", "replicas"]) === wanted && availableOf(current) >= wanted && total === wanted;
}

/** Writes what there is of a Deployment into its status. */
export function statusOf(
  deployment: ApiObject,
  sets: readonly ApiObject[],
  current: ApiObject | undefined,
  now: number,
): Action {
  const total = (member: string) => sum(sets, (set) => numberAt(set, ["status", member]));
  const wanted = replicasOf(deployment);
  const available = total("availableReplicas");
  const before = objectAt(deployment, "status");
  const counts: JsonObject = {
    observedGeneration: numberAt(deployment, ["metadata", "generation"]),
    replicas: total("replicas"),
    updatedReplicas: current === undefined ? 0 : numberAt(current, ["status", "replicas"]),
    readyReplicas: total("readyReplicas"),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sum(sets, replicasOf) - available),
  };
  const enough = available >= wanted - (isRecreate(deployment) ? 0 : rollingLimits(deployment).unavailable);
  const availability = enough
    ? { status: "True", reason: "MinimumReplicasAvailable", message: "Deployment has minimum availability." }
    : {
        status: "False",
        reason: "MinimumReplicasUnavailable",
        message: "Deployment does not have minimum availability.",
      };
  const conditions = [
    condition(deployment, "Available", availability, false, now),
    progress(deployment, sets, current, counts, now),
  ];
  const others = listAt(before, "conditions").filter(
    (item) => !["Available", "Progressing"].includes(textAt(item, "type")),
  );
  const kept = { ...(before.collisionCount === undefined ? {} : { collisionCount: before.collisionCount }) };
  const status = { ...withoutZeros(counts, []), ...kept, conditions: [...conditions, ...others] };
  return { type: "status", resource: "deployments.apps", object: { ...deployment, status } };
}

function progress(
  deployment: ApiObject,
  sets: readonly ApiObject[],
  current: ApiObject | undefined,
  counts: JsonObject,
  now: number,
): JsonObject {
  const name = current?.metadata.name ?? "";
  const before = conditionOf(deployment, "Progressing");
  if (isComplete(deployment, sets, current)) {
    const message = `ReplicaSet "${name}" has successfully progressed.`;
    return condition(
      deployment,
      "Progressing",
      { status: "True", reason: "NewReplicaSetAvailable", message },
      false,
      now,
    );
  }
  const status = objectAt(deployment, "status");
  const moved =
    numberAt(status, ["observedGeneration"]) !== counts.observedGeneration ||
    ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"].some(
      (member) => numberAt(status, [member]) !== counts[member],
    );
  const deadline = numberAt(deployment, ["spec", "progressDeadlineSeconds"], 600) * 1000;
  const last = Date.parse(textAt(before, "lastUpdateTime"));
  const late = !moved && before !== undefined && !Number.isNaN(last) && now - last > deadline;
  if (late || (!moved && textAt(before, "reason") === "ProgressDeadlineExceeded")) {
    const message = `ReplicaSet "${name}" has timed out progressing.`;
    return condition(
      deployment,
      "Progressing",
      { status: "False", reason: "ProgressDeadlineExceeded", message },
      false,
      now,
    );
  }
  const message = current === undefined ? "Created new replica set" : `ReplicaSet "${name}" is progressing.`;
  const reason = current === undefined ? "NewReplicaSetCreated" : "ReplicaSetUpdated";
  return condition(deployment, "Progressing", { status: "True", reason, message }, moved, now);
}

/** A condition with its times: they change with its status, the time of the update also with its reason or when told so. */
function condition(
  deployment: ApiObject,
  type: string,
  content: JsonObject,
  touched: boolean,
  now: number,
): JsonObject {
  const before = conditionOf(deployment, type);
  const time = timestamp(now);
  const sameStatus = before !== undefined && before.status === content.status;
  const same = sameStatus && before.reason === content.reason && before.message === content.message;
  return {
    type,
    ...content,
    lastUpdateTime: same && !touched ? (before.lastUpdateTime ?? time) : time,
    lastTransitionTime: sameStatus ? (before.lastTransitionTime ?? time) : time,
  };
}
