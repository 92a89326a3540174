/** OpenAPI documents, versions 2 and 3, from the descriptions of kinds: for `kubectl explain`, apply and diff. Pure. */
import { publishedSchema } from "../custom/openapi.ts";
import type { Json, JsonObject, MutableObject } from "../json.ts";
import type { Kind } from "../kinds/kind.ts";
import { objectMeta } from "../kinds/meta.ts";
import type { Field, Schema, Struct } from "./schema.ts";

/** How a document points at a definition. */
export type Dialect = "v2" | "v3";

const prefixes: Readonly<Record<Dialect, string>> = { v2: "#/definitions/", v3: "#/components/schemas/" };

/** The definitions of the structs that kinds are made of, by name. Kinds carry their group, version and kind. */
export function definitionsOf(kinds: readonly Kind[], dialect: Dialect): Readonly<Record<string, JsonObject>> {
  const definitions: Record<string, JsonObject> = {};
  const visit = (schema: Schema): void => {
    if (schema.type === "list") visit(schema.items);
    else if (schema.type === "map") visit(schema.values);
    else if (schema.type === "struct" && definitions[schema.name] === undefined) {
      definitions[schema.name] = definitionOf(schema, dialect);
      for (const field of Object.values(schema.fields)) visit(field.schema);
    }
  };
  for (const [name, definition] of Object.entries(primitives(dialect))) definitions[name] = definition;
  for (const kind of kinds) {
    const { group, version, custom } = kind;
    if (custom === undefined) visit(kind.schema);
    else {
      visit(objectMeta);
      const metadata = property({ schema: objectMeta, doc: "Name, labels and the like." }, dialect);
      definitions[kind.schema.name] = publishedSchema(custom.schema, dialect, metadata);
    }
    const itself = {
      ...definitions[kind.schema.name],
      "x-kubernetes-group-version-kind": [{ group, version, kind: kind.kind }],
    };
    definitions[kind.schema.name] = itself;
    const name = `${kind.schema.name}List`;
    definitions[name] = {
      description: `A list of ${kind.plural}.`,
      type: "object",
      required: ["items"],
      properties: {
        apiVersion: { type: "string" },
        kind: { type: "string" },
        items: { type: "array", items: { $ref: prefixes[dialect] + kind.schema.name } },
        metadata: { type: "object", description: "Version of the list, and where it goes on." },
      },
      "x-kubernetes-group-version-kind": [{ group, version, kind: kind.listKind }],
    };
  }
  return definitions;
}

const intOrStringName = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const quantityName = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/** Scalars that have definitions of their own, by which clients know them. */
function primitives(dialect: Dialect): Readonly<Record<string, JsonObject>> {
  const either = (other: string, extra: JsonObject): JsonObject =>
    dialect === "v2" ? { type: "string", ...extra } : { oneOf: [{ type: other }, { type: "string" }], ...extra };
  return {
    [intOrStringName]: { description: "A number or a text.", ...either("integer", { format: "int-or-string" }) },
    [quantityName]: { description: "An amount such as 500m or 1Gi.", ...either("number", {}) },
  };
}

function definitionOf(schema: Struct, dialect: Dialect): JsonObject {
  const properties = Object.fromEntries(
    Object.entries(schema.fields).map(([name, field]) => [name, property(field, dialect)]),
  );
  return {
    description: schema.doc,
    type: "object",
    ...(schema.required.length > 0 ? { required: schema.required } : {}),
    properties,
    ...(schema.atomic ? { "x-kubernetes-map-type": "atomic" } : {}),
  };
}

/** A member: what it may be, with its sentence and its default. Version 3 wants references wrapped for that. */
function property(field: Field, dialect: Dialect): JsonObject {
  const { schema } = field;
  const shape = shapeOf(schema, dialect);
  const fallback = dialect === "v3" && field.default !== undefined ? { default: field.default } : {};
  const strategies = strategiesOf(schema);
  if (shape.$ref === undefined || dialect === "v2")
    return { description: field.doc, ...shape, ...fallback, ...strategies };
  return { description: field.doc, allOf: [shape], ...fallback, ...strategies };
}

