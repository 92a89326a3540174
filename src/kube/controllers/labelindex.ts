/** Which objects have a label: so that looking for the pods of a Service costs as much as it has pods. */
import { type ApiObject, type JsonObject, objectAt } from "../server/json.ts";
import type { Change } from "../server/store/log.ts";
import { keyOfObject, splitKey } from "./loop.ts";

/**
 * Keys of objects by namespace and label. Fed with changes; after a gap in them it may name objects that are gone or have
 * lost the label, so whoever asks looks at the objects themselves.
 */
export class LabelIndex {
  readonly #keys = new Map<string, Set<string>>();
  readonly #labelsOf: (object: ApiObject) => JsonObject;

  /** `labelsOf` says by which labels an object is found. */
  constructor(labelsOf: (object: ApiObject) => JsonObject) {
    this.#labelsOf = labelsOf;
  }

  /** Takes note of a change. */
  note({ type, object, previous }: Change): void {
    if (previous !== undefined) for (const place of this.#places(previous)) this.#remove(place, keyOfObject(previous));
    if (type === "DELETED") return;
    for (const place of this.#places(object)) {
      const keys = this.#keys.get(place) ?? new Set();
      this.#keys.set(place, keys.add(keyOfObject(object)));
    }
  }

  /** Names of objects that may have all these labels: those with the rarest of them. None without labels. */
  withAll(namespace: string, labels: JsonObject): readonly string[] {
    const sets = Object.entries(labels).map(([key, value]) => this.#keys.get(placeOf(namespace, key, value)));
    const rarest = sets.reduce((best, set) => ((set?.size ?? 0) < (best?.size ?? 0) ? set : best), sets[0]);
    return [...(rarest ?? [])].map((key) => splitKey(key)[1]);
  }

  /** Names of objects with at least one of these labels, each once. */
  withAny(namespace: string, labels: JsonObject): readonly string[] {
    const sets = Object.entries(labels).map(([key, value]) => this.#keys.get(placeOf(namespace, key, value)) ?? []);
    return [...new Set(sets.flatMap((set) => [...set]))].map((key) => splitKey(key)[1]);
  }

  #places(object: ApiObject): readonly string[] {
    const { namespace = "" } = object.metadata;
    return Object.entries(this.#labelsOf(object)).map(([key, value]) => placeOf(namespace, key, value));
  }

  #remove(place: string, key: string): void {
    const keys = this.#keys.get(place);
    if (keys?.delete(key) && keys.size === 0) this.#keys.delete(place);
  }
}

function placeOf(namespace: string, key: string, value: unknown): string {
  return `${namespace}/${key}=${String(value)}`;
}

/** An index by the labels that objects have. */
export function byLabels(): LabelIndex {
  return new LabelIndex((object) => objectAt(object, "metadata", "labels"));
}
