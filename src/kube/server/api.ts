/**
 * The API itself: what create, update, patch and delete mean. Every operation is synchronous and whole: it is decided
 * against the current state, written in one transaction, or refused with an {@link ApiError}.
 */
import { randomUUID } from "node:crypto";
import { type Author, trackUpdate } from "./apply/managers.ts";
import { decodeObject, type Strictness } from "./body.ts";
import { KindRegistry } from "./custom/registry.ts";
import {
  ApiError,
  alreadyExists,
  badRequest,
  conflict,
  forbidden,
  invalidObject,
  methodNotAllowed,
  modified,
  notFound,
  unsupportedMediaType,
} from "./errors.ts";
import {
  type ApiObject,
  type Json,
  type JsonObject,
  listAt,
  numberAt,
  objectAt,
  sameJson,
  textAt,
  without,
} from "./json.ts";
import { namespace as namespaceKind } from "./kinds/cluster.ts";
import { apiVersionOf, type Kind, outward, resourceOf } from "./kinds/kind.ts";
import { validateMeta } from "./kinds/meta.ts";
import type { KindSet } from "./kinds/set.ts";
import { beginDeletion, isFinished, newborn, type Propagation, sameIdentity, timestamp } from "./lifecycle.ts";
import { applied, type PatchType, patched } from "./patching.ts";
import { withDefaults } from "./schema/decode.ts";
import { ipAddressObject, type PortRange, ServiceAllocator } from "./services/allocate.ts";
import type { Key, Store, Write } from "./store/store.ts";

/** How a write is to be done. */
export interface WriteOptions {
  /** True to do everything but the write. */
  readonly dryRun: boolean;
  /** Who owns the fields that are written. */
  readonly manager: string;
  readonly strictness: Strictness;
  /** Gets sentences that the client should see. */
  readonly warn: (message: string) => void;
}

/** How an object is to be deleted. */
export interface DeleteOptions {
  readonly dryRun: boolean;
  readonly propagation?: Propagation;
  /** Seconds that a pod gets to end. */
  readonly graceSeconds?: number;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

/** The part of an object that an update writes: empty for everything but the status. */
export type Part = "" | "status" | "finalize";

/** A patch, ready to be done. `force` is for apply: take fields from their owners. */
export interface Patch {
  readonly type: PatchType;
  readonly body: Json;
  readonly force: boolean;
}

/** How controllers of this process write. */
export const internal: WriteOptions = {
  dryRun: false,
  manager: "portolan-controllers",
  strictness: "Ignore",
  warn: () => undefined,
};

/** What kinds want of names; all others want RFC 1123 subdomains. */
const nameForms: Readonly<Record<string, "label" | "dns1035" | "path">> = {
  Namespace: "label",
  Service: "dns1035",
  IPAddress: "path",
  Event: "path",
  Role: "path",
  RoleBinding: "path",
  ClusterRole: "path",
  ClusterRoleBinding: "path",
};
const noStrategicMerge =
  "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
const keptNamespaces = ["default", "kube-system", "kube-public"];

/** The operations of the API on the objects of a store. */
export class Api {
  readonly store: Store;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly #allocator: ServiceAllocator;
  readonly #registry: KindRegistry;

  constructor(
    store: Store,
    options: { readonly now: () => number; readonly nodePorts: PortRange; readonly random: () => number },
  ) {
    this.store = store;
    this.now = options.now;
    this.#registry = new KindRegistry(store);
    this.#allocator = new ServiceAllocator(store, options.nodePorts, options.random);
  }

  /** The kinds that are served now. */
  get kinds(): KindSet {
    return this.#registry.current;
  }

  /**
   * One object.
   *
   * @throws {ApiError} 404 if it is not there.
   */
  get(kind: Kind, namespace: string, name: string): ApiObject {
    const stored = this.store.get(keyOf(kind, namespace, name));
    if (stored === undefined) throw notFound(kind, name);
    return outward(kind, stored);
  }

  /** All objects of a resource, of one namespace or (empty) of all: for controllers. */
  list(resource: string, namespace = ""): readonly ApiObject[] {
    return this.store.list(resource, namespace);
  }

