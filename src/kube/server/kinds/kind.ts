/** What the server knows of a kind: one description, from which every part of it works. */

import type { JsonSchema } from "../custom/jsonschema.ts";
import type { Problem, Subject } from "../errors.ts";
import type { ApiObject, Json, JsonObject } from "../json.ts";
import { type Field, of, type Struct, str, struct } from "../schema/schema.ts";
import { objectMeta } from "./meta.ts";

/** A kind of objects, served as a resource. */
export interface Kind extends Subject {
  readonly version: string;
  readonly singular: string;
  /** The kind of lists: the kind itself with `List` behind it, in most cases. */
  readonly listKind: string;
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
  /** Sentences that a client should see about what it wrote. */
  readonly warnings?: (object: JsonObject, previous: JsonObject | undefined) => readonly string[];
  /** A finalizer that every deletion begins with; whoever cleans up takes it away. */
  readonly cleanup?: string;
  /** Where the kind is another form of a stored one. */
  readonly alias?: Alias;
  /** What a kind that clients have defined has besides. */
  readonly custom?: Custom;
}

/** What a kind has that was made from a definition, in one of its versions. Versions differ in their apiVersion alone. */
export interface Custom {
  /** What its objects look like, as the definition says it. */
  readonly schema: JsonSchema;
  readonly served: boolean;
  /** Why no objects can be made any more, if so. */
  readonly closed?: string;
  /** What clients of a version are told that is not to be used any more. */
  readonly deprecation?: string;
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

/** A column of a table. One with a `priority` above 0 is shown by `-o wide` only. `now` is in milliseconds since the epoch. */
export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  readonly format?: string;
  readonly description: string;
  readonly priority: number;
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

/** A stored object in the form of a kind. */
export function outward(kind: Kind, object: ApiObject): ApiObject {
  if (kind.alias !== undefined) return kind.alias.fromStored(object) as ApiObject;
  const apiVersion = apiVersionOf(kind);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

type Optional =
  | "group"
  | "version"
  | "singular"
  | "listKind"
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
    listKind: `${kind.kind}List`,
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
