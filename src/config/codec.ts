/**
 * Strict reading and writing of configuration objects: a codec for each type, put together to one for the document.
 * Absent and null fields take the default; an unknown field or a wrong type is a problem with its path.
 */
import { formatDuration, tryParseDuration } from "./duration.ts";
import { closestName } from "./problems.ts";

/** Reads values of one type from parsed YAML or JSON, and writes them back. */
export interface Codec<T> {
  /** The value, or `fallback` where it is absent, null, or wrong; what is wrong is added to `problems`. */
  decode(value: unknown, fallback: T, path: string, problems: string[]): T;
  /** The value as it is written in a document. */
  encode(value: T): unknown;
}

/** A codec of single values; `read` returns undefined for what is not of the type `expected`. */
function scalar<T>(expected: string, read: (value: unknown) => T | undefined, encode: (value: T) => unknown): Codec<T> {
  return {
    decode(value, fallback, path, problems) {
      if (value === undefined || value === null) return fallback;
      const result = read(value);
      if (result !== undefined) return result;
      problems.push(`${path}: Invalid type: ${describe(value)}: must be ${expected}`);
      return fallback;
    },
    encode,
  };
}

/** True or false. */
export const boolean: Codec<boolean> = scalar(
  "true or false",
  (value) => (typeof value === "boolean" ? value : undefined),
  (value) => value,
);

/** Text. */
export const string: Codec<string> = scalar(
  "a string",
  (value) => (typeof value === "string" ? value : undefined),
  (value) => value,
);

/** A whole number that fits 32 bits with sign. */
export const int32: Codec<number> = scalar(
  "a whole number of 32 bits",
  (value) => (typeof value === "number" && Number.isInteger(value) && value === (value | 0) ? value : undefined),
  (value) => value,
);

/** A finite number. */
export const float: Codec<number> = scalar(
  "a number",
  (value) => (typeof value === "number" && Number.isFinite(value) ? value : undefined),
  (value) => value,
);

/** A duration in milliseconds, written as Go writes it. */
export const duration: Codec<number> = scalar(
  "a duration such as 30s or 1h30m",
  (value) => (value === 0 ? 0 : typeof value === "string" ? tryParseDuration(value) : undefined),
  formatDuration,
);

/** A duration in milliseconds, written as a Go duration or as a number of nanoseconds. */
export const durationOrNanoseconds: Codec<number> = scalar(
  "a duration such as 5s, or a number of nanoseconds",
  (value) => {
    if (typeof value === "string") return tryParseDuration(value);
    return typeof value === "number" && Number.isSafeInteger(value) ? value / 1e6 : undefined;
  },
  formatDuration,
);

/** A number of bytes: a number, or Kubernetes' quantity such as `64Ki`. */
export const byteSize: Codec<number> = scalar(
  "a number of bytes such as 512, 1K or 2Ki",
  (value) => (typeof value === "number" ? tryParseByteSize(String(value)) : tryParseByteSize(value)),
  String,
);

/** The bytes of `512`, `1K`, `2Ki`, `3M`...; undefined for anything else. */
export function tryParseByteSize(value: unknown): number | undefined {
  const match = typeof value === "string" ? /^(\d{1,15})(?:([kKMG])(i?))?$/.exec(value) : null;
  if (!match) return undefined;
  const power = match[2] === undefined ? 0 : "KMG".indexOf(match[2].toUpperCase()) + 1;
  return Number(match[1]) * (match[3] ? 1024 : 1000) ** power;
}

/** A codec that takes the default for the zero value too, as Go's defaulting does for fields that are not pointers. */
export function zeroIsDefault<T extends string | number>(codec: Codec<T>): Codec<T> {
  return {
    decode(value, fallback, path, problems) {
      return codec.decode(value, fallback, path, problems) || fallback;
    },
    encode: codec.encode,
  };
}

/** A list. */
export function list<T>(item: Codec<T>, absent: T): Codec<readonly T[]> {
  return {
    decode(value, fallback, path, problems) {
      if (value === undefined || value === null) return fallback;
      if (Array.isArray(value)) return value.map((entry, i) => item.decode(entry, absent, `${path}[${i}]`, problems));
      problems.push(`${path}: Invalid type: ${describe(value)}: must be a list`);
      return fallback;
    },
    encode: (value) => value.map((entry) => item.encode(entry)),
  };
}

/** An object with keys of any name. */
export function record<T>(item: Codec<T>, absent: T): Codec<Readonly<Record<string, T>>> {
  return {
    decode(value, fallback, path, problems) {
      if (value === undefined || value === null) return fallback;
      if (!isObject(value)) {
        problems.push(`${path}: Invalid type: ${describe(value)}: must be an object`);
        return fallback;
      }
      return Object.fromEntries(
        Object.entries(value).map(([key, entry]) => [key, item.decode(entry, absent, `${path}.${key}`, problems)]),
      );
    },
    encode: (value) => Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, item.encode(entry)])),
  };
}

/** An object with these fields and no others. */
export function object<T extends object>(fields: { readonly [K in keyof T]-?: Codec<T[K]> }): Codec<T> {
  const names = Object.keys(fields) as (keyof T & string)[];
  return {
    decode(value, fallback, path, problems) {
      if (value === undefined || value === null) return fallback;
      if (!isObject(value)) {
        problems.push(`${path}: Invalid type: ${describe(value)}: must be an object`);
        return fallback;
      }
      for (const key of Object.keys(value)) {
        if (Object.hasOwn(fields, key)) continue;
        const meant = closestName(key, names);
        problems.push(`${path}.${key}: unknown field${meant === undefined ? "" : `, did you mean ${meant}?`}`);
      }
      const result: Partial<T> = {};
      for (const name of names) {
        const entry = Object.hasOwn(value, name) ? value[name] : undefined;
        result[name] = fields[name].decode(entry, fallback[name], `${path}.${name}`, problems);
      }
      return result as T;
    },
    encode: (value) => Object.fromEntries(names.map((name) => [name, fields[name].encode(value[name])])),
  };
}

/** True for a YAML mapping or JSON object. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return isObject(value) ? "an object" : JSON.stringify(value);
}
