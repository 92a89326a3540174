/** What several controllers ask about pods. Pure. */
import { createHash } from "node:crypto";
import { type ApiObject, isObject, type JsonObject, listAt, objectAt, textAt } from "../server/json.ts";

/** A condition of an object, or undefined. */
export function conditionOf(object: JsonObject, type: string): JsonObject | undefined {
  return listAt(object, "status", "conditions")
    .filter(isObject)
    .find((item) => textAt(item, "type") === type);
}

/** True if the pod passes its readiness probes. */
export function isReady(pod: JsonObject): boolean {
  return textAt(conditionOf(pod, "Ready"), "status") === "True";
}

/** Milliseconds until a pod that is ready has been so for long enough; 0 if it has; undefined if it is not ready. */
export function availableIn(pod: JsonObject, minReadySeconds: number, now: number): number | undefined {
  const ready = conditionOf(pod, "Ready");
  if (textAt(ready, "status") !== "True") return undefined;
  if (minReadySeconds === 0) return 0;
  const since = Date.parse(textAt(ready, "lastTransitionTime"));
  return Number.isNaN(since) ? 0 : Math.max(0, since + minReadySeconds * 1000 - now);
}

/** True if the pod is being deleted. */
export function isTerminating(object: JsonObject): boolean {
  return textAt(object, "metadata", "deletionTimestamp") !== "";
}

/** True if the pod has ended for good. */
export function hasEnded(pod: JsonObject): boolean {
  const phase = textAt(pod, "status", "phase");
  return phase === "Succeeded" || phase === "Failed";
}

/** True if the pod counts for its workload: it has not ended and is not ending. */
export function isActive(pod: JsonObject): boolean {
  return !isTerminating(pod) && !hasEnded(pod);
}

/** The name of an object's node; empty if it has none. */
export function nodeOf(pod: JsonObject): string {
  return textAt(pod, "spec", "nodeName");
}

/** A short hash of a template, in letters and digits that are good in names. */
export function templateHash(template: JsonObject): string {
  const digest = createHash("sha256").update(canonical(template)).digest();
  const alphabet = "bcdfghjklmnpqrstvwxz2456789";
  return [...digest.subarray(0, 10)].map((byte) => alphabet[byte % alphabet.length]).join("");
}

/** JSON text that does not depend on the order of members. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

/** A pod of a template. */
export function podOf(
  template: JsonObject,
  owner: JsonObject,
  prefix: string,
  spec: JsonObject = {},
  labels: JsonObject = {},
): JsonObject {
  const metadata = objectAt(template, "metadata");
  return {
    metadata: {
      generateName: prefix,
      labels: { ...objectAt(metadata, "labels"), ...labels },
      ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ownerReferences: [owner],
    },
    spec: { ...objectAt(template, "spec"), ...spec },
  };
}

/** Pods in the order in which they are given up: those that serve least first. */
export function byExpendability(now: number): (a: ApiObject, b: ApiObject) => number {
  const rank = (pod: ApiObject): readonly number[] => [
    nodeOf(pod) === "" ? 0 : 1,
    textAt(pod, "status", "phase") === "Running" ? 1 : 0,
    isReady(pod) ? 1 : 0,
    now -
      Date.parse(
        textAt(conditionOf(pod, "Ready"), "lastTransitionTime") || textAt(pod, "metadata", "creationTimestamp"),
      ),
  ];
  return (a, b) => {
    const [left, right] = [rank(a), rank(b)];
    for (const [i, value] of left.entries()) if (value !== right[i]) return value - (right[i] ?? 0);
    return a.metadata.name < b.metadata.name ? -1 : 1;
  };
}
