/** Values against the schemas of their definitions: what is wrong with them, in the sentences that clients know. Pure. */
import { isIPv4, isIPv6 } from "node:net";
import { tryParsePrefix } from "../../../net/prefix.ts";
import { duplicate, invalid, notSupported, type Problem, required } from "../errors.ts";
import { isList, isObject, type Json, sameJson } from "../json.ts";
import type { JsonSchema } from "./jsonschema.ts";
import { compilePattern } from "./pattern.ts";

/** Problems that one object is told of at most. */
const limit = 100;

/** What is wrong with a value that stands at a path. Rules in CEL are not evaluated. */
export function checkValue(schema: JsonSchema, value: Json, path: string): readonly Problem[] {
  const problems: Problem[] = [];
  check(schema, value, path, problems);
  return problems.slice(0, limit);
}

function check(schema: JsonSchema, value: Json, path: string, problems: Problem[]): void {
  if (problems.length >= limit) return;
  if (value === null && schema.nullable === true) return;
  const wanted = typeProblem(schema, value);
  if (wanted !== undefined) {
    problems.push(
      invalid(path, typeOf(value), `${path} in body must be of type ${wanted}: ${JSON.stringify(typeOf(value))}`),
    );
    return;
  }
  if (schema.enum !== undefined && !schema.enum.some((item) => sameJson(item, value)))
    problems.push(
      notSupported(
        path,
        value,
        schema.enum.map((item) => (typeof item === "string" ? item : JSON.stringify(item))),
      ),
    );
  if (typeof value === "string") checkText(schema, value, path, problems);
  else if (typeof value === "number") checkNumber(schema, value, path, problems);
  else if (isList(value)) checkItems(schema, value, path, problems);
  else if (isObject(value)) checkMembers(schema, value, path, problems);
  checkBranches(schema, value, path, problems);
}

