/** The four ways to patch an object, behind one function. */
import { applyConfiguration } from "./apply/apply.ts";
import type { Author } from "./apply/managers.ts";
import { ApiError, badRequest, unsupportedMediaType } from "./errors.ts";
import { isObject, type Json, type JsonObject } from "./json.ts";
import { jsonPatch, PatchError } from "./patch/json.ts";
import { mergePatch } from "./patch/merge.ts";
import { strategicMerge } from "./patch/strategic.ts";
import type { Struct } from "./schema/schema.ts";

/** Content types of patches. */
export const patchTypes = {
  "application/json-patch+json": "json",
  "application/merge-patch+json": "merge",
  "application/strategic-merge-patch+json": "strategic",
  "application/apply-patch+yaml": "apply",
} as const;

/** A way to patch. */
export type PatchType = (typeof patchTypes)[keyof typeof patchTypes];

/**
 * The way that a content type means.
 *
 * @throws {ApiError} 415 if there is none.
 */
export function patchTypeOf(contentType: string): PatchType {
  for (const [name, type] of Object.entries(patchTypes)) if (name === contentType) return type;
  const known = Object.keys(patchTypes).join(", ");
  throw unsupportedMediaType(
    `the body of the request was in an unknown format - accepted media types include: ${known}`,
  );
}

/**
 * The object after a patch that is not apply.
 *
 * @throws {ApiError} 422 if a JSON patch does not fit, 400 if another patch cannot be read.
 */
export function patched(
  type: Exclude<PatchType, "apply">,
  schema: Struct,
  current: JsonObject,
  patch: Json,
): JsonObject {
  try {
    const result =
      type === "json"
        ? jsonPatch(current, patch)
        : type === "merge"
          ? mergePatch(current, object(patch))
          : strategicMerge(schema, current, object(patch));
    if (!isObject(result)) throw badRequest("the patch makes something else than an object");
    return result;
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    if (type !== "json") throw badRequest(`unable to apply the patch: ${error.message}`);
    const message = `the server rejected our request due to an error in our request: ${error.message}`;
    throw new ApiError(422, "Invalid", message);
  }
}

/** The object after a configuration was applied; see {@link applyConfiguration}. */
export function applied(
  schema: Struct,
  current: JsonObject | undefined,
  config: JsonObject,
  author: Author,
  force: boolean,
): JsonObject {
  if (isObject(config.metadata) && config.metadata.managedFields !== undefined) {
    throw badRequest("metadata.managedFields must be nil");
  }
  return applyConfiguration(schema, current, config, author, force);
}

function object(patch: Json): JsonObject {
  if (!isObject(patch)) throw badRequest("the patch is not an object");
  return patch;
}
