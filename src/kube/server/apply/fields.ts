/**
 * Sets of fields: who owns what of an object (structured merge, `managedFields` of `meta/v1`).
 *
 * A field is a path, written as its parts joined by NUL. A part is that of `FieldsV1`: `f:name` is a member,
 * `k:{"port":80}` an item of a list by its keys, `v:"text"` an item of a set by its value.
 */
import { isList, isObject, type Json, type JsonObject, type MutableObject } from "../json.ts";
import type { ListSchema, Schema } from "../schema/schema.ts";

/** Separates the parts of a path; it cannot occur in one, because JSON text escapes it and names are checked. */
export const separator = "\0";

/** The fields of a value with what each holds; undefined for a list item as such. */
export type Leaves = ReadonlyMap<string, Json | undefined>;

/** The part of a path that stands for an item of a list; undefined for items of atomic lists. */
export function itemPart(schema: ListSchema, item: Json): string | undefined {
  if (schema.kind === "set") return `v:${JSON.stringify(item)}`;
  if (schema.kind !== "map" || !isObject(item)) return undefined;
  const key: MutableObject = {};
  for (const name of [...schema.keys].sort()) {
    const fallback = schema.items.type === "struct" ? schema.items.fields[name]?.default : undefined;
    const value = item[name] ?? fallback;
    if (value !== undefined) key[name] = value;
  }
  return `k:${JSON.stringify(key)}`;
}

/** All fields of a value: whatever is owned as a whole, and the items of lists. */
export function leavesOf(schema: Schema, value: Json): Map<string, Json | undefined> {
  const leaves = new Map<string, Json | undefined>();
  collect(schema, value, "", leaves);
  return leaves;
}

function collect(schema: Schema, value: Json, path: string, leaves: Map<string, Json | undefined>): void {
  const under = path === "" ? "" : path + separator;
  if (isObject(value) && granular(schema)) {
    let empty = true;
    for (const [name, member] of Object.entries(value)) {
      if (member === undefined) continue;
      empty = false;
      collect(memberSchema(schema, name), member, `${under}f:${name}`, leaves);
    }
    if (empty && path !== "") leaves.set(path, {});
  } else if (isList(value) && schema.type === "list" && schema.kind !== "atomic" && value.length > 0) {
    for (const item of value) {
      const here = `${under}${itemPart(schema, item)}`;
      leaves.set(here, undefined);
      if (schema.kind === "map") collect(schema.items, item, here, leaves);
    }
  } else {
    leaves.set(path, value);
  }
}

/** True if the members of an object are owned one by one. */
export function granular(schema: Schema): boolean {
  return (schema.type === "struct" || schema.type === "map") && !schema.atomic;
}

/** The schema of a member of an object. */
export function memberSchema(schema: Schema, name: string): Schema {
  if (schema.type === "map") return schema.values;
  const field = schema.type === "struct" && Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined;
  return field?.schema ?? { type: "opaque" };
}

/** The paths as `FieldsV1`. A path that also has parts below is marked with `.`. */
export function toFieldsV1(paths: Iterable<string>): JsonObject {
  const root: MutableObject = {};
  const marked = new Set(paths);
  for (const path of [...marked].sort()) {
    let node = root;
    for (const part of path.split(separator)) {
      const next = (node[part] ?? {}) as MutableObject;
      node[part] = next;
      node = next;
    }
    if (Object.keys(node).length === 0) node["."] = {};
  }
  return simplified(root);
}

/** A node that holds nothing but its mark is written as an empty object. */
function simplified(node: JsonObject): JsonObject {
  const names = Object.keys(node);
  if (names.length === 1 && names[0] === ".") return {};
  return Object.fromEntries(names.map((name) => [name, name === "." ? {} : simplified(node[name] as JsonObject)]));
}

/** The paths of `FieldsV1`, or undefined if it is not of that form. */
export function fromFieldsV1(fields: Json | undefined): Set<string> | undefined {
  const paths = new Set<string>();
  return isObject(fields) && readNode(fields, "", paths, 0) ? paths : undefined;
}

function readNode(node: JsonObject, path: string, paths: Set<string>, depth: number): boolean {
  const parts = Object.keys(node);
  if (depth > 64) return false;
  if (parts.length === 0 && path !== "") paths.add(path);
  return parts.every((part) => {
    if (part === ".") {
      paths.add(path);
      return true;
    }
    const child = node[part];
    if (!/^[fkvi]:/.test(part) || part.includes(separator) || !isObject(child)) return false;
    return readNode(child, path === "" ? part : path + separator + part, paths, depth + 1);
  });
}

/** A path as people read it: `.spec.ports[port=80,protocol="TCP"].name`. */
export function readable(path: string): string {
  const parts = path.split(separator).map((part) => {
    const rest = part.slice(2);
    if (part.startsWith("f:")) return `.${rest}`;
    if (!part.startsWith("k:")) return `[${part.startsWith("v:") ? "=" : ""}${rest}]`;
    const key = JSON.parse(rest) as JsonObject;
    return `[${Object.entries(key)
      .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
      .join(",")}]`;
  });
  return parts.join("");
}
