/**
 * The schemas that definitions of custom resources carry: structural OpenAPI 3 schemas
 * (kubernetes.io, "Extend the Kubernetes API with CustomResourceDefinitions", and KEP 1623). Pure.
 */
import { duplicate, invalid, notAllowed, notSupported, type Problem, required } from "../errors.ts";
import { isList, isObject, type Json, type JsonObject } from "../json.ts";
import { defaultsWithin } from "../schema/decode.ts";
import { checkValue } from "./check.ts";
import { compilePattern } from "./pattern.ts";
import { shapeOf } from "./shape.ts";

/** A schema that {@link checkSchema} found nothing wrong with: its members are what this says. */
export interface JsonSchema extends JsonObject {
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly default?: Json;
  readonly nullable?: boolean;
  readonly enum?: readonly Json[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly maximum?: number;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly required?: readonly string[];
  readonly properties?: { readonly [name: string]: JsonSchema };
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly allOf?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly not?: JsonSchema;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
  readonly "x-kubernetes-embedded-resource"?: boolean;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-list-type"?: string;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-map-type"?: string;
  readonly "x-kubernetes-validations"?: readonly Json[];
}

type Form =
  | "text"
  | "number"
  | "count"
  | "flag"
  | "list"
  | "texts"
  | "schema"
  | "schemas"
  | "members"
  | "either"
  | "any";

/** The keywords that a schema may have, and what their values are. */
const keywords: Readonly<Record<string, Form>> = {
  type: "text",
  format: "text",
  title: "text",
  description: "text",
  default: "any",
  example: "any",
  externalDocs: "any",
  nullable: "flag",
  enum: "list",
  minimum: "number",
  exclusiveMinimum: "flag",
  maximum: "number",
  exclusiveMaximum: "flag",
  multipleOf: "number",
  minLength: "count",
  maxLength: "count",
  pattern: "text",
  minItems: "count",
  maxItems: "count",
  uniqueItems: "flag",
  minProperties: "count",
  maxProperties: "count",
  required: "texts",
  properties: "members",
  additionalProperties: "either",
  items: "schema",
  allOf: "schemas",
  anyOf: "schemas",
  oneOf: "schemas",
  not: "schema",
  "x-kubernetes-preserve-unknown-fields": "flag",
  "x-kubernetes-embedded-resource": "flag",
  "x-kubernetes-int-or-string": "flag",
  "x-kubernetes-list-type": "text",
  "x-kubernetes-list-map-keys": "texts",
  "x-kubernetes-map-type": "text",
  "x-kubernetes-validations": "list",
};
/** Keywords of OpenAPI and JSON Schema that structural schemas do not have. */
const forbiddenKeywords = [
  "$ref",
  "$schema",
  "id",
  "definitions",
  "dependencies",
  "patternProperties",
  "additionalItems",
];
const types = ["array", "boolean", "integer", "number", "object", "string"];
/** What the branches of allOf, anyOf, oneOf and not may not say: it belongs to the schema that they restrict. */
const structuralOnly = [
  "description",
  "default",
  "additionalProperties",
  "nullable",
  "x-kubernetes-preserve-unknown-fields",
  "x-kubernetes-embedded-resource",
  "x-kubernetes-int-or-string",
  "x-kubernetes-list-type",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-map-type",
];
const branches = ["allOf", "anyOf", "oneOf"] as const;
/** How deep schemas nest at most. */
const depthLimit = 100;

/** What is wrong with the schema of a version, which stands at `path`. */
export function checkSchema(path: string, value: Json | undefined): readonly Problem[] {
  const problems: Problem[] = [];
  if (!isObject(value)) return [required(path, "schemas are required")];
  checkForms(path, value, problems, 0);
  if (problems.length > 0) return problems;
  const schema = value as JsonSchema;
  if (schema.type !== "object") problems.push(invalid(`${path}.type`, schema.type, "must be object at the root"));
  if (schema.nullable === true) problems.push(notAllowed(`${path}.nullable`, "nullable cannot be true at the root"));
  const metadata = schema.properties?.metadata;
  for (const name of Object.keys(metadata?.properties ?? {})) {
    if (name !== "name" && name !== "generateName")
      problems.push(
        notAllowed(`${path}.properties[metadata].properties[${name}]`, "only name and generateName may be restricted"),
      );
  }
  checkStructure(path, schema, problems);
  return problems;
}

/** True if a schema, or one within it, has rules in CEL: they are kept and shown, not evaluated. */
export function hasRules(schema: Json | undefined): boolean {
  if (isList(schema)) return schema.some(hasRules);
  if (!isObject(schema)) return false;
  return schema["x-kubernetes-validations"] !== undefined || Object.values(schema).some(hasRules);
}

function checkForms(path: string, schema: JsonObject, problems: Problem[], depth: number): void {
  if (depth > depthLimit) problems.push(notAllowed(path, `schemas may not nest deeper than ${depthLimit} levels`));
  if (depth > depthLimit) return;
  for (const [name, value] of Object.entries(schema)) {
    const here = `${path}.${name}`;
    const form = Object.hasOwn(keywords, name) ? keywords[name] : undefined;
    if (value === undefined) continue;
    if (forbiddenKeywords.includes(name)) problems.push(notAllowed(here, `${name} is not supported`));
    else if (form === undefined)
      problems.push(notAllowed(here, "there is no such keyword in schemas of custom resources"));
    else if (!hasForm(form, value)) problems.push(invalid(here, value, `must be ${formNames[form]}`));
    else if (form === "schema" || (form === "either" && isObject(value)))
      checkForms(here, value as JsonObject, problems, depth + 1);
    else if (form === "schemas")
      for (const [i, item] of (value as readonly JsonObject[]).entries())
        checkForms(`${here}[${i}]`, item, problems, depth + 1);
    else if (form === "members")
      for (const [key, member] of Object.entries(value as JsonObject))
        checkForms(`${here}[${key}]`, member as JsonObject, problems, depth + 1);
  }
}

const formNames: Readonly<Record<Form, string>> = {
  text: "a string",
  number: "a number",
  count: "a whole number from 0 on",
  flag: "true or false",
  list: "a list",
  texts: "a list of strings",
  schema: "a schema",
  schemas: "a list of schemas",
  members: "schemas by name",
  either: "a schema, true or false",
  any: "any value",
};

function hasForm(form: Form, value: Json): boolean {
  switch (form) {
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "number";
    case "count":
      return typeof value === "number" && Number.isInteger(value) && value >= 0;
    case "flag":
      return typeof value === "boolean";
    case "list":
      return isList(value);
    case "texts":
      return isList(value) && value.every((item) => typeof item === "string");
    case "schema":
      return isObject(value);
    case "schemas":
      return isList(value) && value.every(isObject);
    case "members":
      return isObject(value) && Object.values(value).every(isObject);
    case "either":
      return typeof value === "boolean" || isObject(value);
    case "any":
      return true;
  }
}

/** The rules of structural schemas: every place has one type, and one meaning. */
function checkStructure(path: string, schema: JsonSchema, problems: Problem[]): void {
  const { type, properties, additionalProperties, items } = schema;
  const either = schema["x-kubernetes-int-or-string"] === true;
  const open = schema["x-kubernetes-preserve-unknown-fields"] === true;
  if (type === undefined || type === "") {
    if (!either && !open) problems.push(required(`${path}.type`, "must not be empty for specified object fields"));
  } else if (!types.includes(type)) problems.push(notSupported(`${path}.type`, type, types));
  else if (either) problems.push(notAllowed(`${path}.type`, "must be empty if x-kubernetes-int-or-string is true"));
  if (properties !== undefined && additionalProperties !== undefined && additionalProperties !== false)
    problems.push(
      notAllowed(`${path}.additionalProperties`, "properties and additionalProperties are mutually exclusive"),
    );
  if (additionalProperties === false)
    problems.push(
      notAllowed(`${path}.additionalProperties`, "must be true or a schema: unknown members are pruned anyway"),
    );
  if ((properties !== undefined || additionalProperties !== undefined) && type !== "object" && !open)
    problems.push(invalid(`${path}.type`, type, "must be object where there are members"));
  if (type === "array" && items === undefined) problems.push(required(`${path}.items`, "must be specified"));
  if (schema.uniqueItems === true)
    problems.push(notAllowed(`${path}.uniqueItems`, "uniqueItems cannot be true: use x-kubernetes-list-type set"));
  if (schema["x-kubernetes-embedded-resource"] === true && type !== "object")
    problems.push(invalid(`${path}.type`, type, "must be object if x-kubernetes-embedded-resource is true"));
  checkLists(path, schema, problems);
  checkPatterns(path, schema, problems);
  for (const name of branches)
    for (const [i, branch] of (schema[name] ?? []).entries())
      checkBranch(`${path}.${name}[${i}]`, branch, schema, problems);
  if (schema.not !== undefined) checkBranch(`${path}.not`, schema.not, schema, problems);
  for (const [name, member] of Object.entries(properties ?? {}))
    checkStructure(`${path}.properties[${name}]`, member, problems);
  if (isObject(additionalProperties))
    checkStructure(`${path}.additionalProperties`, additionalProperties as JsonSchema, problems);
  if (items !== undefined) checkStructure(`${path}.items`, items, problems);
  if (schema.default !== undefined && problems.length === 0)
    problems.push(...checkValue(schema, defaultsWithin(shapeOf(schema), schema.default), `${path}.default`));
}

function checkPatterns(path: string, schema: JsonSchema, problems: Problem[]): void {
  if (schema.pattern === undefined) return;
  try {
    compilePattern(schema.pattern);
  } catch (error) {
    problems.push(
      invalid(
        `${path}.pattern`,
        schema.pattern,
        `must be a regular expression: ${error instanceof Error ? error.message : String(error)}`,
      ),
    );
  }
}

function checkLists(path: string, schema: JsonSchema, problems: Problem[]): void {
  const kind = schema["x-kubernetes-list-type"];
  const keys = schema["x-kubernetes-list-map-keys"];
  const map = schema["x-kubernetes-map-type"];
  if (map !== undefined && map !== "atomic" && map !== "granular")
    problems.push(notSupported(`${path}.x-kubernetes-map-type`, map, ["atomic", "granular"]));
  if (kind !== undefined && !["atomic", "set", "map"].includes(kind))
    problems.push(notSupported(`${path}.x-kubernetes-list-type`, kind, ["atomic", "set", "map"]));
  if (kind !== undefined && schema.type !== "array")
    problems.push(invalid(`${path}.type`, schema.type, "must be array if x-kubernetes-list-type is specified"));
  if (kind !== "map") {
    if (keys !== undefined)
      problems.push(notAllowed(`${path}.x-kubernetes-list-map-keys`, "only for x-kubernetes-list-type map"));
    return;
  }
  if (keys === undefined || keys.length === 0)
    problems.push(required(`${path}.x-kubernetes-list-map-keys`, "must not be empty if x-kubernetes-list-type is map"));
  const seen = new Set<string>();
  for (const [i, key] of (keys ?? []).entries()) {
    const here = `${path}.x-kubernetes-list-map-keys[${i}]`;
    const member = schema.items?.properties?.[key];
    if (seen.has(key)) problems.push(duplicate(here, key));
    seen.add(key);
    if (member === undefined) problems.push(invalid(here, key, "must name a property of the items"));
    else if (member.default === undefined && !(schema.items?.required ?? []).includes(key))
      problems.push(invalid(here, key, "the property must be required, or have a default"));
  }
}

/** A branch restricts what the schema around it describes: it names no type, and no member that is not there. */
function checkBranch(path: string, branch: JsonSchema, around: JsonSchema | undefined, problems: Problem[]): void {
  const either = around?.["x-kubernetes-int-or-string"] === true;
  if (branch.type !== undefined && !(either && (branch.type === "integer" || branch.type === "string")))
    problems.push(notAllowed(`${path}.type`, "must be empty to be structural"));
  for (const name of structuralOnly)
    if (branch[name] !== undefined) problems.push(notAllowed(`${path}.${name}`, "must be undefined to be structural"));
  checkPatterns(path, branch, problems);
  for (const [name, member] of Object.entries(branch.properties ?? {})) {
    const described = memberOf(around, name);
    if (described === undefined)
      problems.push(
        required(
          `${path}.properties[${name}]`,
          "because it is defined in a branch, it must be defined beside the branches, too",
        ),
      );
    else checkBranch(`${path}.properties[${name}]`, member, described === "any" ? undefined : described, problems);
  }
  if (branch.items !== undefined) checkBranch(`${path}.items`, branch.items, around?.items, problems);
  for (const name of branches)
    for (const [i, inner] of (branch[name] ?? []).entries())
      checkBranch(`${path}.${name}[${i}]`, inner, around, problems);
  if (branch.not !== undefined) checkBranch(`${path}.not`, branch.not, around, problems);
}

function memberOf(schema: JsonSchema | undefined, name: string): JsonSchema | "any" | undefined {
  if (schema === undefined) return "any";
  const own =
    schema.properties !== undefined && Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
  if (own !== undefined) return own;
  const more = schema.additionalProperties;
  if (isObject(more)) return more as JsonSchema;
  const implied =
    schema["x-kubernetes-embedded-resource"] === true && ["apiVersion", "kind", "metadata"].includes(name);
  return more === true || implied || schema["x-kubernetes-preserve-unknown-fields"] === true ? "any" : undefined;
}
