import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ApiObject, Json, JsonObject } from "../json.ts";
import { customResourceDefinition } from "../kinds/definition.ts";
import { byPriority } from "../kinds/set.ts";
import { decode, withDefaults } from "../schema/decode.ts";
import { checkValue } from "./check.ts";
import { checkSchema, hasRules, type JsonSchema } from "./jsonschema.ts";
import { kindsOf } from "./kinds.ts";
import { publishedSchema } from "./openapi.ts";
import { rootShape } from "./shape.ts";

const schema: JsonSchema = {
  type: "object",
  properties: {
    spec: {
      type: "object",
      required: ["host"],
      properties: {
        host: { type: "string", minLength: 2, maxLength: 5, pattern: "^[a-z]+$" },
        weight: { type: "integer", minimum: 0, exclusiveMaximum: true, maximum: 10, default: 4, multipleOf: 2 },
        port: { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] },
        note: { type: "string", nullable: true, default: "none" },
        modes: {
          type: "array",
          "x-kubernetes-list-type": "set",
          maxItems: 2,
          items: { type: "string", enum: ["a", "b"] },
        },
        rules: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
          items: {
            type: "object",
            required: ["name"],
            properties: { name: { type: "string" }, on: { type: "boolean", default: true } },
          },
        },
        more: {
          type: "object",
          additionalProperties: { type: "object", properties: { x: { type: "number", default: 2 } } },
        },
        any: {
          type: "object",
          "x-kubernetes-preserve-unknown-fields": true,
          properties: { known: { type: "string" } },
        },
        address: { type: "string", format: "ipv4" },
        one: {
          type: "object",
          properties: { a: { type: "string" }, b: { type: "string" } },
          oneOf: [{ required: ["a"] }, { required: ["b"] }],
        },
        pod: { type: "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true },
      },
    },
  },
};
const shape = rootShape(schema, "com.example.v1.Thing");
/** What is wrong with a spec, after its defaults: as `field: message`. */
const wrong = (spec: JsonObject): readonly string[] =>
  checkValue(schema, withDefaults(shape, decode(shape, { spec }).value), "").map(
    ({ field, message }) => `${field}: ${message}`,
  );
const good = { host: "abc", weight: 2 };

test("a structural schema is taken, and objects that fit it are, too", () => {
  assert.deepEqual(checkSchema("schema", schema), []);
  assert.deepEqual(
    wrong({
      ...good,
      port: "http",
      note: null,
      modes: ["a"],
      rules: [{ name: "x" }],
      more: { k: {} },
      any: { z: [1] },
      address: "192.0.2.1",
      one: { a: "1" },
    }),
    [],
  );
});

test("values are refused where they do not fit, in the sentences that clients know", () => {
  const cases: readonly (readonly [JsonObject, string])[] = [
    [{ weight: 2 }, "spec.host: Required value"],
    [
      { host: 5, weight: 2 },
      'spec.host: Invalid value: "integer": spec.host in body must be of type string: "integer"',
    ],
    [{ ...good, host: "a" }, 'spec.host: Invalid value: "a": spec.host in body should be at least 2 chars long'],
    [{ ...good, host: "abcdef" }, "spec.host: Too long: may not be more than 5 characters"],
    [{ ...good, host: "AB" }, "spec.host: Invalid value: \"AB\": spec.host in body should match '^[a-z]+$'"],
    [{ ...good, weight: 10 }, "spec.weight: Invalid value: 10: spec.weight in body should be less than 10"],
    [
      { ...good, weight: -2 },
      "spec.weight: Invalid value: -2: spec.weight in body should be greater than or equal to 0",
    ],
    [{ ...good, weight: 3 }, "spec.weight: Invalid value: 3: spec.weight in body should be a multiple of 2"],
    [
      { ...good, weight: 2.5 },
      'spec.weight: Invalid value: "number": spec.weight in body must be of type integer: "number"',
    ],
    [
      { ...good, port: true },
      'spec.port: Invalid value: "boolean": spec.port in body must be of type integer or string: "boolean"',
    ],
    [{ ...good, modes: ["c"] }, 'spec.modes[0]: Unsupported value: "c": supported values: "a", "b"'],
    [{ ...good, modes: ["a", "a"] }, 'spec.modes[1]: Duplicate value: "a"'],
    [{ ...good, modes: ["a", "b", "c"] }, "spec.modes: Too many: 3: must have at most 2 items"],
    [{ ...good, rules: [{ name: "x" }, { name: "x" }] }, 'spec.rules[1]: Duplicate value: {"name":"x"}'],
    [{ ...good, rules: {} }, 'spec.rules: Invalid value: "object": spec.rules in body must be of type array: "object"'],
    [
      { ...good, address: "192.0.2" },
      'spec.address: Invalid value: "192.0.2": spec.address in body must be of type ipv4: "192.0.2"',
    ],
    [
      { ...good, one: { a: "", b: "" } },
      'spec.one: Invalid value: {"a":"","b":""}: "spec.one" must validate one and only one schema (oneOf). Found 2 valid',
    ],
  ];
  for (const [spec, problem] of cases) assert.deepEqual(wrong(spec), [problem]);
});

