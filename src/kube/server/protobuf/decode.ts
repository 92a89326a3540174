/**
 * Objects in the protocol buffers of the API (`application/vnd.kubernetes.protobuf`), which kubectl sends from 1.32 on
 * for some commands. Read only: answers are JSON, which such clients accept as well.
 */
import type { Json, JsonObject, MutableObject } from "../json.ts";
import type { Schema, Struct } from "../schema/schema.ts";
import { fieldNumbers } from "./tags.ts";
import { type Part, readParts, signed, textOf, WireError } from "./wire.ts";

/** The four bytes before every message. */
const magic = "k8s\0";

/**
 * Reads an object.
 *
 * @throws {WireError} if the bytes are damaged or hold something that only JSON can say here.
 */
export function decodeProtobuf(schema: Struct, bytes: Uint8Array): JsonObject {
  if (Buffer.from(bytes.subarray(0, 4)).toString("latin1") !== magic)
    throw new WireError("the body does not begin like a message of the API");
  const envelope = readParts(bytes.subarray(4));
  const type = readParts(bytesOf(envelope.find((part) => part.field === 1)));
  const encoding = envelope.find((part) => part.field === 3);
  if (encoding !== undefined && bytesOf(encoding).length > 0) throw new WireError("the body is compressed");
  if (fieldNumbers[schema.name] === undefined)
    throw new WireError("this kind is understood in JSON only: send application/json");
  const raw = bytesOf(envelope.find((part) => part.field === 2));
  const named = (field: number) => textOf(bytesOf(type.find((part) => part.field === field)));
  return { apiVersion: named(1), kind: named(2), ...message(schema, schema.name, raw, 0) };
}

function bytesOf(part: Part | undefined): Uint8Array {
  if (part === undefined) return new Uint8Array();
  if (part.bytes === undefined) throw new WireError(`field ${part.field} is a number where bytes belong`);
  return part.bytes;
}

interface Numbered {
  readonly name: string;
  /** True for scalars whose zero means something. */
  readonly zero: boolean;
}

const tables = new Map<string, ReadonlyMap<number, Numbered>>();

function tableOf(name: string): ReadonlyMap<number, Numbered> {
  let table = tables.get(name);
  if (table === undefined) {
    const entries = (fieldNumbers[name] ?? "").split(" ").filter((item) => item !== "");
    table = new Map(
      entries.map((item) => {
        const colon = item.indexOf(":");
        const zero = item.endsWith("?");
        return [Number(item.slice(0, colon)), { name: item.slice(colon + 1, zero ? -1 : undefined), zero }];
      }),
    );
    tables.set(name, table);
  }
  return table;
}

function message(schema: Struct, name: string, bytes: Uint8Array, depth: number): JsonObject {
  if (depth > 40) throw new WireError("messages nest too deep");
  const table = tableOf(name);
  const result: MutableObject = {};
  for (const part of readParts(bytes)) {
    const entry = table.get(part.field);
    if (entry === undefined) continue;
    if (entry.name.startsWith("@")) {
      Object.assign(result, message(schema, entry.name.slice(1), bytesOf(part), depth + 1));
      continue;
    }
    const field = Object.hasOwn(schema.fields, entry.name) ? schema.fields[entry.name] : undefined;
    if (field === undefined) continue;
    const before = result[entry.name];
    const value = partValue(field.schema, part, before, entry, depth);
    if (value !== undefined) result[entry.name] = value;
  }
  return result;
}

function partValue(
  schema: Schema,
  part: Part,
  before: Json | undefined,
  entry: Numbered,
  depth: number,
): Json | undefined {
  switch (schema.type) {
    case "opaque":
      if (bytesOf(part).length === 0) return undefined;
      throw new WireError(`${entry.name} is understood in JSON only: send application/json`);
    case "struct":
      return message(schema, schema.name, bytesOf(part), depth + 1);
    case "list": {
      const item = partValue(schema.items, part, undefined, { ...entry, zero: true }, depth);
      const items = Array.isArray(before) ? before : [];
      return item === undefined ? items : [...items, item];
    }
    case "map": {
      const pair = readParts(bytesOf(part));
      const key = textOf(bytesOf(pair.find((member) => member.field === 1)));
      const value = pair.find((member) => member.field === 2);
      const content =
        value === undefined ? "" : partValue(schema.values, value, undefined, { ...entry, zero: true }, depth);
      if (key === "__proto__") throw new WireError("__proto__ is no name");
      return { ...(typeof before === "object" ? before : {}), [key]: content ?? "" };
    }
    default:
      return scalar(schema.type, part, entry.zero);
  }
}

function scalar(type: string, part: Part, zero: boolean): Json | undefined {
  switch (type) {
    case "string": {
      const text = textOf(bytesOf(part));
      return text === "" && !zero ? undefined : text;
    }
    case "bytes":
      return Buffer.from(bytesOf(part)).toString("base64");
    case "boolean":
      return part.value === 0n && !zero ? undefined : part.value !== 0n;
    case "int32":
    case "int64": {
      const number = signed(part.value ?? 0n);
      return number === 0 && !zero ? undefined : number;
    }
    case "intOrString": {
      const members = readParts(bytesOf(part));
      const isText = (members.find((member) => member.field === 1)?.value ?? 0n) === 1n;
      if (isText) return textOf(bytesOf(members.find((member) => member.field === 3)));
      return signed(members.find((member) => member.field === 2)?.value ?? 0n);
    }
    case "quantity":
      return textOf(bytesOf(readParts(bytesOf(part)).find((member) => member.field === 1)));
    case "time":
    case "microTime": {
      const members = readParts(bytesOf(part));
      if (members.length === 0) return undefined;
      const seconds = signed(members.find((member) => member.field === 1)?.value ?? 0n);
      const nanos = signed(members.find((member) => member.field === 2)?.value ?? 0n);
      const date = new Date(seconds * 1000);
      if (Number.isNaN(date.getTime())) throw new WireError(`${seconds} is not a time`);
      const whole = date.toISOString().slice(0, 19);
      return type === "time" ? `${whole}Z` : `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z`;
    }
    default:
      throw new WireError(`values of type ${type} are understood in JSON only: send application/json`);
  }
}