  /** Makes an object. The body is of any form; it is decoded here. */
  create(kind: Kind, namespace: string, body: JsonObject, options: WriteOptions): ApiObject {
    if (kind.custom?.closed !== undefined) throw methodNotAllowed(kind.custom.closed);
    const decoded = decodeObject(kind, body, options.strictness, options.warn);
    this.#checkPlace(kind, namespace, textAt(decoded, "metadata", "namespace"));
    if (textAt(decoded, "metadata", "resourceVersion") !== "") {
      throw badRequest("resourceVersion should not be set on objects to be created");
    }
    for (let attempt = 0; ; attempt++) {
      const born = newborn(kind, decoded, namespace, timestamp(this.now()));
      const name = textAt(born, "metadata", "name");
      if (this.store.get(keyOf(kind, namespace, name)) === undefined) {
        return this.#write(kind, namespace, born, undefined, "", options, { type: "update" });
      }
      if (textAt(decoded, "metadata", "name") !== "" || attempt === 8) throw alreadyExists(kind, name);
    }
  }

  /** Replaces an object, or a part of it. */
  update(kind: Kind, namespace: string, name: string, body: JsonObject, part: Part, options: WriteOptions): ApiObject {
    const decoded = decodeObject(kind, body, options.strictness, options.warn);
    const metadata = objectAt(decoded, "metadata");
    if (textAt(metadata, "name") !== name) {
      const given = textAt(metadata, "name");
      throw badRequest(`the name of the object (${given}) does not match the name on the URL (${name})`);
    }
    this.#checkPlace(kind, namespace, textAt(metadata, "namespace"));
    const previous = this.store.get(keyOf(kind, namespace, name));
    if (previous === undefined) {
      if (!kind.createOnUpdate || part !== "") throw notFound(kind, name);
      return this.create(kind, namespace, without(decoded, "status"), options);
    }
    return this.#replace(kind, namespace, decoded, previous, part, options, { type: "update" });
  }

  /** Patches an object, or a part of it. Applying makes an object that is not there. */
  patch(kind: Kind, namespace: string, name: string, patch: Patch, part: Part, options: WriteOptions): ApiObject {
    const previous = this.store.get(keyOf(kind, namespace, name));
    const current = previous === undefined ? undefined : outward(kind, previous);
    if (patch.type === "apply") return this.#apply(kind, namespace, name, patch, previous, part, options);
    if (previous === undefined || current === undefined) throw notFound(kind, name);
    if (patch.type === "strategic" && kind.custom !== undefined) throw unsupportedMediaType(noStrategicMerge);
    const result = patched(patch.type, kind.schema, current, patch.body);
    const decoded = decodeObject(kind, result, options.strictness, options.warn);
    if (textAt(decoded, "metadata", "name") !== name) {
      throw invalidObject(kind, name, [
        {
          reason: "FieldValueInvalid",
          field: "metadata.name",
          message: `Invalid value: ${JSON.stringify(textAt(decoded, "metadata", "name"))}: field is immutable`,
        },
      ]);
    }
    return this.#replace(kind, namespace, decoded, previous, part, options, { type: "update" });
  }

