/** What makes a schema structural: every place has one type and one meaning, whatever its branches restrict. Pure. */
import { duplicate, invalid, notAllowed, notSupported, type Problem, required } from "../errors.ts";
import { isObject } from "../json.ts";
import { defaultsWithin } from "../schema/decode.ts";
import { checkValue } from "./check.ts";
import type { JsonSchema } from "./jsonschema.ts";
import { compilePattern } from "./pattern.ts";
import { shapeOf } from "./shape.ts";

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

/** The rules of structural schemas: every place has one type, and one meaning. */
export function checkStructure(path: string, schema: JsonSchema, problems: Problem[]): void {
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
