/** Bodies of requests, with bounds. */
import type { IncomingMessage } from "node:http";
import { parse as parseYaml } from "yaml";
import { ApiError, badRequest, unsupportedMediaType } from "../errors.ts";
import { isObject, type Json, type JsonObject } from "../json.ts";
import { parseMediaType } from "./accept.ts";

/** Bytes that a body may have, as upstream. */
export const bodyLimit = 3 * 1024 * 1024;
/** How deep lists and objects of a body may nest. */
const depthLimit = 200;

/**
 * The body of a request as text.
 *
 * @throws {ApiError} 413 if it is too large.
 */
export async function readText(request: IncomingMessage): Promise<string> {
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
  return Buffer.concat(chunks).toString("utf8");
}

function tooLarge(): ApiError {
  return new ApiError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${bodyLimit}`);
}

/**
 * A body as JSON. `contentType` may name JSON, any kind of patch, or YAML.
 *
 * @throws {ApiError} 415 for other types, 400 if it cannot be read.
 */
export function parseBody(text: string, contentType: string): Json {
  const { type } = parseMediaType(contentType);
  const yaml = type.endsWith("yaml");
  if (!yaml && type !== "" && type !== "*/*" && !type.endsWith("json")) {
    throw unsupportedMediaType(
      "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml",
    );
  }
  try {
    if (depthOf(text) > depthLimit) throw new Error(`it nests deeper than ${depthLimit} levels`);
    let value: Json;
    if (yaml && !text.trimStart().startsWith("{")) {
      value = JSON.parse(JSON.stringify(parseYaml(text, { schema: "core", maxAliasCount: 50 }) ?? null));
    } else value = JSON.parse(text);
    if (text.includes("__proto__") && JSON.stringify(value).includes('"__proto__":'))
      throw new Error("it has a member __proto__");
    return value;
  } catch (error) {
    throw badRequest(
      `the body of the request cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/**
 * The same, for bodies that are objects.
 *
 * @throws {ApiError} 400 if it is not one.
 */
export function parseObject(text: string, contentType: string): JsonObject {
  const value = parseBody(text, contentType);
  if (!isObject(value)) throw badRequest("the body of the request is not an object");
  return value;
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