  #apply(
    kind: Kind,
    namespace: string,
    name: string,
    patch: Patch,
    previous: ApiObject | undefined,
    part: Part,
    options: WriteOptions,
  ): ApiObject {
    if (kind.alias !== undefined) throw methodNotAllowed();
    const body = patch.body as JsonObject;
    const config = decodeObject(kind, body, options.strictness, options.warn);
    const given = textAt(config, "metadata", "name");
    if (given !== "" && given !== name) {
      throw badRequest(`the name of the object (${given}) does not match the name on the URL (${name})`);
    }
    this.#checkPlace(kind, namespace, textAt(config, "metadata", "namespace"));
    const named = { ...config, metadata: { ...objectAt(config, "metadata"), name } };
    const merged = applied(kind.schema, previous, named, this.#author(kind, part, options), patch.force);
    if (previous !== undefined)
      return this.#replace(kind, namespace, merged, previous, part, options, { type: "applied" });
    if (part !== "") throw notFound(kind, name);
    if (kind.custom?.closed !== undefined) throw methodNotAllowed(kind.custom.closed);
    const born = newborn(kind, merged, namespace, timestamp(this.now()));
    return this.#write(kind, namespace, born, undefined, "", options, { type: "applied" });
  }

  /**
   * Deletes an object, or begins to.
   *
   * @returns the object as it is now, or as it last was, and whether it is gone.
   */
  delete(
    kind: Kind,
    namespace: string,
    name: string,
    options: DeleteOptions,
  ): { readonly object: ApiObject; readonly gone: boolean } {
    const key = keyOf(kind, namespace, name);
    const stored = this.store.get(key);
    if (stored === undefined) throw notFound(kind, name);
    const { uid, resourceVersion } = stored.metadata;
    if (options.uid !== undefined && options.uid !== uid) {
      throw conflict(
        kind,
        name,
        `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${uid}`,
      );
    }
    if (options.resourceVersion !== undefined && options.resourceVersion !== resourceVersion) {
      const why = `Precondition failed: ResourceVersion in precondition: ${options.resourceVersion}, ResourceVersion in object meta: ${resourceVersion}`;
      throw conflict(kind, name, why);
    }
    if (kind.kind === "Namespace" && keptNamespaces.includes(name)) {
      throw forbidden(kind, name, "this namespace may not be deleted");
    }
    const step = beginDeletion(kind, stored, options.propagation, options.graceSeconds, this.now());
    if (options.dryRun) return { object: outward(kind, step.gone ? stored : step.object), gone: step.gone };
    if (step.gone) {
      const [last = stored] = this.store.commit(this.#removal(key, stored));
      return { object: outward(kind, last), gone: true };
    }
    if (sameJson(step.object, stored)) return { object: outward(kind, stored), gone: false };
    const [marked = step.object] = this.store.commit([{ key, put: step.object }]);
    return { object: outward(kind, marked), gone: false };
  }

  /** An update whose body is whole: resource version and part are looked at, the rest is carried over. */
  #replace(
    kind: Kind,
    namespace: string,
    decoded: JsonObject,
    previous: ApiObject,
    part: Part,
    options: WriteOptions,
    how: How,
  ): ApiObject {
    const { name, uid, resourceVersion } = previous.metadata;
    const given = objectAt(decoded, "metadata");
    if (textAt(given, "resourceVersion") !== "" && given.resourceVersion !== resourceVersion)
      throw conflict(kind, name, modified);
    if (textAt(given, "uid") !== "" && given.uid !== uid) {
      const why = `Precondition failed: UID in precondition: ${String(given.uid)}, UID in object meta: ${uid}`;
      throw conflict(kind, name, why);
    }
    return this.#write(kind, namespace, decoded, previous, part, options, how);
  }

  #write(
    kind: Kind,
    namespace: string,
    decoded: JsonObject,
    previous: ApiObject | undefined,
    part: Part,
    options: WriteOptions,
    how: How,
  ): ApiObject {
    const stored = kind.alias === undefined ? kind : (this.kinds.kindOf(kind.alias.resource) ?? kind);
    const object = kind.alias === undefined ? decoded : kind.alias.toStored(decoded);
    const name = textAt(object, "metadata", "name");
    if (previous === undefined) this.#checkNamespace(kind, namespace, name);
    let next = previous === undefined ? object : sameIdentity(onlyPart(stored, object, previous, part), previous);
    next = withDefaults(stored.schema, next);
    next = stored.prepare?.(next, previous) ?? next;
    if (how.type === "update" && kind.alias === undefined) {
      next = trackUpdate(stored.schema, previous, next, this.#author(kind, part, options));
    }
    const admitted =
      stored.kind === "Service" && stored.group === "" ? this.#allocator.admit(next, previous) : undefined;
    next = admitted?.service ?? next;
    const problems = [
      ...validateMeta(next, nameForms[stored.kind] ?? "subdomain"),
      ...(stored.validate?.(next) ?? []),
      ...(previous === undefined ? [] : (stored.validateUpdate?.(next, previous) ?? [])),
    ];
    if (problems.length > 0) throw invalidObject(kind, name, problems);
    for (const message of stored.warnings?.(next, previous) ?? []) options.warn(message);
    next = { ...next, apiVersion: apiVersionOf(this.kinds.kindOf(resourceOf(stored)) ?? stored) };
    if (previous !== undefined) {
      const settled = settle(stored, next, previous);
      if (settled === undefined) return outward(kind, previous);
      next = settled;
    }
    const key = keyOf(kind, namespace, name);
    const final = next as ApiObject;
    if (options.dryRun) return outward(kind, final);
    if (previous !== undefined && isFinished(stored, final)) {
      const [last = final] = this.store.commit(this.#removal(key, final));
      return outward(kind, last);
    }
    const writes: Write[] = [{ key, put: final }];
    for (const address of admitted?.taken ?? []) {
      writes.push({
        key: addressKey(address),
        put: ipAddressObject(address, final, timestamp(this.now()), randomUUID()),
      });
    }
    for (const address of admitted?.released ?? []) writes.push({ key: addressKey(address), delete: true });
    const [written = final] = this.store.commit(writes);
    return outward(kind, written);
  }

  /** The writes that take an object away, with the addresses that it had. */
  #removal(key: Key, object: ApiObject): readonly Write[] {
    const ips = key.resource === "services" ? listAt(object, "spec", "clusterIPs").map(String) : [];
    return [
      { key, delete: true },
      ...ips.filter((ip) => ip !== "None").map((ip): Write => ({ key: addressKey(ip), delete: true })),
    ];
  }

  #author(kind: Kind, part: Part, options: WriteOptions): Author {
    const time = timestamp(this.now());
    return { name: options.manager, apiVersion: apiVersionOf(kind), subresource: part, time };
  }

