/** Server-side apply: a client states the fields it wants to own; the server merges, prunes and finds conflicts. */
import { ApiError } from "../errors.ts";
import { isList, isObject, type Json, type JsonObject, type MutableObject, sameJson } from "../json.ts";
import type { ListSchema, Schema, Struct } from "../schema/schema.ts";
import { granular, itemPart, memberSchema, readable, separator } from "./fields.ts";
import { type Author, type Manager, managersOf, ownableLeaves, sameManager, withManagers } from "./managers.ts";

/**
 * The object after `config` was applied to `live` (undefined where there is none yet).
 *
 * @throws {ApiError} 409 if another manager owns a field that the configuration would change, unless `force`.
 */
export function applyConfiguration(
  schema: Struct,
  live: JsonObject | undefined,
  config: JsonObject,
  author: Author,
  force: boolean,
): JsonObject {
  const mine = { ...author, operation: "Apply" as const };
  const wanted = ownableLeaves(schema, config);
  const entry: Manager = { ...mine, fields: new Set(wanted.keys()) };
  if (live === undefined) return withManagers(config, [entry]);

  const current = ownableLeaves(schema, live);
  const known = managersOf(live);
  const before = known.find((manager) => sameManager(manager, mine));
  const others = known.filter((manager) => !sameManager(manager, mine));
  const taken = new Map<Manager, Set<string>>();
  for (const other of others) {
    const paths = [...other.fields].filter(
      (path) => wanted.has(path) && !sameJson(wanted.get(path), current.get(path)),
    );
    if (paths.length > 0) taken.set(other, new Set(paths));
  }
  if (taken.size > 0 && !force) throw conflictWith(taken);

  const kept = others.reduce<ReadonlySet<string>>((all, other) => all.union(other.fields), entry.fields);
  const gone = new Set((before?.fields ?? new Set<string>()).difference(kept));
  for (const path of gone) if ([...kept].some((other) => other.startsWith(path + separator))) gone.delete(path);
  const merged = prune(schema, merge(schema, live, config), "", gone) as JsonObject;

  const unchanged = before !== undefined && before.fields.symmetricDifference(entry.fields).size === 0;
  const same = unchanged && sameJson(contentOf(merged), contentOf(live));
  const managers = others.map((other) => ({
    ...other,
    fields: other.fields.difference(taken.get(other) ?? new Set()),
  }));
  return withManagers(merged, [...managers, same && before !== undefined ? { ...entry, time: before.time } : entry]);
}

function contentOf(object: JsonObject): JsonObject {
  return withManagers(object, []);
}

function conflictWith(taken: ReadonlyMap<Manager, ReadonlySet<string>>): ApiError {
  const causes: JsonObject[] = [];
  const texts: string[] = [];
  for (const [manager, paths] of taken) {
    const part = manager.subresource === "" ? "" : ` with subresource ${JSON.stringify(manager.subresource)}`;
    const using = manager.operation === "Update" ? ` using ${manager.apiVersion}` : "";
    const who = `${JSON.stringify(manager.name)}${part}${using}`;
    const fields = [...paths].map(readable);
    for (const field of fields) causes.push({ reason: "FieldManagerConflict", message: `conflict with ${who}`, field });
    const [only] = fields;
    texts.push(
      fields.length === 1 ? `conflict with ${who}: ${only}` : `conflicts with ${who}:\n- ${fields.join("\n- ")}`,
    );
  }
  const count = `${causes.length} conflict${causes.length === 1 ? "" : "s"}`;
  return new ApiError(409, "Conflict", `Apply failed with ${count}: ${texts.join("\n")}`, { causes });
}

/** The live value with what the configuration says laid over it. */
function merge(schema: Schema, live: Json | undefined, config: Json): Json {
  if (isObject(config) && isObject(live) && granular(schema)) {
    const result: MutableObject = { ...live };
    for (const [name, value] of Object.entries(config)) {
      if (value !== undefined) result[name] = merge(memberSchema(schema, name), live[name], value);
    }
    return result;
  }
  if (isList(config) && isList(live) && schema.type === "list" && schema.kind !== "atomic") {
    return mergeItems(schema, live, config);
  }
  return config;
}

/** Items of both lists: in the order of the configuration, what only the live list has before its next neighbour. */
function mergeItems(schema: ListSchema, live: readonly Json[], config: readonly Json[]): readonly Json[] {
  const wanted = new Set(config.map((item) => itemPart(schema, item)));
  const parts = live.map((item) => itemPart(schema, item));
  const places = new Map(parts.map((part, place) => [part, place]));
  const waiting = [...parts.keys()].filter((place) => !wanted.has(parts[place]));
  const result: Json[] = [];
  let next = 0;
  const before = (end: number) => {
    for (let place = waiting[next]; place !== undefined && place < end; place = waiting[++next])
      result.push(live[place] ?? null);
  };
  for (const item of config) {
    const place = places.get(itemPart(schema, item));
    if (place !== undefined) before(place);
    const current = place === undefined ? undefined : live[place];
    result.push(schema.kind === "map" ? merge(schema.items, current, item) : item);
  }
  before(live.length);
  return result;
}

/** The value without the fields of `gone`; objects and lists that become empty by that go too. */
function prune(schema: Schema, value: Json, path: string, gone: ReadonlySet<string>): Json | undefined {
  const under = path === "" ? "" : path + separator;
  if (gone.size === 0) return value;
  if (isObject(value) && granular(schema)) {
    const result: MutableObject = {};
    let removed = false;
    for (const [name, member] of Object.entries(value)) {
      if (member === undefined) continue;
      const here = `${under}f:${name}`;
      const kept = gone.has(here) ? undefined : prune(memberSchema(schema, name), member, here, gone);
      if (kept === undefined) removed = true;
      else result[name] = kept;
    }
    return removed && Object.keys(result).length === 0 && path !== "" ? undefined : result;
  }
  if (isList(value) && schema.type === "list" && schema.kind !== "atomic") {
    const result = value.flatMap((item) => {
      const here = `${under}${itemPart(schema, item)}`;
      if (gone.has(here)) return [];
      if (schema.kind !== "map" || !isObject(item)) return [item];
      const kept = prune(schema.items, item, here, gone);
      return isObject(kept) ? [{ ...kept, ...keysOf(schema, item) }] : [];
    });
    return result.length === 0 && value.length > 0 ? undefined : result;
  }
  return value;
}

/** The keys of an item stay for as long as the item does. */
function keysOf(schema: ListSchema, item: JsonObject): JsonObject {
  return Object.fromEntries(schema.keys.flatMap((key) => (item[key] === undefined ? [] : [[key, item[key]]])));
}
