/**
 * The schemas that definitions of custom resources carry: structural OpenAPI 3 schemas
 * (kubernetes.io, "Extend the Kubernetes API with CustomResourceDefinitions", and KEP 1623). Pure.
 */
import { invalid, notAllowed, type Problem, required } from "../errors.ts";
import { isList, isObject, type Json, type JsonObject } from "../json.ts";
import { checkStructure } from "./structural.ts";

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
