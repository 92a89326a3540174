/** JSON values, and the few things that every part of the API server does with them. */

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

/** A JSON object. `undefined` stands for a member that is absent. */
export interface JsonObject {
  readonly [name: string]: Json | undefined;
}

/** A JSON object in the making: only ever a private copy. */
export interface MutableObject {
  [name: string]: Json | undefined;
}

/** The metadata of an API object, as far as the server itself reads it. */
export interface Meta extends JsonObject {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly creationTimestamp: string;
}

/** An object of the API as it is stored and sent. Never changed in place once it is stored. */
export interface ApiObject extends JsonObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Meta;
}

/** True for `{...}`: neither null nor a list. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** True for `[...]`. */
export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** True if both are the same JSON value; the order of object members and members that are `undefined` do not count. */
export function sameJson(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (isList(a)) return isList(b) && a.length === b.length && a.every((item, i) => sameJson(item, b[i]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  if (!keys.every((key) => sameJson(a[key], b[key]))) return false;
  return Object.keys(b).every((key) => b[key] === undefined || a[key] !== undefined);
}

/** The value at a path of member names, or undefined where any of them is missing. */
export function at(value: Json | undefined, ...path: readonly string[]): Json | undefined {
  let current = value;
  for (const name of path) {
    if (!isObject(current)) return undefined;
    current = Object.hasOwn(current, name) ? current[name] : undefined;
  }
  return current;
}

/** The object at a path, or an empty one. */
export function objectAt(value: Json | undefined, ...path: readonly string[]): JsonObject {
  const found = at(value, ...path);
  return isObject(found) ? found : {};
}

/** The list at a path, or an empty one. */
export function listAt(value: Json | undefined, ...path: readonly string[]): readonly Json[] {
  const found = at(value, ...path);
  return isList(found) ? found : [];
}

/** The text at a path, or the empty string. */
export function textAt(value: Json | undefined, ...path: readonly string[]): string {
  const found = at(value, ...path);
  return typeof found === "string" ? found : "";
}

/** The number at a path, or `otherwise` (0). */
export function numberAt(value: Json | undefined, path: readonly string[], otherwise = 0): number {
  const found = at(value, ...path);
  return typeof found === "number" ? found : otherwise;
}

/** The object without some of its members. */
export function without(object: JsonObject, ...names: readonly string[]): JsonObject {
  const copy: MutableObject = { ...object };
  for (const name of names) delete copy[name];
  return copy;
}

const encoded = new WeakMap<object, string>();

/** The object as JSON text. The text of one object is made once, however many clients it is sent to. */
export function encode(object: JsonObject): string {
  let text = encoded.get(object);
  if (text === undefined) {
    text = JSON.stringify(object);
    encoded.set(object, text);
  }
  return text;
}
