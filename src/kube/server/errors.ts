/** Errors in the form of the API: `Status` of `meta/v1`, with the reasons and sentences that clients know. */
import type { Json, JsonObject } from "./json.ts";

/** What is wrong with one field of an object. Made by {@link required}, {@link invalid} and their siblings. */
export interface Problem {
  readonly reason: string;
  readonly field: string;
  readonly message: string;
}

/** A request that the server refuses. Its message is the one that the client prints. */
export class ApiError extends Error {
  /** HTTP status code. */
  readonly code: number;
  /** `Status.reason`: a word that programs compare. */
  readonly reason: string;
  readonly details: JsonObject;

  constructor(code: number, reason: string, message: string, details: JsonObject = {}) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  /** The error as a `Status` object. */
  toStatus(): JsonObject {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      details: this.details,
      code: this.code,
    };
  }
}

/** What an error is about: the resource (`services`, `deployments`), its API group (empty for core) and its kind. */
export interface Subject {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

function qualified(name: string, group: string): string {
  return group === "" ? name : `${name}.${group}`;
}

function detailsOf(subject: Subject, name: string): JsonObject {
  return { name, ...(subject.group === "" ? {} : { group: subject.group }), kind: subject.plural };
}

/** 400: the request cannot be understood. */
export function badRequest(message: string): ApiError {
  return new ApiError(400, "BadRequest", message);
}

/** 404: there is no such object. */
export function notFound(subject: Subject, name: string): ApiError {
  const message = `${qualified(subject.plural, subject.group)} ${JSON.stringify(name)} not found`;
  return new ApiError(404, "NotFound", message, detailsOf(subject, name));
}

/** 404: there is no such path. */
export function unknownPath(): ApiError {
  return new ApiError(404, "NotFound", "the server could not find the requested resource");
}

/** 405: the resource does not do that. */
export function methodNotAllowed(why = "the server does not allow this method on the requested resource"): ApiError {
  return new ApiError(405, "MethodNotAllowed", why);
}

/** 409: an object of this name exists. */
export function alreadyExists(subject: Subject, name: string): ApiError {
  const message = `${qualified(subject.plural, subject.group)} ${JSON.stringify(name)} already exists`;
  return new ApiError(409, "AlreadyExists", message, detailsOf(subject, name));
}

/** 409: the object is not (any more) what the request took it for. */
export function conflict(subject: Subject, name: string, why: string): ApiError {
  const what = `${qualified(subject.plural, subject.group)} ${JSON.stringify(name)}`;
  const message = `Operation cannot be fulfilled on ${what}: ${why}`;
  return new ApiError(409, "Conflict", message, detailsOf(subject, name));
}

/** The reason for a {@link conflict} of resource versions. */
export const modified = "the object has been modified; please apply your changes to the latest version and try again";

/** 403: not now, or never. */
export function forbidden(subject: Subject, name: string, why: string, causes: readonly JsonObject[] = []): ApiError {
  const what = qualified(subject.plural, subject.group);
  const message = `${what} ${JSON.stringify(name)} is forbidden: ${why}`;
  const details = { ...detailsOf(subject, name), ...(causes.length > 0 ? { causes } : {}) };
  return new ApiError(403, "Forbidden", message, details);
}

/** 422: the object is understood, and wrong. */
export function invalidObject(subject: Subject, name: string, problems: readonly Problem[]): ApiError {
  const list = problems.map((problem) => `${problem.field}: ${problem.message}`);
  const text = list.length === 1 ? list[0] : `[${list.join(", ")}]`;
  const causes = problems.map(({ reason, message, field }) => ({ reason, message, field }));
  const message = `${qualified(subject.kind, subject.group)} ${JSON.stringify(name)} is invalid: ${text}`;
  const details = { name, ...(subject.group === "" ? {} : { group: subject.group }), kind: subject.kind, causes };
  return new ApiError(422, "Invalid", message, details);
}

/** 410: the resource version lies before what the server remembers; the client lists again. */
export function expired(message: string): ApiError {
  return new ApiError(410, "Expired", message);
}

/** 429: a pod may not be evicted now; `why` says what its disruption budget wants. */
export function evictionRefused(why: string): ApiError {
  const message = "Cannot evict pod as it would violate the pod's disruption budget.";
  return new ApiError(429, "TooManyRequests", message, { causes: [{ reason: "DisruptionBudget", message: why }] });
}

/** 415: a patch or body of a type that the server does not read. */
export function unsupportedMediaType(message: string): ApiError {
  return new ApiError(415, "UnsupportedMediaType", message);
}

/** `field: Required value: why`. */
export function required(field: string, why = ""): Problem {
  return { reason: "FieldValueRequired", field, message: why === "" ? "Required value" : `Required value: ${why}` };
}

/** `field: Invalid value: value: why`. */
export function invalid(field: string, value: Json | undefined, why: string): Problem {
  return { reason: "FieldValueInvalid", field, message: `Invalid value: ${JSON.stringify(value ?? null)}: ${why}` };
}

/** `field: Unsupported value: value: supported values: ...`. */
export function notSupported(field: string, value: Json | undefined, supported: readonly string[]): Problem {
  const values = [...supported].sort().map((item) => JSON.stringify(item));
  const message = `Unsupported value: ${JSON.stringify(value ?? null)}: supported values: ${values.join(", ")}`;
  return { reason: "FieldValueNotSupported", field, message };
}

/** `field: Duplicate value: value`. */
export function duplicate(field: string, value: Json): Problem {
  return { reason: "FieldValueDuplicate", field, message: `Duplicate value: ${JSON.stringify(value)}` };
}

/** `field: Forbidden: why`. */
export function notAllowed(field: string, why: string): Problem {
  return { reason: "FieldValueForbidden", field, message: `Forbidden: ${why}` };
}

/** `field: Too long: ...`, `limit` in bytes. */
export function tooLong(field: string, limit: number): Problem {
  return { reason: "FieldValueTooLong", field, message: `Too long: may not be more than ${limit} bytes` };
}
