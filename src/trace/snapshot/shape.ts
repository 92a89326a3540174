/**
 * Strict reading of values out of parsed JSON. A shape takes a value of its kind, and turns what JSON has no type for
 * (bytes) into what it stands for; anything else is an error with the place of the value.
 */
import { tryParseAddress } from "../../net/address.ts";
import { tryParsePrefix } from "../../net/prefix.ts";

/** Reads a value, or throws a {@link ShapeError}. */
export type Shape = (value: unknown, path: string) => unknown;

/** A value that is not of its shape. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

/** Fields of an object; those made by {@link maybe} may be absent. */
export type Fields = Readonly<Record<string, Shape>>;

const absent: Set<Shape> = new Set();

/** The same shape for a field that may be absent. */
export function maybe(shape: Shape): Shape {
  const optional: Shape = (value, path) => shape(value, path);
  absent.add(optional);
  return optional;
}

/** A whole number. */
export function whole(least = 0, most = Number.MAX_SAFE_INTEGER): Shape {
  return (value, path) => {
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most) return value;
    return fail(path, value, `a whole number from ${least} to ${most}`);
  };
}

/** Text. */
export function text(longest = 4096): Shape {
  return (value, path) =>
    typeof value === "string" && value.length <= longest
      ? value
      : fail(path, value, `text of up to ${longest} characters`);
}

/** True or false. */
export const flag: Shape = (value, path) => (typeof value === "boolean" ? value : fail(path, value, "true or false"));

/** Bytes as hexadecimal digits. */
export function bytes(longest: number): Shape {
  return (value, path) => {
    const wrong = () => fail(path, value, `up to ${longest} bytes as hexadecimal digits`);
    if (typeof value !== "string" || value.length > 2 * longest || value.length % 2 !== 0) return wrong();
    const result = new Uint8Array(value.length / 2);
    for (let i = 0; i < result.length; i++) {
      const byte = (digitAt(value, 2 * i) << 4) | digitAt(value, 2 * i + 1);
      if (byte < 0) return wrong();
      result[i] = byte;
    }
    return result;
  };
}

/** The value of a hexadecimal digit; below 0 for all else. Large snapshots have millions of them. */
function digitAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code >= 48 && code <= 57) return code - 48;
  return code >= 97 && code <= 102 ? code - 87 : -1;
}

/** One of these texts. */
export function oneOf(...values: readonly string[]): Shape {
  const known = new Set<unknown>(values);
  return (value, path) => (known.has(value) ? value : fail(path, value, `one of ${values.join(", ")}`));
}

/** An IP address in canonical text. */
export const address: Shape = (value, path) =>
  typeof value === "string" && tryParseAddress(value) === value ? value : fail(path, value, "an IP address");

/** A prefix in canonical text. */
export const prefix: Shape = (value, path) =>
  typeof value === "string" && tryParsePrefix(value) === value
    ? value
    : fail(path, value, "a prefix such as 10.0.0.0/8");

/** A list. */
export function list(item: Shape, longest = 100_000): Shape {
  return (value, path) => {
    if (!Array.isArray(value) || value.length > longest) return fail(path, value, `a list of up to ${longest}`);
    return value.map((each, i) => item(each, `${path}[${i}]`));
  };
}

/** Values by names of any text. */
export function record(item: Shape, most = 1_000_000): Shape {
  return (value, path) => {
    const entries = Object.entries(plainObject(value, path));
    if (entries.length > most) return fail(path, value, `up to ${most} names`);
    return Object.fromEntries(entries.map(([name, each]) => [name, item(each, `${path}.${name}`)]));
  };
}

/** An object with exactly these fields. */
export function object(fields: Fields): Shape {
  const required = Object.entries(fields).filter(([, shape]) => !absent.has(shape));
  return (value, path) => {
    const given = plainObject(value, path);
    for (const [name] of required) if (!Object.hasOwn(given, name)) fail(path, value, `an object with ${name}`);
    const result: Record<string, unknown> = {};
    for (const [name, each] of Object.entries(given)) {
      const shape = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (shape === undefined) throw new ShapeError(`${path}.${name.slice(0, 100)}: Unknown field`);
      result[name] = shape(each, `${path}.${name}`);
    }
    return result;
  };
}

/** An object whose field `kind` says which other fields it has. */
export function byKind(kinds: Readonly<Record<string, Fields>>): Shape {
  const shapes = new Map(
    Object.entries(kinds).map(([kind, fields]) => [kind, object({ kind: oneOf(kind), ...fields })]),
  );
  return (value, path) => {
    const { kind } = plainObject(value, path);
    const shape = typeof kind === "string" ? shapes.get(kind) : undefined;
    return shape === undefined ? fail(`${path}.kind`, kind, "a known kind") : shape(value, path);
  };
}

function plainObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fail(path, value, "an object");
  return value as Record<string, unknown>;
}

function fail(path: string, value: unknown, expected: string): never {
  const shown =
    typeof value === "object" && value !== null
      ? Array.isArray(value)
        ? "a list"
        : "an object"
      : JSON.stringify(value);
  throw new ShapeError(`${path}: Invalid value: ${(shown ?? "nothing").slice(0, 100)}: must be ${expected}`);
}