function strategiesOf(schema: Schema): JsonObject {
  if (schema.type === "struct") return schema.retainKeys ? { "x-kubernetes-patch-strategy": "retainKeys" } : {};
  if (schema.type !== "list") return {};
  const result: MutableObject = { "x-kubernetes-list-type": schema.kind };
  if (schema.kind === "map") result["x-kubernetes-list-map-keys"] = schema.keys;
  if (schema.mergeKey !== undefined) {
    const retain = schema.items.type === "struct" && schema.items.retainKeys;
    result["x-kubernetes-patch-strategy"] = retain ? "merge,retainKeys" : "merge";
    if (schema.mergeKey !== "") result["x-kubernetes-patch-merge-key"] = schema.mergeKey;
  }
  return result;
}

function shapeOf(schema: Schema, dialect: Dialect): JsonObject {
  switch (schema.type) {
    case "struct":
      return { $ref: prefixes[dialect] + schema.name };
    case "list":
      return { type: "array", items: itemOf(schema.items, dialect) };
    case "map":
      return {
        type: "object",
        additionalProperties: itemOf(schema.values, dialect),
        ...(schema.atomic ? { "x-kubernetes-map-type": "atomic" } : {}),
      };
    case "opaque":
      return { "x-kubernetes-preserve-unknown-fields": true };
    case "int32":
    case "int64":
      return { type: "integer", format: schema.type };
    case "number":
    case "boolean":
      return { type: schema.type };
    case "intOrString":
      return { $ref: prefixes[dialect] + intOrStringName };
    case "quantity":
      return { $ref: prefixes[dialect] + quantityName };
    case "time":
    case "microTime":
      return { type: "string", format: "date-time" };
    case "bytes":
      return { type: "string", format: "byte" };
    default:
      return { type: "string", ...(schema.values === undefined ? {} : { enum: schema.values }) };
  }
}

function itemOf(schema: Schema, dialect: Dialect): JsonObject {
  const shape = shapeOf(schema, dialect);
  return shape.$ref !== undefined && dialect === "v3" ? { allOf: [shape], default: {} } : shape;
}

/** Query parameters that writes know, by method: clients look here whether a server validates and can dry-run. */
const writes: Readonly<Record<string, { readonly action: string; readonly parameters: readonly string[] }>> = {
  post: { action: "post", parameters: ["dryRun", "fieldManager", "fieldValidation"] },
  put: { action: "put", parameters: ["dryRun", "fieldManager", "fieldValidation"] },
  patch: { action: "patch", parameters: ["dryRun", "fieldManager", "fieldValidation", "force"] },
  delete: { action: "delete", parameters: ["dryRun"] },
  get: { action: "get", parameters: [] },
};

/** The paths of kinds: what can be done where. */
export function pathsOf(kinds: readonly Kind[], dialect: Dialect): Readonly<Record<string, JsonObject>> {
  const paths: Record<string, JsonObject> = {};
  for (const kind of kinds) {
    const root = kind.group === "" ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
    const all = `${root}/${kind.namespaced ? "namespaces/{namespace}/" : ""}${kind.plural}`;
    paths[all] = { get: operation(kind, "get", "list", dialect), post: operation(kind, "post", "post", dialect) };
    paths[`${all}/{name}`] = Object.fromEntries(
      ["get", "put", "patch", "delete"].map((method) => [method, operation(kind, method, method, dialect)]),
    );
  }
  return paths;
}

function operation(kind: Kind, method: string, action: string, dialect: Dialect): JsonObject {
  const { group, version } = kind;
  const parameters: readonly Json[] = (writes[method]?.parameters ?? []).map((name) => {
    const type = name === "force" ? "boolean" : "string";
    return dialect === "v2"
      ? { name, in: "query", type, uniqueItems: true }
      : { name, in: "query", schema: { type, uniqueItems: true } };
  });
  return {
    operationId: `${action}${kind.group}${kind.version}${kind.kind}`,
    parameters,
    responses: { 200: { description: "OK" } },
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": { group, version, kind: kind.kind },
  };
}

const info = { title: "Kubernetes", version: "v1.33.0" };

/** The document of version 2, of all kinds. */
export function openApi2(kinds: readonly Kind[]): JsonObject {
  return { swagger: "2.0", info, paths: pathsOf(kinds, "v2"), definitions: definitionsOf(kinds, "v2") };
}

/** The document of version 3, of the kinds of one group and version. */
export function openApi3(kinds: readonly Kind[]): JsonObject {
  return { openapi: "3.0.0", info, paths: pathsOf(kinds, "v3"), components: { schemas: definitionsOf(kinds, "v3") } };
}
