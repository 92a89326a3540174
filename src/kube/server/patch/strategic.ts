/**
 * Strategic merge patches: merge patches that merge lists by the keys of their schema, with the directives `$patch`,
 * `$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>`
 * (Kubernetes community, contributors/devel/sig-api-machinery/strategic-merge-patch.md).
 */
import { isList, isObject, type Json, type JsonObject, type MutableObject, sameJson } from "../json.ts";
import type { ListSchema, Schema } from "../schema/schema.ts";
import { PatchError } from "./json.ts";

const setOrder = "$setElementOrder/";
const deleteFrom = "$deleteFromPrimitiveList/";

/**
 * The object after a strategic merge patch.
 *
 * @throws {PatchError} if a directive is unknown or stands where it cannot.
 */
export function strategicMerge(schema: Schema, original: JsonObject, patch: JsonObject): JsonObject {
  const directive = patch.$patch;
  if (directive === "replace") return withoutDirectives(schema, patch);
  if (directive === "delete") return {};
  if (directive !== undefined && directive !== "merge") {
    throw new PatchError(`unknown $patch directive ${JSON.stringify(directive)}: use merge, replace or delete`);
  }
  const result: MutableObject = { ...original };
  const retain = patch.$retainKeys;
  if (retain !== undefined) {
    if (!isList(retain)) throw new PatchError("$retainKeys is a list of member names");
    for (const name of Object.keys(result)) if (!retain.includes(name)) delete result[name];
  }
  for (const [name, value] of Object.entries(patch)) {
    if (value === undefined || name === "$patch" || name === "$retainKeys" || name.startsWith(setOrder)) continue;
    if (name.startsWith(deleteFrom)) {
      const list = name.slice(deleteFrom.length);
      if (!isList(value)) throw new PatchError(`${name} is a list of values`);
      const kept = result[list];
      if (isList(kept)) result[list] = kept.filter((item) => !value.some((gone) => sameJson(gone, item)));
    } else if (value === null) delete result[name];
    else result[name] = mergeValue(member(schema, name), result[name], value, orderOf(patch, name));
  }
  for (const name of Object.keys(patch)) {
    if (!name.startsWith(setOrder)) continue;
    const list = name.slice(setOrder.length);
    const current = result[list];
    const inner = member(schema, list);
    if (patch[list] === undefined && isList(current) && inner.type === "list") {
      result[list] = inOrder(inner, current, current, orderOf(patch, list));
    }
  }
  return result;
}

function orderOf(patch: JsonObject, name: string): readonly Json[] {
  const order = patch[setOrder + name];
  if (order === undefined) return [];
  if (!isList(order)) throw new PatchError(`${setOrder}${name} is a list`);
  return order;
}

function member(schema: Schema, name: string): Schema {
  if (schema.type === "struct") {
    return (Object.hasOwn(schema.fields, name) ? schema.fields[name]?.schema : undefined) ?? { type: "opaque" };
  }
  return schema.type === "map" ? schema.values : { type: "opaque" };
}

function mergeValue(schema: Schema, original: Json | undefined, patch: Json, order: readonly Json[]): Json {
  if (isObject(patch)) return strategicMerge(schema, isObject(original) ? original : {}, patch);
  if (!isList(patch) || schema.type !== "list" || schema.mergeKey === undefined) return patch;
  const before = isList(original) ? original : [];
  const merged = schema.mergeKey === "" ? union(before, patch) : mergeByKey(schema, before, patch, schema.mergeKey);
  return inOrder(schema, before, merged, order);
}

function union(before: readonly Json[], patch: readonly Json[]): readonly Json[] {
  const result = [...before];
  for (const item of patch) if (!result.some((other) => sameJson(other, item))) result.push(item);
  return result;
}

function mergeByKey(schema: ListSchema, before: readonly Json[], patch: readonly Json[], key: string): readonly Json[] {
  const items = patch.map((item) => {
    if (!isObject(item)) throw new PatchError(`the items of a list that is merged by ${key} are objects`);
    return item;
  });
  if (items.some((item) => item.$patch === "replace")) {
    return items.filter((item) => item.$patch !== "replace").map((item) => withoutDirectives(schema.items, item));
  }
  let result: Json[] = [...before];
  for (const item of items) {
    if (item[key] === undefined)
      throw new PatchError(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    const same = (other: Json) => isObject(other) && sameJson(other[key], item[key]);
    if (item.$patch === "delete") {
      result = result.filter((other) => !same(other));
      continue;
    }
    const i = result.findIndex(same);
    const current = result[i];
    if (isObject(current)) result[i] = strategicMerge(schema.items, current, item);
    else result.push(withoutDirectives(schema.items, item));
  }
  return result;
}

/**
 * Brings a merged list into the order that the client asked for. Items that it did not name keep their place relative
 * to those around them in the list before the patch.
 */
function inOrder(
  schema: ListSchema,
  before: readonly Json[],
  merged: readonly Json[],
  order: readonly Json[],
): readonly Json[] {
  if (order.length === 0) return merged;
  const key = schema.mergeKey ?? "";
  const idOf = (item: Json): Json => (key !== "" && isObject(item) ? (item[key] ?? null) : item);
  const rank = (items: readonly Json[], item: Json) => items.findIndex((other) => sameJson(idOf(other), idOf(item)));
  const named = merged.filter((item) => rank(order, item) >= 0).sort((a, b) => rank(order, a) - rank(order, b));
  const result: Json[] = [];
  for (const other of merged.filter((item) => rank(order, item) < 0)) {
    const place = rank(before, other);
    while (named[0] !== undefined && (place < 0 || rank(before, named[0]) < place)) result.push(named.shift() ?? null);
    result.push(other);
  }
  return [...result, ...named];
}

/** The patch as a value of its own, where there is nothing to merge it with. */
function withoutDirectives(schema: Schema, patch: JsonObject): JsonObject {
  const { $patch: _, ...rest } = patch;
  return strategicMerge(schema, {}, rest);
}
