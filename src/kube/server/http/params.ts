/** Query parameters of requests. Pure. */
import type { DeleteOptions, WriteOptions } from "../api.ts";
import { badRequest, expired } from "../errors.ts";
import { isObject, type Json, type JsonObject, listAt, textAt } from "../json.ts";
import type { Kind } from "../kinds/kind.ts";
import { type FieldRequirement, parseFieldSelector } from "../select/fields.ts";
import { parseLabelSelector, type Requirement, SelectorError } from "../select/labels.ts";

/** Which objects a list or watch is about. */
export interface Selection {
  readonly labels: readonly Requirement[];
  readonly fields: readonly FieldRequirement[];
}

/**
 * The selectors of a request.
 *
 * @throws {ApiError} 400 if one cannot be read or names a field that the kind does not select by.
 */
export function selectionOf(kind: Kind, query: URLSearchParams): Selection {
  try {
    return {
      labels: parseLabelSelector(query.get("labelSelector") ?? ""),
      fields: parseFieldSelector(query.get("fieldSelector") ?? "", [
        "metadata.name",
        "metadata.namespace",
        ...kind.selectable,
      ]),
    };
  } catch (error) {
    if (error instanceof SelectorError) throw badRequest(error.message);
    throw error;
  }
}

/** Where a list goes on: the version of its first page, and the last key of the page before. */
export interface Continuation {
  readonly version: number;
  readonly after: string;
}

/** A continuation as the text that clients hand back. */
export function encodeContinue(value: Continuation): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: value.version, start: value.after })).toString(
    "base64url",
  );
}

/**
 * Reads a continuation.
 *
 * @throws {ApiError} 410 if it is not one of this server's.
 */
export function decodeContinue(text: string): Continuation {
  try {
    const value: Json = JSON.parse(Buffer.from(text, "base64url").toString());
    if (isObject(value) && typeof value.rv === "number" && typeof value.start === "string") {
      return { version: value.rv, after: value.start };
    }
  } catch {
    // Told below.
  }
  throw expired("the provided continue parameter is not valid: list again without it");
}

/**
 * A parameter that is a whole number from 0 on; undefined if it is missing or empty.
 *
 * @throws {ApiError} 400 if it is something else.
 */
export function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name) ?? "";
  if (text === "") return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`${name}: Invalid value: ${JSON.stringify(text)}: must be a whole number`);
  return Number(text);
}

/** A parameter that is true or false; undefined if it is missing. */
export function flagOf(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  throw badRequest(`${name}: Invalid value: ${JSON.stringify(text)}: must be true or false`);
}

/**
 * How a write is to be done. `agent` is the User-Agent, whose first word names the manager where the client does not.
 *
 * @throws {ApiError} 400 for values that the API does not know.
 */
export function writeOptionsOf(query: URLSearchParams, agent: string, warn: (message: string) => void): WriteOptions {
  const strictness = query.get("fieldValidation") || "Warn";
  if (strictness !== "Strict" && strictness !== "Warn" && strictness !== "Ignore") {
    throw badRequest(
      `fieldValidation: Unsupported value: ${JSON.stringify(strictness)}: supported values: "Ignore", "Strict", "Warn"`,
    );
  }
  const manager = query.get("fieldManager") || (agent.split("/")[0] ?? "").slice(0, 128) || "unknown";
  if (manager.length > 128) throw badRequest("fieldManager: Too long: may not be more than 128 bytes");
  return { dryRun: dryRunOf(query.getAll("dryRun")), manager, strictness, warn };
}

/** True if nothing shall be written; the only value that means so is `All`. */
export function dryRunOf(values: readonly string[]): boolean {
  const bad = values.find((value) => value !== "All" && value !== "");
  if (bad !== undefined) throw badRequest(`dryRun: Unsupported value: ${JSON.stringify(bad)}: supported values: "All"`);
  return values.includes("All");
}

const propagations = ["Background", "Foreground", "Orphan"] as const;

/**
 * How an object is to be deleted: `body` is a `DeleteOptions` of `meta/v1` or empty, the query says what it does not.
 *
 * @throws {ApiError} 400 for values that the API does not know.
 */
export function deleteOptionsOf(body: JsonObject, query: URLSearchParams): DeleteOptions {
  const grace =
    typeof body.gracePeriodSeconds === "number" ? body.gracePeriodSeconds : numberOf(query, "gracePeriodSeconds");
  const orphans = body.orphanDependents ?? flagOf(query, "orphanDependents");
  const older = orphans === undefined ? "" : orphans === true ? "Orphan" : "Background";
  const given = textAt(body, "propagationPolicy") || query.get("propagationPolicy") || older;
  const propagation = propagations.find((known) => known === given);
  if (given !== "" && propagation === undefined) {
    throw badRequest(
      `propagationPolicy: Unsupported value: ${JSON.stringify(given)}: supported values: "Background", "Foreground", "Orphan"`,
    );
  }
  const uid = textAt(body, "preconditions", "uid");
  const resourceVersion = textAt(body, "preconditions", "resourceVersion");
  return {
    dryRun: dryRunOf([...listAt(body, "dryRun").map(String), ...query.getAll("dryRun")]),
    ...(propagation === undefined ? {} : { propagation }),
    ...(grace === undefined ? {} : { graceSeconds: grace }),
    ...(uid === "" ? {} : { uid }),
    ...(resourceVersion === "" ? {} : { resourceVersion }),
  };
}