  /** The namespace in the body is the one of the request. */
  #checkPlace(kind: Kind, namespace: string, given: string): void {
    if (!kind.namespaced || given === "" || given === namespace) return;
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }

  /** New objects need a namespace that is there and not ending. */
  #checkNamespace(kind: Kind, namespace: string, name: string): void {
    if (!kind.namespaced) return;
    const room = this.store.get(keyOf(namespaceKind, "", namespace));
    if (room === undefined) throw notFound(namespaceKind, namespace);
    if (room.metadata.deletionTimestamp === undefined) return;
    const message = `namespace ${namespace} is being terminated`;
    const cause = { reason: "NamespaceTerminating", message, field: "metadata.namespace" };
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    throw forbidden(kind, name, why, [cause]);
  }
}

interface How {
  /** `update`: ownership follows from what changed; `applied`: it is settled already. */
  readonly type: "update" | "applied";
}

/** Where an object of a kind lies. */
export function keyOf(kind: Kind, namespace: string, name: string): Key {
  return { resource: kind.alias?.resource ?? resourceOf(kind), namespace: kind.namespaced ? namespace : "", name };
}

/** True if an error is an {@link ApiError} of that code. */
export function isCode(error: unknown, code: number): boolean {
  return error instanceof ApiError && error.code === code;
}

function addressKey(address: string): Key {
  return { resource: "ipaddresses.networking.k8s.io", namespace: "", name: address };
}

/** What an update may write: all but the status, or nothing else. */
function onlyPart(kind: Kind, object: JsonObject, previous: ApiObject, part: Part): JsonObject {
  if (!kind.status) return object;
  if (part === "") {
    return previous.status === undefined ? without(object, "status") : { ...object, status: previous.status };
  }
  const changed = part === "status" ? { status: object.status } : { spec: object.spec };
  return { ...previous, ...changed, metadata: object.metadata };
}

/** The object with its generation, or undefined if nothing changed. */
function settle(kind: Kind, object: JsonObject, previous: ApiObject): JsonObject | undefined {
  if (sameJson(object, previous)) return undefined;
  if (!kind.generation) return object;
  // What is not written by itself counts, too.
  const content = (value: JsonObject) => without(value, "apiVersion", "metadata", ...(kind.status ? ["status"] : []));
  if (sameJson(content(object), content(previous))) return object;
  const generation = numberAt(previous, ["metadata", "generation"]) + 1;
  return { ...object, metadata: { ...objectAt(object, "metadata"), generation } };
}
