/** What a client sends, as an object of a kind. */
import { ApiError, badRequest } from "./errors.ts";
import { type JsonObject, without } from "./json.ts";
import { apiVersionOf, type Kind } from "./kinds/kind.ts";
import { DecodeError, decode } from "./schema/decode.ts";
import type { Struct } from "./schema/schema.ts";

/** What to do about members that a kind does not have (`fieldValidation`). */
export type Strictness = "Strict" | "Warn" | "Ignore";

/**
 * Decodes an object of a kind.
 *
 * @param warn gets a sentence for each unknown member if `strictness` is Warn.
 * @throws {ApiError} 400 if it is of another kind, has a value of a wrong type or, if Strict, an unknown member.
 */
export function decodeObject(
  kind: Kind,
  value: JsonObject,
  strictness: Strictness,
  warn: (message: string) => void,
): JsonObject {
  const apiVersion = apiVersionOf(kind);
  if (value.apiVersion !== undefined && value.apiVersion !== "" && value.apiVersion !== apiVersion) {
    throw badRequest(
      `the API version in the data (${String(value.apiVersion)}) does not match the expected API version (${apiVersion})`,
    );
  }
  if (value.kind !== undefined && value.kind !== "" && value.kind !== kind.kind) {
    throw badRequest(`the kind in the data (${String(value.kind)}) does not match the expected kind (${kind.kind})`);
  }
  const what = `${kind.kind} in version ${JSON.stringify(kind.version)}`;
  const decoded = decodeAs(kind.schema, value, what, kind.kind, strictness, warn);
  // These two stand first, where people look for them.
  return { apiVersion, kind: kind.kind, ...without(decoded, "apiVersion", "kind") };
}

/** Decodes by a schema alone, as {@link decodeObject} does; `what` and `name` are for messages. */
export function decodeAs(
  schema: Struct,
  value: JsonObject,
  what: string,
  name: string,
  strictness: Strictness,
  warn: (message: string) => void,
): JsonObject {
  const fail = (why: string) => badRequest(`${what} cannot be handled as a ${name}: ${why}`);
  try {
    const decoded = decode(schema, value);
    const unknown = decoded.unknown.map((path) => `unknown field ${JSON.stringify(path)}`);
    if (unknown.length > 0 && strictness === "Strict") throw fail(`strict decoding error: ${unknown.join(", ")}`);
    if (strictness === "Warn") for (const message of unknown) warn(message);
    return decoded.value;
  } catch (error) {
    if (error instanceof DecodeError) throw fail(error.message);
    if (error instanceof ApiError) throw error;
    throw error;
  }
}
