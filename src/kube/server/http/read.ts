/** Bodies of requests, with bounds. */
import type { IncomingMessage } from "node:http";
import { parse as parseYaml } from "yaml";
import { ApiError, badRequest, unsupportedMediaType } from "../errors.ts";
import { isObject, type Json, type JsonObject } from "../json.ts";
import { decodeProtobuf } from "../protobuf/decode.ts";
import type { Struct } from "../schema/schema.ts";
import { parseMediaType } from "./accept.ts";

/** Bytes that a body may have, as upstream. */
export const bodyLimit = 3 * 1024 * 1024;
/** How deep lists and objects of a body may nest. */
const depthLimit = 200;

/** A body as it came. */
export interface Body {
  readonly bytes: Buffer;
  readonly contentType: string;
}

/**
 * The body of a request.
 *
 * @throws {ApiError} 413 if it is too large.
 */
export async function readBody(request: IncomingMessage): Promise<Body> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > bodyLimit) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    const bytes = Buffer.isBuffer(part) ? part : Buffer.from(String(part));
    size += bytes.length;
    if (size > bodyLimit) throw tooLarge();
    chunks.push(bytes);
  }
  return { bytes: Buffer.concat(chunks), contentType: request.headers["content-type"] ?? "" };
}

function tooLarge(): ApiError {
  return new ApiError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${bodyLimit}`);
}

/**
 * A body as JSON. Its content type may name JSON, any kind of patch, or YAML.
 *
 * @throws {ApiError} 415 for other types, 400 if it cannot be read.
 */
export function jsonOf({ bytes, contentType }: Body): Json {
  const { type } = parseMediaType(contentType);
  const yaml = type.endsWith("yaml");
  if (!yaml && type !== "" && type !== "*/*" && !type.endsWith("json")) {
    throw unsupportedMediaType(
      "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    );
  }
  const text = bytes.toString("utf8");
  try {
    if (depthOf(text) > depthLimit) throw new Error(`it nests deeper than ${depthLimit} levels`);
    let value: Json;
    if (yaml && !text.trimStart().startsWith("{")) {
      value = JSON.parse(JSON.stringify(parseYaml(text, { schema: "core", maxAliasCount: 50 }) ?? null));
    } else value = JSON.parse(text);
    if (text.includes("__proto__") && JSON.stringify(value).includes('"__proto__":')) {
      throw new Error("it has a member __proto__");
    }
    return value;
  } catch (error) {
    throw unreadable(error);
  }
}

/**
 * A body that is an object of a schema, in JSON, YAML or the API's protocol buffers.
 *
 * @throws {ApiError} as {@link jsonOf}, and 400 if it is not an object.
 */
export function objectOf(body: Body, schema: Struct): JsonObject {
  if (parseMediaType(body.contentType).type === "application/vnd.kubernetes.protobuf") {
    try {
      return decodeProtobuf(schema, body.bytes);
    } catch (error) {
      throw unreadable(error);
    }
  }
  const value = jsonOf(body);
  if (!isObject(value)) throw badRequest("the body of the request is not an object");
  return value;
}

function unreadable(error: unknown): ApiError {
  return badRequest(
    `the body of the request cannot be read: ${error instanceof Error ? error.message : String(error)}`,
  );
}

/** How deep brackets nest, those in strings not counted. For YAML an upper bound of its flow parts. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (quoted) {
      if (code === 92) i++;
      else if (code === 34) quoted = false;
    } else if (code === 34) quoted = true;
    else if (code === 123 || code === 91) deepest = Math.max(deepest, ++depth);
    else if (code === 125 || code === 93) depth--;
  }
  return deepest;
}
