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
  /** Where it is: each value that holds it puts its part before it, on the way out. */
  readonly path: string;
  readonly problem: string;

  constructor(path: string, problem: string) {
    super(`${path.slice(0, 500)}: ${problem}`);
    this.path = path;
    this.problem = problem;
  }
}

/** Values that hold values end somewhere: a snapshot is not nested more deeply. */
const deepest = 100;
let depth = 0;

/**
 * Reads what a value holds. Paths are put together only where something is wrong: a large document has millions of
 * values.
 *
 * @param at what is being read, in the end: the part of the path.
 */
function within<T>(value: unknown, path: string, at: () => string, read: () => T): T {
  if (depth >= deepest) return fail(path, value, "nested less deeply");
  depth++;
  try {
    return read();
  } catch (error) {
    if (error instanceof ShapeError) throw new ShapeError(`${path}${at()}${error.path}`, error.problem);
    throw error;
  } finally {
    depth--;
  }
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
    let i = 0;
    return within(
      value,
      path,
      () => `[${i}]`,
      () => {
        const result: unknown[] = [];
        for (; i < value.length; i++) result.push(item(value[i], ""));
        return result;
      },
    );
  };
}

/** Values by names of any text. */
export function record(item: Shape, most = 1_000_000): Shape {
  return (value, path) => {
    const entries = Object.entries(plainObject(value, path));
    if (entries.length > most) return fail(path, value, `up to ${most} names`);
    let name = "";
    const read = ([key, each]: readonly [string, unknown]) => {
      name = key;
      return [key, item(each, "")] as const;
    };
    return within(
      value,
      path,
      () => `.${name.slice(0, 100)}`,
      () => Object.fromEntries(entries.map(read)),
    );
  };
}

/** An object with exactly these fields. */
export function object(fields: Fields): Shape {
  const shapes = new Map(Object.entries(fields));
  const required = [...shapes].flatMap(([name, shape]) => (absent.has(shape) ? [] : [name]));
  return (value, path) => {
    const given = plainObject(value, path);
    for (const name of required) if (!Object.hasOwn(given, name)) fail(path, value, `an object with ${name}`);
    let name = "";
    return within(
      value,
      path,
      () => `.${name.slice(0, 100)}`,
      () => {
        const result: Record<string, unknown> = {};
        for (name of Object.keys(given)) {
          const shape = shapes.get(name);
          if (shape === undefined) throw new ShapeError("", "Unknown field");
          result[name] = shape(given[name], "");
        }
        return result;
      },
    );
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

function fail(path: string, whole: unknown, expected: string): never {
  const value = typeof whole === "string" ? whole.slice(0, 100) : whole;
  const shown =
    typeof value === "object" && value !== null
      ? Array.isArray(value)
        ? "a list"
        : "an object"
      : JSON.stringify(value);
  throw new ShapeError(path, `Invalid value: ${(shown ?? "nothing").slice(0, 100)}: must be ${expected}`);
}
