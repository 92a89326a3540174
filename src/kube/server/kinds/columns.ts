/** Columns that several kinds share, and how times and lists are printed in them. */
import { isObject, type Json, type JsonObject, listAt, objectAt, textAt } from "../json.ts";
import type { Column } from "./kind.ts";

/** A column of text or, where the value is a number, of numbers. */
export function column(
  name: string,
  description: string,
  value: (object: JsonObject, now: number) => Json,
  options: { readonly wide?: boolean; readonly type?: Column["type"]; readonly format?: string } = {},
): Column {
  const { wide = false, type = "string", format } = options;
  return { name, type, description, priority: wide ? 1 : 0, value, ...(format === undefined ? {} : { format }) };
}

/** A column of whole numbers. */
export function count(name: string, description: string, value: (object: JsonObject) => Json): Column {
  return column(name, description, value, { type: "integer" });
}

/** The name of the object. */
export const nameColumn = column("Name", "Name of the object.", (object) => textAt(object, "metadata", "name"), {
  format: "name",
});

/** How long ago the object was made. */
export const ageColumn = column("Age", "Time since the object was made.", (object, now) =>
  age(textAt(object, "metadata", "creationTimestamp"), now),
);

/** How long ago a time was, in the short form of the ecosystem: `42s`, `5m3s`, `3h`, `2d4h`. `<unknown>` for none. */
export function age(timestamp: string, now: number): string {
  const then = Date.parse(timestamp);
  return Number.isNaN(then) ? "<unknown>" : duration(now - then);
}

/** A length of time in milliseconds, in at most two units. */
export function duration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  const pair = (big: number, bigUnit: string, small: number, smallUnit: string) =>
    small === 0 ? `${big}${bigUnit}` : `${big}${bigUnit}${small}${smallUnit}`;
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return pair(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return pair(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 24 * 8) return pair(days, "d", hours % 24, "h");
  if (hours < 24 * 365 * 2) return `${days}d`;
  const years = Math.floor(days / 365);
  return hours < 24 * 365 * 8 ? pair(years, "y", days % 365, "d") : `${years}y`;
}

/** Labels as `a=1,b=2`; `<none>` for none. */
export function labelText(values: JsonObject): string {
  const items = Object.entries(values)
    .map(([key, value]) => `${key}=${value}`)
    .sort();
  return items.length === 0 ? "<none>" : items.join(",");
}

/** A label selector as text; `<none>` for none. */
export function selectorText(selector: JsonObject): string {
  const equal = Object.entries(objectAt(selector, "matchLabels"))
    .map(([key, value]) => `${key}=${value}`)
    .sort();
  const others = listAt(selector, "matchExpressions")
    .filter(isObject)
    .map((expression) => {
      const key = textAt(expression, "key");
      const values = listAt(expression, "values").join(",");
      const operator = textAt(expression, "operator");
      if (operator === "In") return `${key} in (${values})`;
      if (operator === "NotIn") return `${key} notin (${values})`;
      return operator === "Exists" ? key : `!${key}`;
    });
  return [...equal, ...others].join(",") || "<none>";
}

/** Names and images of the containers of a pod template, and its selector: the wide columns of workloads. */
export const workloadColumns: readonly Column[] = [
  column("Containers", "Names of the containers.", (object) => containers(object, "name"), { wide: true }),
  column("Images", "Images of the containers.", (object) => containers(object, "image"), { wide: true }),
  column(
    "Selector",
    "Labels of the pods that belong to it.",
    (object) => selectorText(objectAt(object, "spec", "selector")),
    { wide: true },
  ),
];

function containers(object: JsonObject, member: string): string {
  return listAt(object, "spec", "template", "spec", "containers")
    .map((container) => textAt(container, member))
    .join(",");
}

/** A list cut to `shown` items, with how many more there are; `<none>` for an empty one. */
export function some(items: readonly string[], shown: number): string {
  if (items.length === 0) return "<none>";
  return items.length <= shown
    ? items.join(",")
    : `${items.slice(0, shown).join(",")} + ${items.length - shown} more...`;
}
