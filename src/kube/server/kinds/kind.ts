/** What the server knows of a kind: one description, from which every part of it works. */
import type { Problem, Subject } from "../errors.ts";
import type { Json, JsonObject } from "../json.ts";
import { type Field, of, type Struct, str, struct } from "../schema/schema.ts";
import { objectMeta } from "./meta.ts";

/** A kind of objects, served as a resource. */
export interface Kind extends Subject {
  readonly version: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly schema: Struct;
  /** Columns of `kubectl get`, in order. `Name` and `Age` are columns like others. */
  readonly columns: readonly Column[];
  /** True if `status` is a subresource: written by itself, and by nothing else. */
  readonly status: boolean;
  /** Where `scale` finds its numbers; undefined for kinds that do not scale. */
  readonly scale?: ScalePaths;
  /** Fields that field selectors may name, besides the name and namespace. */
  readonly selectable: readonly string[];
  /** False for kinds whose `metadata.generation` stays absent. */
  readonly generation: boolean;
  /** True if a PUT or PATCH of an object that is missing makes it. */
  readonly createOnUpdate: boolean;
  /** Fills in what depends on other fields. Pure; gets and gives whole objects. */
  readonly prepare?: (object: JsonObject, previous: JsonObject | undefined) => JsonObject;
  /** What is wrong with an object that has its defaults. Metadata is looked at elsewhere. */
  readonly validate?: (object: JsonObject) => readonly Problem[];
  /** What may not change between two states. */
  readonly validateUpdate?: (object: JsonObject, previous: JsonObject) => readonly Problem[];
  /** Where the kind is another version of a stored one. */
  readonly alias?: Alias;
}

/** Another way to write objects of a stored kind. */
export interface Alias {
  /** The resource of the stored kind, such as `events`. */
  readonly resource: string;
  readonly toStored: (object: JsonObject) => JsonObject;
  readonly fromStored: (object: JsonObject) => JsonObject;
}

/** Where the numbers of the `scale` subresource are. */
export interface ScalePaths {
  readonly specReplicas: readonly string[];
  readonly statusReplicas: readonly string[];
  readonly selector: readonly string[];
}

/** A column of a table. `priority` 1 is shown by `-o wide` only. `now` is in milliseconds since the epoch. */
export interface Column {
  readonly name: string;
  readonly type: "string" | "integer";
  readonly format?: string;
  readonly description: string;
  readonly priority: 0 | 1;
  readonly value: (object: JsonObject, now: number) => Json;
}

/** The resource of a kind, as the store files it: `services`, `deployments.apps`. */
export function resourceOf(kind: { readonly plural: string; readonly group: string }): string {
  return kind.group === "" ? kind.plural : `${kind.plural}.${kind.group}`;
}

/** `v1`, `apps/v1`. */
export function apiVersionOf(kind: { readonly group: string; readonly version: string }): string {
  return kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
}

type Optional =
  | "group"
  | "version"
  | "singular"
  | "shortNames"
  | "categories"
  | "namespaced"
  | "status"
  | "selectable"
  | "generation"
  | "createOnUpdate";

/** A kind with what most kinds are: namespaced, core `v1`, the singular in lower case, no subresource. */
export function defineKind(kind: Omit<Kind, Optional> & Partial<Pick<Kind, Optional>>): Kind {
  return {
    group: "",
    version: "v1",
    singular: kind.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    namespaced: true,
    status: false,
    selectable: [],
    generation: false,
    createOnUpdate: false,
    ...kind,
  };
}

/** The schema of a kind: the fields that every object has, and its own. */
export function objectSchema(name: string, doc: string, fields: Readonly<Record<string, Field>>): Struct {
  return struct(name, doc, {
    apiVersion: str("The group and version of the API that the object is written in."),
    kind: str("The kind of the object."),
    metadata: of(objectMeta, "Name, labels and the like."),
    ...fields,
  });
}
