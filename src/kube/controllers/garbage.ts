/** The garbage collector: objects go when the last of their owners is gone, and before, if the owner waits for that. */
import { type Api, internal, isCode, keyOf } from "../server/api.ts";
import { type ApiObject, isObject, type JsonObject, listAt, textAt } from "../server/json.ts";
import { apiVersionOf, type Kind, resourceOf } from "../server/kinds/kind.ts";
import { foreground, orphan } from "../server/lifecycle.ts";
import type { Key } from "../server/store/store.ts";
import { needKind } from "./action.ts";
import type { Controller } from "./loop.ts";

/** The kind that an owner is of, in whatever version it is named; undefined if the server does not have it. */
function kindNamed(api: Api, apiVersion: string, name: string): Kind | undefined {
  return api.kinds.served.find((kind) => kind.kind === name && apiVersionOf(kind) === apiVersion);
}

function ownersOf(object: ApiObject): readonly JsonObject[] {
  return listAt(object, "metadata", "ownerReferences").filter(isObject);
}

function textOf(key: Key): string {
  return `${key.resource}|${key.namespace}|${key.name}`;
}

/** The controller that collects. It keeps an index from owners to what they own. */
export function garbageCollector(api: Api): Controller {
  const owned = new Map<string, Map<string, Key>>();
  const note = (object: ApiObject, key: Key, present: boolean) => {
    for (const owner of ownersOf(object)) {
      const uid = textAt(owner, "uid");
      const dependents = owned.get(uid) ?? new Map<string, Key>();
      if (present) owned.set(uid, dependents.set(textOf(key), key));
      else if (dependents.delete(textOf(key)) && dependents.size === 0) owned.delete(uid);
    }
  };
  const dependentsOf = (uid: string): readonly ApiObject[] =>
    [...(owned.get(uid)?.values() ?? [])].flatMap((key) => api.store.get(key) ?? []);

  return {
    name: "garbage-collector",
    get watches() {
      // Events are many, and end by themselves.
      return api.kinds.stored.filter(({ kind }) => kind !== "Event").map(resourceOf);
    },
    keysOf(resource, { type, object, previous }) {
      const { namespace = "", name, uid } = object.metadata;
      const key = { resource, namespace, name };
      if (previous !== undefined) note(previous, key, false);
      if (type !== "DELETED") note(object, key, true);
      const finalizers = listAt(object, "metadata", "finalizers");
      const waits = finalizers.includes(foreground) || finalizers.includes(orphan);
      // Look at what has owners, at what waits for its dependents, and at the dependents and owners of what is gone.
      const keys =
        type !== "DELETED" && (waits || (ownersOf(object).length > 0 && type === "ADDED")) ? [textOf(key)] : [];
      if (type === "DELETED") {
        keys.push(...(owned.get(uid)?.keys() ?? []));
        for (const owner of ownersOf(object)) {
          const found = ownerKey(api, owner, namespace);
          if (found !== undefined) keys.push(textOf(found));
        }
      }
      return keys;
    },
    reconcile(text) {
      const [resource = "", namespace = "", name = ""] = text.split("|");
      const object = api.store.get({ resource, namespace, name });
      if (object === undefined) return undefined;
      const finalizers = listAt(object, "metadata", "finalizers").map(String);
      if (object.metadata.deletionTimestamp !== undefined) {
        if (finalizers.includes(orphan)) release(api, object, resource, dependentsOf(object.metadata.uid));
        else if (finalizers.includes(foreground))
          deleteDependents(api, object, resource, dependentsOf(object.metadata.uid));
        return undefined;
      }
      collect(api, object, resource);
      return undefined;
    },
  };
}

/** Where an owner lies: in the namespace of what it owns, or in none. */
function ownerKey(api: Api, owner: JsonObject, namespace: string): Key | undefined {
  const kind = kindNamed(api, textAt(owner, "apiVersion"), textAt(owner, "kind"));
  return kind === undefined ? undefined : keyOf(kind, namespace, textAt(owner, "name"));
}

/** Deletes an object all of whose owners are gone. Owners of kinds that the server does not have count as there. */
function collect(api: Api, object: ApiObject, resource: string): void {
  const owners = ownersOf(object);
  if (owners.length === 0) return;
  const { namespace = "", name, uid } = object.metadata;
  const alive = owners.filter((owner) => {
    const key = ownerKey(api, owner, namespace);
    return key === undefined || api.store.get(key)?.metadata.uid === owner.uid;
  });
  if (alive.length === owners.length) return;
  if (alive.length > 0) {
    const metadata = { ...object.metadata, ownerReferences: alive };
    api.update(needKind(api, resource), namespace, name, { ...object, metadata }, "", internal);
    return;
  }
  remove(api, resource, namespace, name, uid);
}

function remove(api: Api, resource: string, namespace: string, name: string, uid: string): void {
  try {
    api.delete(needKind(api, resource), namespace, name, { dryRun: false, propagation: "Background", uid });
  } catch (error) {
    if (!isCode(error, 404)) throw error;
  }
}

/** Foreground: dependents go first; those that block keep their owner. */
function deleteDependents(api: Api, owner: ApiObject, resource: string, dependents: readonly ApiObject[]): void {
  let blocked = false;
  for (const dependent of dependents) {
    const reference = ownersOf(dependent).find((item) => item.uid === owner.metadata.uid);
    const of = kindNamed(api, dependent.apiVersion, dependent.kind);
    if (reference === undefined || of === undefined) continue;
    const { namespace = "", name, uid } = dependent.metadata;
    if (dependent.metadata.deletionTimestamp === undefined) {
      api.delete(of, namespace, name, { dryRun: false, propagation: "Foreground", uid });
    }
    const left = api.store.get(keyOf(of, namespace, name));
    if (left?.metadata.uid === uid && reference.blockOwnerDeletion === true) blocked = true;
  }
  if (!blocked) finish(api, owner, resource, foreground);
}

/** Orphan: dependents forget their owner and stay. */
function release(api: Api, owner: ApiObject, resource: string, dependents: readonly ApiObject[]): void {
  for (const dependent of dependents) {
    const of = kindNamed(api, dependent.apiVersion, dependent.kind);
    if (of === undefined) continue;
    const { namespace = "", name } = dependent.metadata;
    const ownerReferences = ownersOf(dependent).filter((item) => item.uid !== owner.metadata.uid);
    const metadata = { ...dependent.metadata, ownerReferences };
    api.update(of, namespace, name, { ...dependent, metadata }, "", internal);
  }
  finish(api, owner, resource, orphan);
}

function finish(api: Api, object: ApiObject, resource: string, finalizer: string): void {
  const { namespace = "", name } = object.metadata;
  const finalizers = listAt(object, "metadata", "finalizers").filter((item) => item !== finalizer);
  api.update(
    needKind(api, resource),
    namespace,
    name,
    { ...object, metadata: { ...object.metadata, finalizers } },
    "",
    internal,
  );
}
