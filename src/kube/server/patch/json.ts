/** JSON patches (RFC 6902) with JSON pointers (RFC 6901). */
import { isList, isObject, type Json, type JsonObject, type MutableObject, sameJson } from "../json.ts";

/** Most operations that one patch may hold, as upstream. */
export const maxOperations = 10_000;

/** Characters of JSON text that its operations may copy in all, as upstream: each could double the object otherwise. */
const maxCopied = 3 * 1024 * 1024;

/** Says which operation of a patch cannot be done, and why. */
export class PatchError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "PatchError";
  }
}

/**
 * The value after all operations, or the error of the first that fails: then nothing has changed, for every step makes
 * new values.
 *
 * @throws {PatchError} if the patch is malformed or an operation does not fit the value.
 */
export function jsonPatch(target: Json, patch: Json): Json {
  if (!isList(patch)) throw new PatchError("a JSON patch is a list of operations");
  if (patch.length > maxOperations) {
    throw new PatchError(`the allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`);
  }
  let value = target;
  let copied = 0;
  for (const [i, operation] of patch.entries()) {
    try {
      if (!isObject(operation)) throw new PatchError("an operation is an object");
      if (operation.op === "copy") copied += sizeOfCopy(value, operation);
      if (copied > maxCopied) throw new PatchError(`the patch copies more than ${maxCopied} bytes`);
      value = perform(value, operation);
    } catch (error) {
      throw new PatchError(`operation ${i}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return value;
}

function sizeOfCopy(document: Json, operation: JsonObject): number {
  return JSON.stringify(lookUp(document, pointer(operation.from, "from"))).length;
}

function perform(document: Json, operation: JsonObject): Json {
  const path = pointer(operation.path, "path");
  const given = () => {
    if (operation.value === undefined) throw new PatchError("value is missing");
    return operation.value;
  };
  switch (operation.op) {
    case "add":
      return add(document, path, given());
    case "remove":
      return remove(document, path);
    case "replace":
      lookUp(document, path);
      return path.length === 0 ? given() : add(remove(document, path), path, given());
    case "move": {
      const from = pointer(operation.from, "from");
      if (from.length < path.length && from.every((part, i) => part === path[i])) {
        throw new PatchError("a value cannot move into itself");
      }
      const value = lookUp(document, from);
      return add(remove(document, from), path, value);
    }
    case "copy":
      return add(document, path, lookUp(document, pointer(operation.from, "from")));
    case "test":
      if (!sameJson(lookUp(document, path), given())) throw new PatchError(`testing value ${operation.path} failed`);
      return document;
    default:
      throw new PatchError(`unexpected kind: ${JSON.stringify(operation.op ?? null)}`);
  }
}

/** The parts of a JSON pointer. */
function pointer(text: Json | undefined, member: string): readonly string[] {
  if (typeof text !== "string" || (text !== "" && !text.startsWith("/"))) {
    throw new PatchError(`${member} is not a JSON pointer`);
  }
  if (/~([^01]|$)/.test(text)) throw new PatchError(`${member} has a ~ that is neither ~0 nor ~1`);
  return text
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function lookUp(document: Json, path: readonly string[]): Json {
  let value: Json = document;
  for (const part of path) {
    const member: Json | undefined = isList(value)
      ? value[index(part, value.length - 1)]
      : isObject(value) && Object.hasOwn(value, part)
        ? value[part]
        : undefined;
    if (member === undefined) throw new PatchError(`/${path.join("/")} is missing`);
    value = member;
  }
  return value;
}

function index(part: string, last: number): number {
  if (!/^(0|[1-9][0-9]*)$/.test(part)) throw new PatchError(`${JSON.stringify(part)} is not the index of a list`);
  const i = Number(part);
  if (i > last) throw new PatchError(`index ${part} is out of bounds`);
  return i;
}

function add(document: Json, path: readonly string[], value: Json): Json {
  const [first, ...rest] = path;
  if (first === undefined) return value;
  if (isList(document)) {
    const copy = [...document];
    if (rest.length === 0) copy.splice(first === "-" ? copy.length : index(first, copy.length), 0, value);
    else {
      const i = index(first, copy.length - 1);
      copy[i] = add(copy[i] ?? null, rest, value);
    }
    return copy;
  }
  if (!isObject(document)) throw new PatchError(`there is nothing at /${path.join("/")} to add to`);
  const copy: MutableObject = { ...document };
  if (rest.length === 0) copy[first] = value;
  else {
    const member = Object.hasOwn(copy, first) ? copy[first] : undefined;
    if (member === undefined) throw new PatchError(`/${first} is missing`);
    copy[first] = add(member, rest, value);
  }
  return copy;
}

function remove(document: Json, path: readonly string[]): Json {
  const [first, ...rest] = path;
  if (first === undefined) throw new PatchError("the whole document cannot be removed");
  if (isList(document)) {
    const copy = [...document];
    const i = index(first, copy.length - 1);
    if (rest.length === 0) copy.splice(i, 1);
    else copy[i] = remove(copy[i] ?? null, rest);
    return copy;
  }
  if (!isObject(document) || !Object.hasOwn(document, first) || document[first] === undefined) {
    throw new PatchError(`/${first} is missing`);
  }
  const copy: MutableObject = { ...document };
  if (rest.length === 0) delete copy[first];
  else copy[first] = remove(document[first], rest);
  return copy;
}
