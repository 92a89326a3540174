/** The kinds that a definition of custom resources makes: one for each version that it serves. Pure. */
import { type ApiObject, isObject, type Json, type JsonObject, listAt, objectAt, textAt } from "../json.ts";
import { age, ageColumn, column, nameColumn } from "../kinds/columns.ts";
import { type Column, defineKind, type Kind, type ScalePaths } from "../kinds/kind.ts";
import { checkValue } from "./check.ts";
import { follow, parsePath, plainNames } from "./jsonpath.ts";
import type { JsonSchema } from "./jsonschema.ts";
import { rootShape } from "./shape.ts";

const made = new WeakMap<ApiObject, readonly Kind[]>();

/** The kinds of a stored definition, that which is stored first; none before it is established. */
export function kindsOf(definition: ApiObject): readonly Kind[] {
  let kinds = made.get(definition);
  if (kinds === undefined) {
    const established = listAt(definition, "status", "conditions").some(
      (item) => textAt(item, "type") === "Established" && textAt(item, "status") === "True",
    );
    const versions = listAt(definition, "spec", "versions").filter(isObject);
    // The version that is stored is needed to know the kind, also where it is not served.
    const ordered = [
      ...versions.filter(({ storage }) => storage === true),
      ...versions.filter(({ storage, served }) => storage !== true && served === true),
    ];
    kinds = established ? ordered.map((version) => kindOfVersion(definition, version)) : [];
    made.set(definition, kinds);
  }
  return kinds;
}

function kindOfVersion(definition: ApiObject, version: JsonObject): Kind {
  const spec = objectAt(definition, "spec");
  const names = objectAt(definition, "status", "acceptedNames");
  const group = textAt(spec, "group");
  const name = textAt(version, "name");
  const kind = textAt(names, "kind");
  const schema = objectAt(version, "schema", "openAPIV3Schema") as JsonSchema;
  const subresources = objectAt(version, "subresources");
  const scale = scaleOf(subresources);
  const columns = listAt(version, "additionalPrinterColumns").filter(isObject);
  const terminating = definition.metadata.deletionTimestamp !== undefined;
  const deprecated = version.deprecated === true;
  return defineKind({
    kind,
    listKind: textAt(names, "listKind"),
    plural: textAt(names, "plural"),
    singular: textAt(names, "singular"),
    shortNames: listAt(names, "shortNames").map(String),
    categories: listAt(names, "categories").map(String),
    group,
    version: name,
    namespaced: textAt(spec, "scope") === "Namespaced",
    schema: rootShape(schema, definitionName(group, name, kind)),
    columns: [nameColumn, ...(columns.length === 0 ? [ageColumn] : columns.map(columnOf))],
    status: subresources.status !== undefined,
    generation: true,
    selectable: listAt(version, "selectableFields").map((field) => textAt(field, "jsonPath").replace(/^\./, "")),
    ...(scale === undefined ? {} : { scale }),
    validate: (object) =>
      checkValue(withoutMetadata(schema), object, "").map((problem) => ({
        ...problem,
        field: problem.field || "<nil>",
      })),
    custom: {
      schema,
      served: version.served === true,
      ...(terminating ? { closed: "create not allowed while custom resource definition is terminating" } : {}),
      ...(deprecated
        ? { deprecation: textAt(version, "deprecationWarning") || `${group}/${name} ${kind} is deprecated` }
        : {}),
    },
  });
}

/** `com.example.v1.CronTab`: the group turned around, as Go packages are named. */
function definitionName(group: string, version: string, kind: string): string {
  return [...group.split(".").reverse(), version, kind].join(".");
}

/** The types of names and labels are known: of metadata, a schema may restrict names only. */
function withoutMetadata(schema: JsonSchema): JsonSchema {
  const { metadata, ...others } = schema.properties ?? {};
  if (metadata === undefined) return schema;
  const properties = Object.fromEntries(Object.entries(metadata.properties ?? {}).filter(([name]) => name === "name"));
  return { ...schema, properties: { ...others, metadata: { type: "object", properties } } };
}

function scaleOf(subresources: JsonObject): ScalePaths | undefined {
  if (!isObject(subresources.scale)) return undefined;
  const names = (member: string) => {
    const path = textAt(subresources, "scale", member);
    return path === "" ? [] : (plainNames(parsePath(path)) ?? []);
  };
  return {
    specReplicas: names("specReplicasPath"),
    statusReplicas: names("statusReplicasPath"),
    selector: names("labelSelectorPath"),
  };
}

function columnOf(described: JsonObject): Column {
  const steps = parsePath(textAt(described, "jsonPath"));
  const type = textAt(described, "type");
  const shown = column(
    textAt(described, "name"),
    textAt(described, "description") || `${textAt(described, "jsonPath")} of the object.`,
    (object, now) => cell(type, follow(steps, object)[0], now),
    {
      type: type === "integer" || type === "number" || type === "boolean" || type === "date" ? type : "string",
      format: textAt(described, "format"),
    },
  );
  return { ...shown, priority: Number(described.priority ?? 0) };
}

function cell(type: string, value: Json | undefined, now: number): Json {
  if (value === undefined || value === null) return null;
  switch (type) {
    case "integer":
      return typeof value === "number" ? Math.trunc(value) : null;
    case "number":
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "date":
      return typeof value === "string" ? age(value, now) : null;
    default:
      return typeof value === "string" ? value : JSON.stringify(value);
  }
}
