/** Decoding: what a client sent becomes what its kind describes, or an error that says where it does not. */
import { isList, isObject, type Json, type JsonObject, type MutableObject } from "../json.ts";
import type { Schema, Struct } from "./schema.ts";

/** What came of decoding. `unknown` are the paths of members that the kind does not have; they are dropped. */
export interface Decoded {
  readonly value: JsonObject;
  readonly unknown: readonly string[];
}

/** Says that a value is of the wrong type. `field` is its path, such as `spec.ports[0].port`. */
export class DecodeError extends Error {
  readonly field: string;
  constructor(field: string, message: string) {
    super(message);
    this.name = "DecodeError";
    this.field = field;
  }
}

/**
 * Decodes an object of a kind: members that are null count as absent, unknown ones are dropped and reported.
 *
 * @throws {DecodeError} at the first value of a wrong type.
 */
export function decode(schema: Struct, value: JsonObject): Decoded {
  const unknown: string[] = [];
  return { value: decodeStruct(schema, value, "", unknown), unknown };
}

function decodeStruct(schema: Struct, value: JsonObject, path: string, unknown: string[]): JsonObject {
  const result: MutableObject = {};
  for (const [name, member] of Object.entries(value)) {
    const here = path === "" ? name : `${path}.${name}`;
    const field = Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined;
    if (member === undefined) continue;
    if (field !== undefined) {
      if (member !== null) result[name] = decodeValue(field.schema, member, here, unknown);
      else if (field.nullable === true) result[name] = null;
    } else if (schema.open === true) result[name] = member;
    else unknown.push(here);
  }
  return result;
}

function decodeValue(schema: Schema, value: Json, path: string, unknown: string[]): Json {
  switch (schema.type) {
    case "opaque":
      return value;
    case "struct":
      if (isObject(value)) return decodeStruct(schema, value, path, unknown);
      if (schema.lenient === true) return value;
      throw mismatch(path, value, shortName(schema));
    case "list":
      if (!isList(value)) {
        if (schema.lenient === true) return value;
        throw mismatch(path, value, "list");
      }
      return value.map((item, i) => decodeValue(schema.items, item, `${path}[${i}]`, unknown));
    case "map": {
      if (!isObject(value)) {
        if (schema.lenient === true) return value;
        throw mismatch(path, value, "map");
      }
      const result: MutableObject = {};
      for (const [key, member] of Object.entries(value)) {
        if (member === undefined) continue;
        const given = member === null ? emptyOf(schema.values) : member;
        Object.defineProperty(result, key, {
          value: decodeValue(schema.values, given, `${path}.${key}`, unknown),
          enumerable: true,
          configurable: true,
          writable: true,
        });
      }
      return result;
    }
    default:
      return decodeScalar(schema.type, value, path);
  }
}

function decodeScalar(type: string, value: Json, path: string): Json {
  switch (type) {
    case "string":
      if (typeof value !== "string") throw mismatch(path, value, "string");
      return value;
    case "boolean":
      if (typeof value !== "boolean") throw mismatch(path, value, "bool");
      return value;
    case "int32":
    case "int64": {
      const limit = type === "int32" ? 2 ** 31 : Number.MAX_SAFE_INTEGER;
      if (typeof value !== "number" || !Number.isInteger(value) || value > limit - 1 || value < -limit) {
        throw mismatch(path, value, type);
      }
      return value;
    }
    case "number":
      if (typeof value !== "number") throw mismatch(path, value, "float64");
      return value;
    case "intOrString":
      if (typeof value !== "string" && !Number.isInteger(value)) throw mismatch(path, value, "int32 or string");
      return value;
    case "quantity":
      if (typeof value === "number") return String(value);
      if (typeof value !== "string" || !quantityForm.test(value)) {
        throw new DecodeError(
          path,
          `unable to parse quantity's suffix: ${path}: ${JSON.stringify(value)} is not an amount such as 100m or 1Gi`,
        );
      }
      return value;
    case "time":
    case "microTime":
      if (typeof value !== "string" || !timeForm.test(value) || Number.isNaN(Date.parse(value))) {
        throw new DecodeError(
          path,
          `parsing time ${JSON.stringify(value)} as "2006-01-02T15:04:05Z07:00": cannot parse (${path})`,
        );
      }
      return value;
    default:
      if (typeof value !== "string" || !base64Form.test(value)) {
        throw new DecodeError(path, `illegal base64 data at ${path}`);
      }
      return value;
  }
}

/** Quantities of the API: a decimal number with an SI or binary suffix, or an exponent. */
const quantityForm = /^[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/;
const timeForm = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;
const base64Form = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function emptyOf(schema: Schema): Json {
  if (schema.type === "string" || schema.type === "bytes") return "";
  return schema.type === "list" ? [] : schema.type === "struct" || schema.type === "map" ? {} : null;
}

function mismatch(path: string, value: Json, wanted: string): DecodeError {
  const given = isList(value) ? "array" : value === null ? "null" : typeof value;
  return new DecodeError(path, `json: cannot unmarshal ${given} into field ${path} of type ${wanted}`);
}

/** The last part of a definition's name: `ServiceSpec` of `io.k8s.api.core.v1.ServiceSpec`. */
export function shortName(schema: Struct): string {
  return schema.name.slice(schema.name.lastIndexOf(".") + 1);
}

/** The object with the defaults of its schema, wherever the object that holds the member is there. A new object. */
export function withDefaults(schema: Struct, value: JsonObject): JsonObject {
  const result: MutableObject = { ...value };
  for (const [name, field] of Object.entries(schema.fields)) {
    const member = result[name] === undefined ? copyOf(field.default) : result[name];
    if (member !== undefined) result[name] = defaultsWithin(field.schema, member);
  }
  return result;
}

/** A value with the defaults of its schema, as {@link withDefaults}. */
export function defaultsWithin(schema: Schema, value: Json): Json {
  if (schema.type === "struct" && isObject(value)) return withDefaults(schema, value);
  if (schema.type === "list" && isList(value) && hasParts(schema.items)) {
    return value.map((item) => defaultsWithin(schema.items, item));
  }
  if (schema.type === "map" && isObject(value) && hasParts(schema.values)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, defaultsWithin(schema.values, item ?? {})]),
    );
  }
  return value;
}

/** A value of its own: what is stored is never shared. */
function copyOf(value: Json | undefined): Json | undefined {
  return typeof value === "object" ? structuredClone(value) : value;
}

function hasParts({ type }: Schema): boolean {
  return type === "struct" || type === "list" || type === "map";
}
