/** How objects begin and end: names, identity, and the steps of a deletion. Pure but for the identity of new ones. */
import { randomInt, randomUUID } from "node:crypto";
import { type ApiObject, type JsonObject, listAt, type MutableObject, numberAt, objectAt, textAt } from "./json.ts";
import type { Kind } from "./kinds/kind.ts";

/** How dependents of a deleted object are treated. */
export type Propagation = "Background" | "Foreground" | "Orphan";

/** Finalizers by which the garbage collector is asked to act first. */
export const foreground = "foregroundDeletion";
export const orphan = "orphan";

const alphabet = "bcdfghjklmnpqrstvwxz2456789";

/** `prefix` with five characters that are no vowels, so that no words come about. At most 63 characters in all. */
export function generatedName(prefix: string): string {
  let suffix = "";
  for (let i = 0; i < 5; i++) suffix += alphabet[randomInt(alphabet.length)];
  return prefix.slice(0, 58) + suffix;
}

/** The object as a new one: with identity, without anything that only the server may say. */
export function newborn(kind: Kind, object: JsonObject, namespace: string, now: string): JsonObject {
  const given = objectAt(object, "metadata");
  const metadata: MutableObject = { ...given, uid: randomUUID(), creationTimestamp: now };
  if (kind.namespaced) metadata.namespace = namespace;
  else delete metadata.namespace;
  const prefix = textAt(given, "generateName");
  if (textAt(given, "name") === "" && prefix !== "") metadata.name = generatedName(prefix);
  for (const name of ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"])
    delete metadata[name];
  if (kind.generation) metadata.generation = 1;
  const result: MutableObject = { ...object, metadata };
  if (kind.status) delete result.status;
  return result;
}

/** The object with everything of its identity as it was before the update. */
export function sameIdentity(object: JsonObject, previous: ApiObject): JsonObject {
  const metadata: MutableObject = { ...objectAt(object, "metadata") };
  const { metadata: before } = previous;
  for (const name of [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generateName",
    "generation",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
  ]) {
    if (before[name] === undefined) delete metadata[name];
    else metadata[name] = before[name];
  }
  return { ...object, metadata };
}

/** What becomes of an object that is to be deleted: gone at once, or marked and kept for a while. */
export type Deletion = { readonly gone: true } | { readonly gone: false; readonly object: ApiObject };

/**
 * Begins, or hastens, the deletion of an object.
 *
 * @param grace seconds that the client gives; undefined for the object's own.
 */
export function beginDeletion(
  kind: Kind,
  object: ApiObject,
  propagation: Propagation | undefined,
  grace: number | undefined,
  now: number,
): Deletion {
  const metadata: MutableObject = { ...object.metadata };
  const finalizers = new Set(listAt(object, "metadata", "finalizers").map(String));
  if (propagation !== undefined) {
    finalizers.delete(foreground);
    finalizers.delete(orphan);
    if (propagation === "Foreground") finalizers.add(foreground);
    if (propagation === "Orphan") finalizers.add(orphan);
  }
  if (kind.cleanup !== undefined && metadata.deletionTimestamp === undefined) finalizers.add(kind.cleanup);
  const seconds = kind.kind === "Pod" ? podGrace(object, grace) : 0;
  const held = finalizers.size > 0 || (kind.kind === "Namespace" && listAt(object, "spec", "finalizers").length > 0);
  if (!held && seconds === 0) return { gone: true };
  if (finalizers.size > 0) metadata.finalizers = [...finalizers];
  else delete metadata.finalizers;
  const left =
    metadata.deletionTimestamp === undefined
      ? Number.POSITIVE_INFINITY
      : numberAt(metadata, ["deletionGracePeriodSeconds"]);
  if (seconds < left) {
    const begun =
      metadata.deletionTimestamp === undefined ? now : Date.parse(textAt(metadata, "deletionTimestamp")) - left * 1000;
    metadata.deletionTimestamp = timestamp(Math.max(now, begun + seconds * 1000));
    metadata.deletionGracePeriodSeconds = seconds;
    if (kind.generation && left === Number.POSITIVE_INFINITY)
      metadata.generation = numberAt(metadata, ["generation"]) + 1;
  }
  const marked = { ...object, metadata: metadata as ApiObject["metadata"] };
  if (kind.kind !== "Namespace") return { gone: false, object: marked };
  return { gone: false, object: { ...marked, status: { ...objectAt(object, "status"), phase: "Terminating" } } };
}

/** Pods get time to end; those that never came to a node, or have ended, need none. */
function podGrace(pod: ApiObject, asked: number | undefined): number {
  const phase = textAt(pod, "status", "phase");
  if (textAt(pod, "spec", "nodeName") === "" || phase === "Succeeded" || phase === "Failed") return 0;
  return Math.max(0, asked ?? numberAt(pod, ["spec", "terminationGracePeriodSeconds"], 30));
}

/** True if an object that is being deleted has nothing left to wait for. */
export function isFinished(kind: Kind, object: JsonObject): boolean {
  const metadata = objectAt(object, "metadata");
  if (metadata.deletionTimestamp === undefined || listAt(metadata, "finalizers").length > 0) return false;
  if (kind.kind === "Namespace") return listAt(object, "spec", "finalizers").length === 0;
  return numberAt(metadata, ["deletionGracePeriodSeconds"]) === 0;
}

/** A time in milliseconds since the epoch as the API writes it: RFC 3339, UTC, to the second. */
export function timestamp(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}
