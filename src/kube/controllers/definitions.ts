/** Definitions of custom resources: their names are accepted, they are established, and their objects go when they go. */
import type { Api } from "../server/api.ts";
import { definitions } from "../server/custom/registry.ts";
import { type ApiObject, isObject, type JsonObject, listAt, objectAt, sameJson, textAt } from "../server/json.ts";
import { cleanup } from "../server/kinds/definition.ts";
import type { Kind } from "../server/kinds/kind.ts";
import { timestamp } from "../server/lifecycle.ts";
import { type Action, perform } from "./action.ts";
import type { Controller } from "./loop.ts";
import { conditionOf } from "./pods.ts";

/** The names of one kind, by which it must differ from the others of its group. */
interface Names {
  readonly resource: readonly string[];
  readonly kind: readonly string[];
}

function namesOf(names: JsonObject): Names {
  const short = listAt(names, "shortNames").map(String);
  return {
    resource: [textAt(names, "plural"), textAt(names, "singular"), ...short],
    kind: [textAt(names, "kind"), textAt(names, "listKind")],
  };
}

/**
 * The status that a definition should have, or undefined if it has it.
 *
 * @param others kinds of the same group that are there already.
 */
export function decideStatus(definition: ApiObject, others: readonly Kind[], now: number): JsonObject | undefined {
  const wanted = objectAt(definition, "spec", "names");
  const own = namesOf(wanted);
  const taken = {
    resource: new Set(others.flatMap((kind) => [kind.plural, kind.singular, ...kind.shortNames])),
    kind: new Set(others.flatMap((kind) => [kind.kind, kind.listKind])),
  };
  const clash = own.resource.find((name) => taken.resource.has(name)) ?? own.kind.find((name) => taken.kind.has(name));
  const status = objectAt(definition, "status");
  const established = textAt(conditionOf(definition, "Established"), "status") === "True";
  const accepted: JsonObject =
    clash === undefined
      ? { type: "NamesAccepted", status: "True", reason: "NoConflicts", message: "no conflicts found" }
      : {
          type: "NamesAccepted",
          status: "False",
          reason: "NameConflict",
          message: `${JSON.stringify(clash)} is already in use`,
        };
  // What is established stays so: its objects are there.
  const ready: JsonObject =
    clash === undefined || established
      ? {
          type: "Established",
          status: "True",
          reason: "InitialNamesAccepted",
          message: "the initial names have been accepted",
        }
      : { type: "Established", status: "False", reason: "NotAccepted", message: "not all names are accepted" };
  const ending: readonly JsonObject[] =
    definition.metadata.deletionTimestamp === undefined
      ? []
      : [
          {
            type: "Terminating",
            status: "True",
            reason: "InstanceDeletionInProgress",
            message: "objects of the kind are being deleted",
          },
        ];
  const found = [accepted, ready, ...ending];
  const kept = listAt(status, "conditions").filter(isObject);
  const conditions = found.map((condition) => {
    const before = kept.find(({ type }) => type === condition.type);
    const since = before?.status === condition.status ? before?.lastTransitionTime : timestamp(now);
    return { ...condition, lastTransitionTime: since };
  });
  const rest = kept.filter(({ type }) => !found.some((condition) => condition.type === type));
  const next = {
    ...status,
    conditions: [...rest, ...conditions],
    acceptedNames: clash === undefined ? wanted : objectAt(status, "acceptedNames"),
  };
  return sameJson(next, status) ? undefined : next;
}

/** The controller of definitions. Its keys are their names. */
export function definitionController(api: Api): Controller {
  const ending = (name: string) =>
    api.store.get({ resource: definitions, namespace: "", name })?.metadata.deletionTimestamp !== undefined;
  return {
    name: "definition-controller",
    get watches() {
      return [definitions, ...api.list(definitions).map(({ metadata }) => metadata.name)];
    },
    keysOf(resource, { type, object }) {
      if (resource !== definitions) return type === "DELETED" && ending(resource) ? [resource] : [];
      if (type !== "DELETED") return [object.metadata.name];
      // Names that it had are free now.
      return api.list(definitions).map(({ metadata }) => metadata.name);
    },
    reconcile(name) {
      const definition = api.store.get({ resource: definitions, namespace: "", name });
      if (definition === undefined) return undefined;
      const kind = api.kinds.kindOf(name);
      const group = textAt(definition, "spec", "group");
      const others = api.kinds.stored.filter(
        (other) => other.group === group && (other.plural !== kind?.plural || other.custom === undefined),
      );
      const status = decideStatus(definition, others, api.now());
      const actions: readonly Action[] =
        status === undefined ? [] : [{ type: "status", resource: definitions, object: { ...definition, status } }];
      perform(api, actions, "definition-controller");
      if (actions.length === 0 && definition.metadata.deletionTimestamp !== undefined) end(api, definition, kind);
      return undefined;
    },
  };
}

/** Deletes the objects of a kind; with the last of them, the definition may go. */
function end(api: Api, definition: ApiObject, kind: Kind | undefined): void {
  const { name } = definition.metadata;
  for (const object of kind === undefined ? [] : api.list(name)) {
    if (kind === undefined || object.metadata.deletionTimestamp !== undefined) continue;
    api.delete(kind, object.metadata.namespace ?? "", object.metadata.name, {
      dryRun: false,
      propagation: "Background",
    });
  }
  if (api.store.count(name) > 0) return;
  const finalizers = listAt(definition, "metadata", "finalizers").filter((item) => item !== cleanup);
  const metadata = { ...definition.metadata, finalizers };
  perform(
    api,
    [{ type: "update", resource: definitions, object: { ...definition, metadata } }],
    "definition-controller",
  );
}
