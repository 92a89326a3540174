/**
 * Strategic merge patches: merge patches that merge lists by the keys of their schema, with the directives `$patch`,
 * `$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>`
 * (Kubernetes community, contributors/devel/sig-api-machinery/strategic-merge-patch.md).
 */
import { isList, isObject, type Json, type JsonObject, type MutableObject } from "../json.ts";
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
    const kept = new Set(retain);
    for (const name of Object.keys(result)) if (!kept.has(name)) delete result[name];
  }
  for (const [name, value] of Object.entries(patch)) {
    if (value === undefined || name === "$patch" || name === "$retainKeys" || name.startsWith(setOrder)) continue;
    if (name.startsWith(deleteFrom)) {
      const list = name.slice(deleteFrom.length);
      if (!isList(value)) throw new PatchError(`${name} is a list of values`);
      const kept = result[list];
      const gone = new Set(value.map(identity));
      if (isList(kept)) result[list] = kept.filter((item) => !gone.has(identity(item)));
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

/** Tells values of lists apart that patches merge: such are texts and numbers. */
function identity(value: Json | undefined): string {
  return JSON.stringify(value ?? null);
}

function union(before: readonly Json[], patch: readonly Json[]): readonly Json[] {
  const present = new Set(before.map(identity));
  const added = new Map(patch.map((item) => [identity(item), item] as const));
  return [...before, ...[...added].flatMap(([id, item]) => (present.has(id) ? [] : [item]))];
}

function mergeByKey(schema: ListSchema, before: readonly Json[], patch: readonly Json[], key: string): readonly Json[] {
  const items = patch.map((item) => {
    if (!isObject(item)) throw new PatchError(`the items of a list that is merged by ${key} are objects`);
    return item;
  });
  if (items.some((item) => item.$patch === "replace")) {
    return items.filter((item) => item.$patch !== "replace").map((item) => withoutDirectives(schema.items, item));
  }
  const result: (Json | undefined)[] = [];
  /** Where the items of a key are. */
  const places = new Map<string, number[]>();
  const append = (item: Json) => {
    const place = result.push(item) - 1;
    if (!isObject(item) || item[key] === undefined) return;
    const id = identity(item[key]);
    const others = places.get(id);
    if (others === undefined) places.set(id, [place]);
    else others.push(place);
  };
  for (const item of before) append(item);
  for (const item of items) {
    if (item[key] === undefined)
      throw new PatchError(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    const found = places.get(identity(item[key])) ?? [];
    if (item.$patch === "delete") {
      for (const place of found) result[place] = undefined;
      places.delete(identity(item[key]));
      continue;
    }
    const [place] = found;
    const current = place === undefined ? undefined : result[place];
    if (place !== undefined && isObject(current)) result[place] = strategicMerge(schema.items, current, item);
    else append(withoutDirectives(schema.items, item));
  }
  return result.filter((item) => item !== undefined);
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
  /** The first place of each item. */
  const ranks = (items: readonly Json[]) =>
    new Map(items.map((item, i) => [identity(idOf(item)), i] as const).reverse());
  const [wanted, were] = [ranks(order), ranks(before)];
  const rank = (places: ReadonlyMap<string, number>, item: Json) => places.get(identity(idOf(item))) ?? -1;
  const named = merged.filter((item) => rank(wanted, item) >= 0).sort((a, b) => rank(wanted, a) - rank(wanted, b));
  const result: Json[] = [];
  let next = 0;
  for (const other of merged.filter((item) => rank(wanted, item) < 0)) {
    const place = rank(were, other);
    for (let item = named[next]; item !== undefined && (place < 0 || rank(were, item) < place); item = named[++next])
      result.push(item);
    result.push(other);
  }
  return [...result, ...named.slice(next)];
}

/** The patch as a value of its own, where there is nothing to merge it with. */
function withoutDirectives(schema: Schema, patch: JsonObject): JsonObject {
  const { $patch: _, ...rest } = patch;
  return strategicMerge(schema, {}, rest);
}
