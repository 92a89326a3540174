/** What a source knows of one kind: the slim objects by their identity, and how changes become events. */
import type { Logger } from "../telemetry/log.ts";
import { type Identity, identityOf } from "./objects/metadata.ts";
import { type ObjectKey, objectKey, type Resource } from "./objects/resource.ts";
import type { ObjectEvent } from "./source.ts";

/** An object as it is kept. */
interface Entry<T> {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly object: T;
}

/** Objects whose warning is remembered; more of them are warned of again and again. */
const maximumWarnings = 1000;

/** The objects of one kind. Raw ones come in, projected ones are kept, events come out. */
export class ObjectStore<T> {
  readonly #resource: Resource<T>;
  readonly #log: Logger;
  readonly #warned = new Map<ObjectKey, string>();
  #entries = new Map<ObjectKey, Entry<T>>();

  constructor(resource: Resource<T>, log: Logger) {
    this.#resource = resource;
    this.#log = log;
  }

  /** The number of objects. */
  get size(): number {
    return this.#entries.size;
  }

  /** Takes the new state of an object. One that is malformed stays as it was last well-formed. */
  upsert(raw: unknown): readonly ObjectEvent<T>[] {
    const identity = this.#identify(raw);
    if (identity === undefined) return [];
    const key = objectKey(identity);
    const before = this.#entries.get(key);
    const entry = this.#read(raw, identity, before);
    if (entry === before) return [];
    if (entry === undefined) this.#entries.delete(key);
    else this.#entries.set(key, entry);
    return difference(before, entry);
  }

  /** Takes that an object is gone. */
  delete(raw: unknown): readonly ObjectEvent<T>[] {
    const identity = this.#identify(raw);
    if (identity === undefined) return [];
    const key = objectKey(identity);
    const before = this.#entries.get(key);
    this.#entries.delete(key);
    this.#warned.delete(key);
    return difference(before, undefined);
  }

  /** Begins a new state of everything, e.g. a list: nothing changes until it is complete. */
  replace(): Replacement<T> {
    const fresh = new Map<ObjectKey, Entry<T>>();
    return {
      upsert: (raw) => {
        const identity = this.#identify(raw);
        if (identity === undefined) return;
        const key = objectKey(identity);
        const entry = this.#read(raw, identity, fresh.get(key) ?? this.#entries.get(key));
        if (entry !== undefined) fresh.set(key, entry);
        else fresh.delete(key);
      },
      delete: (raw) => {
        const identity = this.#identify(raw);
        if (identity !== undefined) fresh.delete(objectKey(identity));
      },
      commit: () => {
        const old = this.#entries;
        this.#entries = fresh;
        return changes(old, fresh);
      },
    };
  }

  /**
   * The entry to keep for a raw object: a new one, or the one before if this is the same state or a malformed one of
   * the same object; undefined if there is none to keep.
   */
  #read(raw: unknown, identity: Identity, before: Entry<T> | undefined): Entry<T> | undefined {
    const { uid, resourceVersion } = identity;
    const same = before !== undefined && before.uid === uid;
    if (same && before.resourceVersion === resourceVersion && resourceVersion !== "") return before;
    const projected = this.#resource.project(raw);
    if (projected.outcome === "object") return { uid, resourceVersion, object: projected.object };
    if (projected.outcome === "ignored") return undefined;
    this.#warn(identity, projected.problems);
    return same ? before : undefined;
  }

  #identify(raw: unknown): Identity | undefined {
    const identity = identityOf(raw);
    if (identity === undefined) this.#log.warn("Ignored an object without a name", { kind: this.#resource.kind });
    return identity;
  }

  #warn({ namespace, name, resourceVersion }: Identity, problems: readonly string[]): void {
    const key = objectKey({ namespace, name });
    if (this.#warned.get(key) === resourceVersion) return;
    if (this.#warned.size >= maximumWarnings) this.#warned.clear();
    this.#warned.set(key, resourceVersion);
    const object = namespace === "" ? { name } : { namespace, name };
    this.#log.warn("Ignored a malformed object", { kind: this.#resource.kind, object, problems });
  }
}

/** A new state of all objects of a kind, in the making. */
export interface Replacement<T> {
  upsert(raw: unknown): void;
  delete(raw: unknown): void;
  /** Makes it the state of the store. The events are those of what differs: first what is gone, then what is new. */
  commit(): Generator<ObjectEvent<T>>;
}

function difference<T>(before: Entry<T> | undefined, after: Entry<T> | undefined): readonly ObjectEvent<T>[] {
  if (before === undefined) return after ? [{ type: "upsert", object: after.object }] : [];
  if (after === undefined) return [{ type: "delete", object: before.object }];
  if (before.uid === after.uid) return [{ type: "upsert", object: after.object, previous: before.object }];
  return [
    { type: "delete", object: before.object },
    { type: "upsert", object: after.object },
  ];
}

function* changes<T>(old: Map<ObjectKey, Entry<T>>, fresh: Map<ObjectKey, Entry<T>>): Generator<ObjectEvent<T>> {
  for (const [key, before] of old) {
    if (fresh.get(key)?.uid !== before.uid) yield { type: "delete", object: before.object };
  }
  for (const [key, after] of fresh) {
    const before = old.get(key);
    if (before === after) continue;
    yield before?.uid === after.uid
      ? { type: "upsert", object: after.object, previous: before.object }
      : { type: "upsert", object: after.object };
  }
}