function typeOf(value: Json): string {
  if (value === null) return "null";
  if (isList(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

/** The type that a value should have and does not; undefined if it fits. */
function typeProblem(schema: JsonSchema, value: Json): string | undefined {
  const given = typeOf(value);
  if (schema["x-kubernetes-int-or-string"] === true)
    return given === "integer" || given === "string" ? undefined : "integer or string";
  const { type } = schema;
  if (type === undefined || type === "") return undefined;
  return type === given || (type === "number" && given === "integer") ? undefined : type;
}

function checkText(schema: JsonSchema, value: string, path: string, problems: Problem[]): void {
  const { minLength, maxLength, pattern, format } = schema;
  const bad = (why: string) => problems.push(invalid(path, value, `${path} in body ${why}`));
  const length = minLength === undefined && maxLength === undefined ? 0 : [...value].length;
  if (minLength !== undefined && length < minLength) bad(`should be at least ${minLength} chars long`);
  if (maxLength !== undefined && length > maxLength)
    problems.push({
      reason: "FieldValueTooLong",
      field: path,
      message: `Too long: may not be more than ${maxLength} characters`,
    });
  if (pattern !== undefined && !compilePattern(pattern).test(value)) bad(`should match '${pattern}'`);
  const hasFormat = format === undefined || !Object.hasOwn(formats, format) ? undefined : formats[format];
  if (hasFormat?.(value) === false) bad(`must be of type ${format}: ${JSON.stringify(value)}`);
}

/** Formats of texts that are looked at, as upstream; others say nothing. */
const formats: Readonly<Record<string, (text: string) => boolean>> = {
  "date-time": (text) =>
    /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/.test(text) &&
    !Number.isNaN(Date.parse(text)),
  date: (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)),
  ipv4: isIPv4,
  ipv6: isIPv6,
  cidr: (text) => tryParsePrefix(text) !== undefined,
  byte: (text) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text),
  uuid: (text) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(text),
  hostname: (text) =>
    text.length <= 253 && /^[0-9a-z]([-0-9a-z]{0,61}[0-9a-z])?(\.[0-9a-z]([-0-9a-z]{0,61}[0-9a-z])?)*\.?$/i.test(text),
  email: (text) => /^[^@\s]+@[^@\s]+$/.test(text),
  mac: (text) => /^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(text),
  uri: (text) => URL.canParse(text),
};

function checkNumber(schema: JsonSchema, value: number, path: string, problems: Problem[]): void {
  const { minimum, maximum, multipleOf, format } = schema;
  const bad = (why: string) => problems.push(invalid(path, value, `${path} in body ${why}`));
  const below = schema.exclusiveMinimum === true ? "greater than" : "greater than or equal to";
  const above = schema.exclusiveMaximum === true ? "less than" : "less than or equal to";
  if (minimum !== undefined && (schema.exclusiveMinimum === true ? value <= minimum : value < minimum))
    bad(`should be ${below} ${minimum}`);
  if (maximum !== undefined && (schema.exclusiveMaximum === true ? value >= maximum : value > maximum))
    bad(`should be ${above} ${maximum}`);
  if (
    multipleOf !== undefined &&
    multipleOf > 0 &&
    Math.abs(value / multipleOf - Math.round(value / multipleOf)) > 1e-9
  )
    bad(`should be a multiple of ${multipleOf}`);
  if (format === "int32" && (value >= 2 ** 31 || value < -(2 ** 31)))
    bad(`must be of type int32: ${JSON.stringify(String(value))}`);
}

function checkItems(schema: JsonSchema, value: readonly Json[], path: string, problems: Problem[]): void {
  const { minItems, maxItems, items } = schema;
  if (minItems !== undefined && value.length < minItems)
    problems.push(invalid(path, value.length, `${path} in body should have at least ${minItems} items`));
  if (maxItems !== undefined && value.length > maxItems) {
    problems.push({
      reason: "FieldValueTooMany",
      field: path,
      message: `Too many: ${value.length}: must have at most ${maxItems} items`,
    });
    return;
  }
  const kind = schema["x-kubernetes-list-type"];
  if (kind === "set" || kind === "map") {
    const keys = schema["x-kubernetes-list-map-keys"] ?? [];
    const seen = new Set<string>();
    for (const [i, item] of value.entries()) {
      const identity =
        kind === "set"
          ? item
          : isObject(item)
            ? Object.fromEntries(keys.map((key) => [key, item[key] ?? items?.properties?.[key]?.default]))
            : null;
      const text = JSON.stringify(identity);
      if (seen.has(text)) problems.push(duplicate(`${path}[${i}]`, identity as Json));
      seen.add(text);
    }
  }
  if (items !== undefined) for (const [i, item] of value.entries()) check(items, item, `${path}[${i}]`, problems);
}

function checkMembers(
  schema: JsonSchema,
  value: { readonly [name: string]: Json | undefined },
  path: string,
  problems: Problem[],
): void {
  const under = path === "" ? "" : `${path}.`;
  const names = Object.keys(value).filter((name) => value[name] !== undefined);
  const { minProperties, maxProperties, properties, additionalProperties } = schema;
  if (minProperties !== undefined && names.length < minProperties)
    problems.push(invalid(path, names.length, `${path} in body should have at least ${minProperties} properties`));
  if (maxProperties !== undefined && names.length > maxProperties)
    problems.push({
      reason: "FieldValueTooMany",
      field: path,
      message: `Too many: ${names.length}: must have at most ${maxProperties} items`,
    });
  for (const name of schema.required ?? [])
    if (value[name] === undefined || !Object.hasOwn(value, name)) problems.push(required(`${under}${name}`));
  for (const name of names) {
    const member = value[name];
    if (member === undefined) continue;
    const own = properties !== undefined && Object.hasOwn(properties, name) ? properties[name] : undefined;
    const described = own ?? (isObject(additionalProperties) ? (additionalProperties as JsonSchema) : undefined);
    if (described !== undefined) check(described, member, `${under}${name}`, problems);
  }
}

function checkBranches(schema: JsonSchema, value: Json, path: string, problems: Problem[]): void {
  const fits = (branch: JsonSchema) => {
    const found: Problem[] = [];
    check(branch, value, path, found);
    return found.length === 0;
  };
  for (const branch of schema.allOf ?? []) check(branch, value, path, problems);
  const bad = (why: string) => problems.push(invalid(path, value, `${JSON.stringify(path)} must ${why}`));
  if (schema.anyOf !== undefined && schema.anyOf.length > 0 && !schema.anyOf.some(fits))
    bad("validate at least one schema (anyOf)");
  if (schema.oneOf !== undefined && schema.oneOf.length > 0) {
    const count = schema.oneOf.filter(fits).length;
    if (count !== 1)
      bad(`validate one and only one schema (oneOf). Found ${count === 0 ? "none" : String(count)} valid`);
  }
  if (schema.not !== undefined && fits(schema.not)) bad("not validate the schema (not)");
}
