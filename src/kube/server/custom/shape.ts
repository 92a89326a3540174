/** The shape of a custom resource in the language of kinds: from it come pruning, defaults and ownership of fields. Pure. */
import { isObject } from "../json.ts";
import { objectMeta } from "../kinds/meta.ts";
import { type Field, of, type Schema, type Struct, str, struct } from "../schema/schema.ts";
import type { JsonSchema } from "./jsonschema.ts";

/** The shape of a whole object; `name` is that of its OpenAPI definition. */
export function rootShape(schema: JsonSchema, name: string): Struct {
  return { ...structOf(schema, name), fields: { ...fieldsOf(schema), ...typeFields() } };
}

/**
 * The shape of a value. Scalars, and what has no type, are taken as they come: whether they are of the right type is
 * told by {@link checkValue}, in the words that clients know of custom resources.
 */
export function shapeOf(schema: JsonSchema): Schema {
  const { type, additionalProperties, items } = schema;
  const atomic = schema["x-kubernetes-map-type"] === "atomic";
  if (type === "array" && items !== undefined) {
    const kind = schema["x-kubernetes-list-type"];
    return {
      type: "list",
      items: shapeOf(items),
      kind: kind === "set" || kind === "map" ? kind : "atomic",
      keys: schema["x-kubernetes-list-map-keys"] ?? [],
      lenient: true,
    };
  }
  if (type !== "object") return { type: "opaque" };
  if (isObject(additionalProperties))
    return { type: "map", values: shapeOf(additionalProperties as JsonSchema), atomic, lenient: true };
  if (
    schema.properties === undefined &&
    (additionalProperties === true || schema["x-kubernetes-preserve-unknown-fields"] === true)
  ) {
    if (schema["x-kubernetes-embedded-resource"] !== true)
      return { type: "map", values: { type: "opaque" }, atomic, lenient: true };
  }
  return structOf(schema, "");
}

function structOf(schema: JsonSchema, name: string): Struct {
  const embedded = schema["x-kubernetes-embedded-resource"] === true ? typeFields() : {};
  return {
    ...struct(
      name,
      schema.description ?? "",
      { ...fieldsOf(schema), ...embedded },
      { required: schema.required ?? [], atomic: schema["x-kubernetes-map-type"] === "atomic" },
    ),
    open: schema["x-kubernetes-preserve-unknown-fields"] === true,
    lenient: true,
  };
}

function fieldsOf(schema: JsonSchema): Readonly<Record<string, Field>> {
  return Object.fromEntries(
    Object.entries(schema.properties ?? {}).map(([name, member]): readonly [string, Field] => [
      name,
      {
        schema: shapeOf(member),
        doc: member.description ?? "",
        ...(member.default === undefined ? {} : { default: member.default }),
        ...(member.nullable === true ? { nullable: true } : {}),
      },
    ]),
  );
}

function typeFields(): Readonly<Record<string, Field>> {
  return {
    apiVersion: str("The group and version of the API that the object is written in."),
    kind: str("The kind of the object."),
    metadata: of(objectMeta, "Name, labels and the like."),
  };
}
