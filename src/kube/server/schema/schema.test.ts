import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Json, JsonObject } from "../json.ts";
import { kinds } from "../kinds/index.ts";
import { service } from "../kinds/service.ts";
import { DecodeError, decode, withDefaults } from "./decode.ts";
import { openApi2, openApi3 } from "./openapi.ts";
import { encodeOpenApi2 } from "./openapi-protobuf.ts";
import type { Schema } from "./schema.ts";

test("decoding drops and names what a kind does not have, and takes null for absent", () => {
  const { value, unknown } = decode(service.schema, {
    spec: { ports: [{ port: 80, prot: "TCP" }], type: null },
    extra: 1,
  });
  assert.deepEqual(value, { spec: { ports: [{ port: 80 }] } });
  assert.deepEqual(unknown, ["spec.ports[0].prot", "extra"]);
});

test("values of a wrong type are refused with the place where they stand", () => {
  const cases: readonly (readonly [JsonObject, string])[] = [
    [{ spec: [] }, "spec"],
    [{ spec: { ports: [{ port: "80" }] } }, "spec.ports[0].port"],
    [{ spec: { ports: [{ port: 80.5 }] } }, "spec.ports[0].port"],
    [{ spec: { ports: [{ port: 2 ** 31 }] } }, "spec.ports[0].port"],
    [{ spec: { ports: [{ port: 80, targetPort: true }] } }, "spec.ports[0].targetPort"],
    [{ spec: { selector: { a: 1 } } }, "spec.selector.a"],
    [{ metadata: { labels: "a" } }, "metadata.labels"],
    [{ metadata: { creationTimestamp: "yesterday" } }, "metadata.creationTimestamp"],
  ];
  for (const [body, field] of cases) {
    assert.throws(
      () => decode(service.schema, body),
      (error) => error instanceof DecodeError && error.field === field,
    );
  }
});

test("any JSON object is decoded or refused by every kind, and what was decoded is decoded again as it is", () => {
  const member = fc.constantFrom(
    "metadata",
    "spec",
    "status",
    "ports",
    "labels",
    "name",
    "__proto__",
    "constructor",
    "selector",
  );
  const value = fc.letrec<{ tree: Json }>((tie) => ({
    tree: fc.oneof(
      fc.jsonValue({ maxDepth: 1 }) as fc.Arbitrary<Json>,
      fc.dictionary(member, tie("tree"), { maxKeys: 3 }) as fc.Arbitrary<Json>,
    ),
  })).tree;
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.dictionary(member, value, { maxKeys: 4 }), (kind, body) => {
      let once: JsonObject;
      try {
        once = decode(kind.schema, body).value;
      } catch (error) {
        assert.ok(error instanceof DecodeError);
        return;
      }
      const again = decode(kind.schema, once);
      assert.deepEqual(again.value, once);
      assert.deepEqual(again.unknown, []);
      const full = withDefaults(kind.schema, once);
      assert.deepEqual(withDefaults(kind.schema, full), full, "defaults given twice are as given once");
      assert.equal(Object.getPrototypeOf(once), Object.prototype);
    }),
  );
});

test("defaults appear wherever the object that holds them is there, and nowhere else", () => {
  const full = withDefaults(service.schema, { spec: { ports: [{ port: 1 }] } });
  assert.deepEqual(full, {
    spec: { ports: [{ port: 1, protocol: "TCP" }], type: "ClusterIP", sessionAffinity: "None" },
  });
});

test("every member of every kind is described, and lists by keys have these keys", () => {
  const seen = new Set<Schema>();
  const visit = (schema: Schema, path: string): void => {
    if (seen.has(schema)) return;
    seen.add(schema);
    if (schema.type === "list") {
      const { items } = schema;
      if (schema.kind === "map" && items.type === "struct") {
        for (const key of schema.keys) assert.ok(items.fields[key], `${path} has no key ${key}`);
        if (schema.mergeKey !== undefined) assert.ok(items.fields[schema.mergeKey], `${path} has no merge key`);
      }
      visit(items, `${path}[]`);
    } else if (schema.type === "map") visit(schema.values, `${path}{}`);
    else if (schema.type === "struct") {
      for (const name of schema.required)
        assert.ok(schema.fields[name], `${path} requires ${name}, which it does not have`);
      for (const [name, field] of Object.entries(schema.fields)) {
        assert.ok(field.doc.length > 3, `${path}.${name} is not described`);
        visit(field.schema, `${path}.${name}`);
      }
    }
  };
  for (const kind of kinds) visit(kind.schema, kind.kind);
});

test("no document points at a definition that it lacks", () => {
  const two = openApi2(kinds);
  for (const [, name = ""] of JSON.stringify(two).matchAll(/"#\/definitions\/([^"]+)"/g)) {
    assert.ok((two.definitions as JsonObject)[name], name);
  }
  const three = openApi3(kinds);
  const schemas = (three.components as { schemas: JsonObject }).schemas;
  for (const [, name = ""] of JSON.stringify(three).matchAll(/"#\/components\/schemas\/([^"]+)"/g))
    assert.ok(schemas[name], name);
  const bytes = encodeOpenApi2(two);
  assert.equal(
    Buffer.from(bytes.subarray(0, 5)).toString("latin1"),
    "\x0a\x032.0",
    "field 1, three bytes: the version",
  );
});
