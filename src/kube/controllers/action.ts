/** What controllers decide, as data, and the one place where it is done. */
import { createHash } from "node:crypto";
import { type Api, internal, isCode } from "../server/api.ts";
import { type ApiObject, type JsonObject, listAt, objectAt } from "../server/json.ts";
import type { Kind } from "../server/kinds/kind.ts";
import type { Propagation } from "../server/lifecycle.ts";

/** A write that a controller wants. `object` of an update is the whole object as it shall be. */
export type Action =
  | {
      readonly type: "create";
      readonly resource: string;
      readonly namespace: string;
      readonly object: JsonObject;
      /** Whose event tells of it: of a workload that makes a pod. */
      readonly of?: ApiObject;
    }
  | { readonly type: "update" | "status"; readonly resource: string; readonly object: ApiObject }
  | {
      readonly type: "delete";
      readonly resource: string;
      readonly object: ApiObject;
      readonly propagation?: Propagation;
      /** As for `create`. */
      readonly of?: ApiObject;
    }
  | {
      readonly type: "event";
      readonly about: ApiObject;
      readonly reason: string;
      readonly message: string;
      readonly warning?: boolean;
    };

/**
 * Does the writes in order. What is to be deleted may already be gone.
 *
 * @param component names the controller in events.
 */
export function perform(api: Api, actions: readonly Action[], component: string): void {
  for (const action of actions) {
    switch (action.type) {
      case "create":
        tell(
          api,
          action,
          api.create(needKind(api, action.resource), action.namespace, action.object, internal),
          component,
        );
        break;
      case "update":
      case "status": {
        const { namespace = "", name } = action.object.metadata;
        const part = action.type === "status" ? "status" : "";
        api.update(needKind(api, action.resource), namespace, name, action.object, part, internal);
        break;
      }
      case "delete": {
        const { namespace = "", name, uid } = action.object.metadata;
        const propagation = action.propagation ?? "Background";
        try {
          api.delete(needKind(api, action.resource), namespace, name, { dryRun: false, propagation, uid });
          tell(api, action, action.object, component);
        } catch (error) {
          if (!isCode(error, 404)) throw error;
        }
        break;
      }
      case "event":
        recordEvent(api, action, component);
        break;
    }
  }
}

/** Tells in an event of a workload which pod it made or gave up. */
function tell(
  api: Api,
  { type, of }: Extract<Action, { type: "create" | "delete" }>,
  pod: ApiObject,
  component: string,
): void {
  if (of === undefined) return;
  const [reason, done] = type === "create" ? ["SuccessfulCreate", "Created"] : ["SuccessfulDelete", "Deleted"];
  recordEvent(api, { type: "event", about: of, reason, message: `${done} pod: ${pod.metadata.name}` }, component);
}

/** The kind of a resource that is known to exist. */
export function needKind(api: Api, resource: string): Kind {
  const kind = api.kinds.kindOf(resource);
  if (kind === undefined) throw new Error(`there is no kind for ${resource}`);
  return kind;
}

function recordEvent(
  api: Api,
  { about, reason, message, warning = false }: Extract<Action, { type: "event" }>,
  component: string,
): void {
  const kind = needKind(api, "events");
  const { namespace = "default", name, uid, resourceVersion } = about.metadata;
  const now = new Date(api.now());
  const seconds = `${now.toISOString().slice(0, 19)}Z`;
  // The same thing again has the same name: it is counted, not told again.
  const digest = createHash("sha256").update(`${uid}\0${reason}\0${message}`).digest("hex").slice(0, 16);
  const eventName = `${name}.${digest}`;
  const same = api.store.get({ resource: "events", namespace, name: eventName });
  try {
    if (same !== undefined) {
      const count = Number(same.count ?? 1) + 1;
      api.update(kind, namespace, eventName, { ...same, count, lastTimestamp: seconds }, "", internal);
      return;
    }
    api.create(
      kind,
      namespace,
      {
        metadata: { name: eventName },
        involvedObject: {
          apiVersion: about.apiVersion,
          kind: about.kind,
          name,
          uid,
          resourceVersion,
          ...(about.metadata.namespace === undefined ? {} : { namespace }),
        },
        reason,
        message,
        type: warning ? "Warning" : "Normal",
        source: { component },
        reportingComponent: component,
        firstTimestamp: seconds,
        lastTimestamp: seconds,
        count: 1,
      },
      internal,
    );
  } catch (error) {
    // An event about something in a namespace that is ending has nowhere to go.
    if (!isCode(error, 403) && !isCode(error, 404)) throw error;
  }
}

/** The reference by which `owner` controls an object. */
export function controlledBy(owner: ApiObject): JsonObject {
  const { name, uid } = owner.metadata;
  return { apiVersion: owner.apiVersion, kind: owner.kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** The reference to the controller of an object, or undefined. */
export function controllerOf(object: JsonObject): JsonObject | undefined {
  return listAt(object, "metadata", "ownerReferences").find(
    (owner): owner is JsonObject => objectAt({ owner }, "owner").controller === true,
  );
}

/** True if `owner` controls the object. */
export function isControlledBy(object: JsonObject, owner: ApiObject): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}
