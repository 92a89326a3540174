/**
 * The language in which kinds are described. From one description come decoding, defaults, strategic merge, field
 * ownership and the OpenAPI documents.
 */
import type { Json } from "../json.ts";

/** What a value may be. */
export type Schema = Scalar | ListSchema | MapSchema | Struct | Opaque;

/** A value without parts. `bytes` is base64 text; `time` has seconds, `microTime` microseconds (both RFC 3339). */
export interface Scalar {
  readonly type:
    | "string"
    | "int32"
    | "int64"
    | "number"
    | "boolean"
    | "intOrString"
    | "quantity"
    | "time"
    | "microTime"
    | "bytes";
  readonly values?: readonly string[];
}

/**
 * A list. `atomic` lists are owned and replaced as a whole, `set` lists hold each scalar once, `map` lists hold
 * objects that differ in the members `keys`. `mergeKey` is the key of strategic merge patches, which is older and
 * knows one member only; empty for scalars; absent where such patches replace the list.
 */
export interface ListSchema {
  readonly type: "list";
  readonly items: Schema;
  readonly kind: "atomic" | "set" | "map";
  readonly keys: readonly string[];
  readonly mergeKey?: string;
  readonly retainKeys?: boolean;
  /** True where a value of another type passes decoding: validation says what is wrong with it. */
  readonly lenient?: boolean;
}

/** An object with any member names, whose members are alike. */
export interface MapSchema {
  readonly type: "map";
  readonly values: Schema;
  readonly atomic: boolean;
  /** As for lists. */
  readonly lenient?: boolean;
}

/** An object with the members that are named. */
export interface Struct {
  readonly type: "struct";
  /** The name of the OpenAPI definition, such as `io.k8s.api.core.v1.ServiceSpec`. */
  readonly name: string;
  readonly doc: string;
  readonly fields: Readonly<Record<string, Field>>;
  readonly required: readonly string[];
  /** True where it is owned and replaced as a whole. */
  readonly atomic: boolean;
  /** True where strategic merge patches drop what they do not list in `$retainKeys`. */
  readonly retainKeys: boolean;
  /** True where members that are not named are kept as they are. */
  readonly open?: boolean;
  /** As for lists. */
  readonly lenient?: boolean;
}

/** Any JSON at all, kept as it is and owned as a whole. */
export interface Opaque {
  readonly type: "opaque";
}

/** A member of a struct: what it may be, what it means, and its value where the client gives none. */
export interface Field {
  readonly schema: Schema;
  readonly doc: string;
  readonly default?: Json;
  /** True where null is a value of its own; elsewhere it means that the member is absent. */
  readonly nullable?: boolean;
}

/** A struct; `required` names the members that may not be missing. */
export function struct(
  name: string,
  doc: string,
  fields: Readonly<Record<string, Field>>,
  options: { readonly required?: readonly string[]; readonly atomic?: boolean; readonly retainKeys?: boolean } = {},
): Struct {
  const { required = [], atomic = false, retainKeys = false } = options;
  return { type: "struct", name, doc, fields, required, atomic, retainKeys };
}

function scalar(type: Scalar["type"]) {
  return (doc: string, fallback?: Json): Field => ({
    schema: { type },
    doc,
    ...(fallback === undefined ? {} : { default: fallback }),
  });
}

/** A text. */
export const str = scalar("string");
/** A whole number of 32 bits with sign. */
export const int = scalar("int32");
/** A whole number of 64 bits with sign (exact up to 2^53 here). */
export const long = scalar("int64");
/** True or false. */
export const bool = scalar("boolean");
/** A number or a text, as in `targetPort`. */
export const intOrString = scalar("intOrString");
/** An amount such as `500m` or `1Gi`. */
export const quantity = scalar("quantity");
/** A point in time, to the second. */
export const time = scalar("time");
/** A point in time, to the microsecond. */
export const microTime = scalar("microTime");
/** Bytes in base64. */
export const bytes = scalar("bytes");

/** A text out of a fixed set. Decoding lets any text pass: validation says better what is wrong with it. */
export function oneOf(values: readonly string[], doc: string, fallback?: string): Field {
  return { schema: { type: "string", values }, doc, ...(fallback === undefined ? {} : { default: fallback }) };
}

/** A member that is a struct (or any other schema). */
export function of(schema: Schema, doc: string, fallback?: Json): Field {
  return { schema, doc, ...(fallback === undefined ? {} : { default: fallback }) };
}

/** Anything, unchecked. */
export function opaque(doc: string): Field {
  return { schema: { type: "opaque" }, doc };
}

const text: Scalar = { type: "string" };

/** A list that is replaced as a whole. */
export function list(items: Schema, doc: string): Field {
  return { schema: { type: "list", items, kind: "atomic", keys: [] }, doc };
}

/** A list of texts that is replaced as a whole. */
export function strings(doc: string): Field {
  return list(text, doc);
}

/** A list of texts, each once, which patches merge. */
export function stringSet(doc: string): Field {
  return { schema: { type: "list", items: text, kind: "set", keys: [], mergeKey: "" }, doc };
}

/** A list of structs that differ in `keys`; strategic merge patches go by `mergeKey` (the first key unless told). */
export function listBy(keys: readonly string[], items: Struct, doc: string, mergeKey = keys[0] ?? ""): Field {
  return { schema: { type: "list", items, kind: "map", keys, mergeKey }, doc };
}

/** An object from names to texts, such as labels. */
export function labels(doc: string): Field {
  return { schema: { type: "map", values: text, atomic: false }, doc };
}

/** An object from names to texts that is replaced as a whole, such as a selector. */
export function selector(doc: string): Field {
  return { schema: { type: "map", values: text, atomic: true }, doc };
}

/** An object from names to values of one schema. */
export function mapOf(values: Schema, doc: string): Field {
  return { schema: { type: "map", values, atomic: false }, doc };
}

/** An object from resource names to amounts. */
export function quantities(doc: string): Field {
  return mapOf({ type: "quantity" }, doc);
}
