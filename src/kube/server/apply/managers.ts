/** `metadata.managedFields`: the managers of an object and the fields that each of them owns. */
import { isObject, type Json, type JsonObject, listAt, sameJson, textAt } from "../json.ts";
import type { Struct } from "../schema/schema.ts";
import { fromFieldsV1, type Leaves, leavesOf, separator, toFieldsV1 } from "./fields.ts";

/** One entry of `managedFields`. */
export interface Manager {
  readonly name: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  /** Empty for the object itself. */
  readonly subresource: string;
  /** RFC 3339. */
  readonly time: string;
  readonly fields: ReadonlySet<string>;
}

/** Who makes a change, and when. */
export type Author = Omit<Manager, "operation" | "fields">;

const system = [
  "name",
  "namespace",
  "creationTimestamp",
  "selfLink",
  "uid",
  "generation",
  "managedFields",
  "resourceVersion",
];
const unowned = new Set([
  "f:apiVersion",
  "f:kind",
  "f:metadata",
  ...system.map((name) => `f:metadata${separator}f:${name}`),
]);
const unownedBelow = `f:metadata${separator}f:managedFields${separator}`;

/** The fields of an object that can have an owner: not its identity, nor what the server alone writes. */
export function ownableLeaves(schema: Struct, object: JsonObject): Map<string, Json | undefined> {
  const leaves = leavesOf(schema, object);
  for (const path of leaves.keys()) if (unowned.has(path) || path.startsWith(unownedBelow)) leaves.delete(path);
  return leaves;
}

/** The managers of an object; entries that cannot be read are forgotten. */
export function managersOf(object: JsonObject | undefined): readonly Manager[] {
  return listAt(object, "metadata", "managedFields").flatMap((entry) => {
    if (!isObject(entry)) return [];
    const fields = fromFieldsV1(entry.fieldsV1);
    const operation = entry.operation;
    if (fields === undefined || (operation !== "Apply" && operation !== "Update")) return [];
    return [
      {
        name: textAt(entry, "manager"),
        operation,
        apiVersion: textAt(entry, "apiVersion"),
        subresource: textAt(entry, "subresource"),
        time: textAt(entry, "time"),
        fields,
      },
    ];
  });
}

/** The object with these managers, those without fields left out. */
export function withManagers(object: JsonObject, managers: readonly Manager[]): JsonObject {
  const metadata = isObject(object.metadata) ? object.metadata : {};
  const entries = managers
    .filter((manager) => manager.fields.size > 0)
    .map((manager) => ({
      apiVersion: manager.apiVersion,
      fieldsType: "FieldsV1",
      fieldsV1: toFieldsV1(manager.fields),
      manager: manager.name,
      operation: manager.operation,
      ...(manager.subresource === "" ? {} : { subresource: manager.subresource }),
      time: manager.time,
    }));
  const { managedFields: _, ...rest } = metadata;
  return { ...object, metadata: entries.length === 0 ? rest : { ...rest, managedFields: entries } };
}

/** True if both entries are of the same manager, doing the same to the same part. */
export function sameManager(a: Omit<Manager, "fields">, b: Omit<Manager, "fields">): boolean {
  return a.name === b.name && a.operation === b.operation && a.subresource === b.subresource;
}

/** Fields that differ between two states of an object: changed or new ones, and those that are gone. */
export function differences(
  before: Leaves,
  after: Leaves,
): { readonly set: ReadonlySet<string>; readonly gone: ReadonlySet<string> } {
  const set = new Set<string>();
  const gone = new Set<string>();
  for (const [path, value] of after) if (!before.has(path) || !sameJson(before.get(path), value)) set.add(path);
  for (const path of before.keys()) if (!after.has(path)) gone.add(path);
  return { set, gone };
}

/**
 * The object after a change other than apply: its author owns what it set, and nobody owns what is gone.
 * A client that sends an empty list of managers forgets them all.
 */
export function trackUpdate(
  schema: Struct,
  before: JsonObject | undefined,
  after: JsonObject,
  author: Author,
): JsonObject {
  const sent = at(after);
  const known = before !== undefined && sent === undefined ? managersOf(before) : managersOf(after);
  const changed = differences(
    before === undefined ? new Map() : ownableLeaves(schema, before),
    ownableLeaves(schema, after),
  );
  const mine = { ...author, operation: "Update" as const };
  if (changed.set.size === 0 && changed.gone.size === 0) return withManagers(after, known);
  const others = known
    .filter((manager) => !sameManager(manager, mine))
    .map((manager) => {
      const fields = manager.fields.difference(changed.set).difference(changed.gone);
      return { ...manager, fields };
    });
  const own = known.find((manager) => sameManager(manager, mine))?.fields ?? new Set<string>();
  const fields = own.union(changed.set).difference(changed.gone);
  return withManagers(after, atMost([...others, { ...mine, fields }]));
}

/** Managers of updates that one object may have; as upstream. */
const managerLimit = 10;

/** The managers with the oldest of their updates made one, where there are too many. */
function atMost(managers: readonly Manager[]): readonly Manager[] {
  const updates = managers
    .filter((manager) => manager.operation === "Update" && manager.fields.size > 0)
    .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  if (updates.length <= managerLimit) return managers;
  const old = updates.slice(0, updates.length - managerLimit + 1);
  const fields = old.reduce<ReadonlySet<string>>((all, manager) => all.union(manager.fields), new Set());
  const [first] = old;
  if (first === undefined) return managers;
  return [
    { ...first, name: "ancient-changes", subresource: "", fields },
    ...managers.filter((manager) => !old.includes(manager)),
  ];
}

function at(object: JsonObject): Json | undefined {
  return isObject(object.metadata) ? object.metadata.managedFields : undefined;
}