test("members that are not described are pruned and named, null counts where it is allowed, defaults fill in", () => {
  const { value, unknown } = decode(shape, {
    spec: {
      host: "ab",
      odd: 1,
      note: null,
      weight: null,
      rules: [{ name: "x", y: 1 }],
      more: { k: { z: 1 } },
      any: { z: 1, known: "k" },
      pod: { kind: "Pod", spec: {} },
    },
  });
  assert.deepEqual(unknown, ["spec.odd", "spec.rules[0].y", "spec.more.k.z"]);
  assert.deepEqual(withDefaults(shape, value), {
    spec: {
      host: "ab",
      note: null,
      weight: 4,
      rules: [{ name: "x", on: true }],
      more: { k: { x: 2 } },
      any: { z: 1, known: "k" },
      pod: { kind: "Pod", spec: {} },
    },
  });
});

test("schemas that are not structural are refused with the place", () => {
  const text: JsonSchema = { type: "string" };
  const cases: readonly (readonly [Json, string])[] = [
    [{ type: "string" }, "s.type"],
    [{ type: "object", properties: { a: {} } }, "s.properties[a].type"],
    [{ type: "object", properties: { a: { type: "text" } } }, "s.properties[a].type"],
    [{ type: "object", properties: { a: { type: "array" } } }, "s.properties[a].items"],
    [{ type: "object", requried: ["a"] }, "s.requried"],
    [{ type: "object", $ref: "#/x" }, "s.$ref"],
    [{ type: "object", required: "a" }, "s.required"],
    [{ type: "object", properties: { a: { type: "string", pattern: "(" } } }, "s.properties[a].pattern"],
    [{ type: "object", properties: { a: { type: "integer", default: "x" } } }, "s.properties[a].default"],
    [{ type: "object", properties: { a: text }, additionalProperties: text }, "s.additionalProperties"],
    [
      { type: "object", properties: { a: text }, anyOf: [{ properties: { b: { minLength: 1 } } }] },
      "s.anyOf[0].properties[b]",
    ],
    [
      { type: "object", properties: { a: text }, anyOf: [{ properties: { a: { type: "string" } } }] },
      "s.anyOf[0].properties[a].type",
    ],
    [
      { type: "object", properties: { l: { type: "array", items: text, "x-kubernetes-list-type": "map" } } },
      "s.properties[l].x-kubernetes-list-map-keys",
    ],
    [
      { type: "object", properties: { metadata: { type: "object", properties: { labels: { type: "object" } } } } },
      "s.properties[metadata].properties[labels]",
    ],
    ["object", "s"],
  ];
  for (const [value, field] of cases) assert.equal(checkSchema("s", value)[0]?.field, field, JSON.stringify(value));
  assert.ok(hasRules({ properties: { a: { "x-kubernetes-validations": [{ rule: "true" }] } } }));
  assert.ok(!hasRules(schema));
});

test("any schema is taken or refused, and any value is checked against those that are taken", () => {
  const keyword = fc.constantFrom(
    "type",
    "properties",
    "items",
    "required",
    "pattern",
    "default",
    "anyOf",
    "enum",
    "minimum",
    "nullable",
    "additionalProperties",
    "x-kubernetes-list-type",
  );
  const tree = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.constantFrom<Json>("object", "array", "string", "integer", true, 1, null, "("),
      fc.array(tie("value"), { maxLength: 2 }),
      fc.dictionary(keyword, tie("value"), { maxKeys: 4 }),
    ),
  })).value;
  fc.assert(
    fc.property(tree, fc.jsonValue({ maxDepth: 3 }), (given, value) => {
      const candidate: Json =
        typeof given === "object" && given !== null && !Array.isArray(given) ? { ...given, type: "object" } : given;
      if (checkSchema("s", candidate).length > 0) return;
      const fitting = rootShape(candidate as JsonSchema, "x");
      const object = { spec: value as Json };
      const once = withDefaults(fitting, decode(fitting, object).value);
      assert.deepEqual(withDefaults(fitting, decode(fitting, once).value), once);
      checkValue(candidate as JsonSchema, once, "");
      publishedSchema(candidate as JsonSchema, "v2", {});
    }),
    { numRuns: 300 },
  );
});

test("versions stand in the order of the API", () => {
  assert.deepEqual(["v1alpha1", "foo", "v1", "v2beta1", "v10", "v1beta2", "v2", "bar"].sort(byPriority), [
    "v10",
    "v2",
    "v1",
    "v2beta1",
    "v1beta2",
    "v1alpha1",
    "bar",
    "foo",
  ]);
});

test("a definition makes kinds when it is established: one for each version, the stored one first", () => {
  const metadata = { name: "things.example.com", uid: "", resourceVersion: "", creationTimestamp: "" };
  const names = { plural: "things", singular: "thing", kind: "Thing", listKind: "ThingList" };
  const version = (name: string, storage: boolean, served: boolean) => ({
    name,
    storage,
    served,
    schema: { openAPIV3Schema: { type: "object" } },
  });
  const definition = (status: string): ApiObject => ({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata,
    spec: {
      group: "example.com",
      names,
      scope: "Cluster",
      versions: [version("v2", false, true), version("v3", false, false), version("v1", true, true)],
    },
    status: { acceptedNames: names, conditions: [{ type: "Established", status }] },
  });
  assert.deepEqual(
    customResourceDefinition.validate?.(customResourceDefinition.prepare?.(definition("True"), undefined) ?? {}),
    [],
  );
  assert.deepEqual(kindsOf(definition("False")), []);
  assert.deepEqual(
    kindsOf(definition("True")).map(({ version, namespaced }) => [version, namespaced]),
    [
      ["v1", false],
      ["v2", false],
    ],
  );
});
