/**
 * OpenAPI 2 in protocol buffers, which clients up to 1.26 ask for (`openapi.v2` of gnostic, openapiv2/OpenAPIv2.proto).
 * Only the messages and fields that {@link openApi2} makes.
 */
import { isList, isObject, type Json, type JsonObject, listAt, objectAt, textAt } from "../json.ts";

/** The document of version 2 as a `Document` message. */
export function encodeOpenApi2(document: JsonObject): Uint8Array {
  const info = objectAt(document, "info");
  const paths = Object.entries(objectAt(document, "paths")).map(([name, path]) =>
    message(2, [text(1, name), message(2, pathItem(asObject(path)))]),
  );
  const definitions = Object.entries(objectAt(document, "definitions")).map(([name, schema]) =>
    namedSchema(name, asObject(schema)),
  );
  return Buffer.concat([
    text(1, textAt(document, "swagger")),
    message(2, [text(1, textAt(info, "title")), text(2, textAt(info, "version"))]),
    message(8, paths),
    message(9, definitions),
  ]);
}

function asObject(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}

const methods: Readonly<Record<string, number>> = { get: 2, put: 3, post: 4, delete: 5, patch: 8 };

function pathItem(path: JsonObject): readonly Uint8Array[] {
  return Object.entries(methods).flatMap(([method, field]) =>
    path[method] === undefined ? [] : [message(field, operation(asObject(path[method])))],
  );
}

function operation(value: JsonObject): readonly Uint8Array[] {
  const parameters = listAt(value, "parameters").map((parameter) => {
    const query = message(3, [
      text(2, "query"),
      text(4, textAt(parameter, "name")),
      text(6, textAt(parameter, "type")),
    ]);
    // ParametersItem.parameter, Parameter.non_body_parameter, NonBodyParameter.query_parameter_sub_schema
    return message(8, [message(1, [message(2, [query])])]);
  });
  const ok = message(1, [text(1, "200"), message(2, [message(1, [text(1, "OK")])])]);
  return [text(5, textAt(value, "operationId")), ...parameters, message(9, [ok]), ...extensions(13, value)];
}

function namedSchema(name: string, value: JsonObject): Uint8Array {
  return message(1, [text(1, name), message(2, schema(value))]);
}

function schema(value: JsonObject): readonly Uint8Array[] {
  const parts: Uint8Array[] = [];
  if (value.$ref !== undefined) parts.push(text(1, textAt(value, "$ref")));
  if (value.format !== undefined) parts.push(text(2, textAt(value, "format")));
  if (value.description !== undefined) parts.push(text(4, textAt(value, "description")));
  for (const name of listAt(value, "required")) parts.push(text(19, String(name)));
  if (isObject(value.additionalProperties)) parts.push(message(21, [message(1, schema(value.additionalProperties))]));
  if (value.type !== undefined) parts.push(message(22, [text(1, textAt(value, "type"))]));
  if (isObject(value.items)) parts.push(message(23, [message(1, schema(value.items))]));
  if (isObject(value.properties)) {
    parts.push(
      message(
        25,
        Object.entries(value.properties).map(([name, member]) => namedSchema(name, asObject(member))),
      ),
    );
  }
  return [...parts, ...extensions(31, value)];
}

/** Members that begin with `x-`, as YAML text (JSON is YAML). */
function extensions(field: number, value: JsonObject): readonly Uint8Array[] {
  return Object.entries(value)
    .filter(([name, member]) => name.startsWith("x-") && (isList(member) || member !== undefined))
    .map(([name, member]) => message(field, [text(1, name), message(2, [text(2, JSON.stringify(member))])]));
}

/** A length-delimited field (wire type 2) that holds a message. */
function message(field: number, parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  return Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);
}

/** A field that holds text. */
function text(field: number, value: string): Uint8Array {
  return message(field, [Buffer.from(value)]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Uint8Array.of(...bytes, rest);
}
