/** The schemas of definitions as OpenAPI documents show them. Pure. */
import { isList, isObject, type Json, type JsonObject, type MutableObject } from "../json.ts";
import type { JsonSchema } from "./jsonschema.ts";

/** Keywords that version 2 of OpenAPI cannot say, or clients of it cannot read. */
const notInTwo = ["nullable", "anyOf", "oneOf", "allOf", "not", "default", "x-kubernetes-validations"];

/** The schema of a kind for a document; `metadata` is how its metadata is written there. */
export function publishedSchema(schema: JsonSchema, dialect: "v2" | "v3", metadata: JsonObject): JsonObject {
  const shown = published(schema, dialect);
  const properties = {
    apiVersion: { type: "string", description: "The group and version of the API that the object is written in." },
    kind: { type: "string", description: "The kind of the object." },
    ...(isObject(shown.properties) ? shown.properties : {}),
    metadata,
  };
  const open = dialect === "v2" && schema["x-kubernetes-preserve-unknown-fields"] === true;
  return open ? shown : { ...shown, type: "object", properties };
}

function published(schema: JsonSchema, dialect: "v2" | "v3"): JsonObject {
  const result: MutableObject = {};
  for (const [name, value] of Object.entries(schema)) {
    if (value === undefined || (dialect === "v2" && notInTwo.includes(name))) continue;
    result[name] = member(name, value, dialect);
  }
  if (dialect === "v3") return result;
  // Clients of version 2 check objects themselves, and would take what they cannot know for a mistake.
  const open = schema["x-kubernetes-preserve-unknown-fields"] === true;
  if (open || schema.nullable === true)
    for (const name of ["type", "properties", "items", "required", "additionalProperties"]) delete result[name];
  if (result.additionalProperties === true) delete result.additionalProperties;
  return result;
}

function member(name: string, value: Json, dialect: "v2" | "v3"): Json {
  if (name === "properties" && isObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, published(inner as JsonSchema, dialect)]),
    );
  }
  if ((name === "items" || name === "additionalProperties" || name === "not") && isObject(value))
    return published(value as JsonSchema, dialect);
  if (["allOf", "anyOf", "oneOf"].includes(name) && isList(value))
    return value.map((inner) => published(inner as JsonSchema, dialect));
  return value;
}
