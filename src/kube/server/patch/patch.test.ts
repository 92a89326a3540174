import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Json, type JsonObject, sameJson } from "../json.ts";
import { int, labels, listBy, of, str, stringSet, strings, struct } from "../schema/schema.ts";
import { jsonPatch, PatchError } from "./json.ts";
import { mergePatch } from "./merge.ts";
import { strategicMerge } from "./strategic.ts";

test("the examples of RFC 7386 come out as its appendix says", () => {
  const cases: readonly (readonly [Json, Json, Json])[] = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [["a"], ["c"], ["c"]],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of cases) assert.deepEqual(mergePatch(target, patch), result);
});

test("a merge patch done twice does no more than once", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (target, patch) => {
      const once = mergePatch(target as Json, patch as Json);
      return sameJson(mergePatch(once, patch as Json), once);
    }),
  );
});

test("JSON patch operations do what RFC 6902 says", () => {
  const cases: readonly (readonly [Json, Json, Json])[] = [
    [{ foo: "bar" }, [{ op: "add", path: "/baz", value: "qux" }], { foo: "bar", baz: "qux" }],
    [{ foo: ["a", "b"] }, [{ op: "add", path: "/foo/1", value: "x" }], { foo: ["a", "x", "b"] }],
    [{ foo: ["a"] }, [{ op: "add", path: "/foo/-", value: "x" }], { foo: ["a", "x"] }],
    [{ foo: ["a", "b", "c"] }, [{ op: "remove", path: "/foo/1" }], { foo: ["a", "c"] }],
    [{ a: 1 }, [{ op: "replace", path: "/a", value: null }], { a: null }],
    [{ a: { b: 1 }, c: {} }, [{ op: "move", from: "/a/b", path: "/c/d" }], { a: {}, c: { d: 1 } }],
    [{ a: [1] }, [{ op: "copy", from: "/a", path: "/b" }], { a: [1], b: [1] }],
    [
      { "a/b": 1, "m~n": 2 },
      [
        { op: "test", path: "/a~1b", value: 1 },
        { op: "remove", path: "/m~0n" },
      ],
      { "a/b": 1 },
    ],
  ];
  for (const [target, patch, result] of cases) assert.deepEqual(jsonPatch(target, patch), result);
});

test("a JSON patch that does not fit is refused with the number of its operation", () => {
  const bad: readonly (readonly [Json, RegExp])[] = [
    [[{ op: "test", path: "/a", value: 2 }], /operation 0: testing value \/a failed/],
    [[{ op: "remove", path: "/b" }], /operation 0: \/b is missing/],
    [[{ op: "add", path: "/l/5", value: 1 }], /out of bounds/],
    [[{ op: "add", path: "/l/01", value: 1 }], /not the index/],
    [[{ op: "spin", path: "/a" }], /unexpected kind: "spin"/],
    [[{ op: "move", from: "/a", path: "/a/b" }], /into itself/],
    [{ op: "add" }, /list of operations/],
    [[{ op: "add", path: "a", value: 1 }], /JSON pointer/],
  ];
  for (const [patch, message] of bad) assert.throws(() => jsonPatch({ a: 1, l: [1] }, patch), message);
});

test("a JSON patch that doubles a value again and again is refused before it is large", () => {
  const copies = Array.from({ length: 60 }, (_, i) => ({ op: "copy", from: "/a", path: `/a/c${i}` }));
  assert.throws(() => jsonPatch({ a: { text: "some" } }, copies), /operation \d+: the patch copies more than 3145728/);
  assert.deepEqual(jsonPatch({ a: { b: 1 } }, copies.slice(0, 1)), { a: { b: 1, c0: { b: 1 } } });
});

test("a JSON patch of anything is refused or done, and never changes what it was given", () => {
  const operation = fc.record({
    op: fc.constantFrom("add", "remove", "replace", "move", "copy", "test"),
    path: fc.constantFrom("", "/", "/a", "/a/0", "/a/-", "/b/c", "/__proto__/x", "/constructor"),
    from: fc.constantFrom("/a", "/b", "/b/c"),
    value: fc.jsonValue({ maxDepth: 2 }),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 5 }), (patch) => {
      const target: Json = { a: [1, 2], b: { c: 3 } };
      const before = JSON.stringify(target);
      try {
        jsonPatch(target, patch as Json);
      } catch (error) {
        assert.ok(error instanceof PatchError);
      }
      assert.equal(JSON.stringify(target), before);
      assert.equal(({} as JsonObject).x, undefined);
    }),
  );
});

const port = struct("t.Port", "", { port: int(""), name: str(""), protocol: str("") });
const schema = struct("t.Object", "", {
  labels: labels(""),
  ports: listBy(["port", "protocol"], port, "", "port"),
  finalizers: stringSet(""),
  args: strings(""),
  strategy: of(struct("t.Strategy", "", { type: str(""), rolling: labels("") }, { retainKeys: true }), ""),
});

test("strategic merge patches merge lists by key, keep order, and follow directives", () => {
  const original: JsonObject = {
    labels: { a: "1", b: "2" },
    ports: [
      { port: 80, name: "http" },
      { port: 443, name: "https" },
    ],
    finalizers: ["x", "y"],
    args: ["1"],
    strategy: { type: "Rolling", rolling: { a: "1" } },
  };
  const after = (patch: JsonObject) => strategicMerge(schema, original, patch);
  assert.deepEqual(after({ labels: { a: null, c: "3" } }).labels, { b: "2", c: "3" });
  assert.deepEqual(after({ ports: [{ port: 443, name: "tls" }] }).ports, [
    { port: 80, name: "http" },
    { port: 443, name: "tls" },
  ]);
  assert.deepEqual(after({ ports: [{ port: 80, $patch: "delete" }] }).ports, [{ port: 443, name: "https" }]);
  assert.deepEqual(after({ ports: [{ $patch: "replace" }, { port: 1 }] }).ports, [{ port: 1 }]);
  assert.deepEqual(
    after({ "$setElementOrder/ports": [{ port: 443 }, { port: 22 }, { port: 80 }], ports: [{ port: 22 }] }).ports,
    [{ port: 443, name: "https" }, { port: 22 }, { port: 80, name: "http" }],
  );
  assert.deepEqual(after({ finalizers: ["z"], "$deleteFromPrimitiveList/finalizers": ["x"] }).finalizers, ["y", "z"]);
  assert.deepEqual(after({ args: ["2"] }).args, ["2"]);
  assert.deepEqual(after({ strategy: { $retainKeys: ["type"], type: "Recreate" } }).strategy, { type: "Recreate" });
  assert.deepEqual(after({ labels: { $patch: "replace", z: "9" } }).labels, { z: "9" });
  const deleted = { port: 80, $patch: "delete" };
  assert.deepEqual(
    after({ ports: [deleted, { port: 80, name: "new" }, { port: 1 }, { port: 1, name: "one" }] }).ports,
    [
      { port: 443, name: "https" },
      { port: 80, name: "new" },
      { port: 1, name: "one" },
    ],
  );
  const both = [{ port: 53, name: "udp" }, { port: 80 }, { port: 53, name: "tcp" }];
  assert.deepEqual(strategicMerge(schema, { ports: both }, { ports: [{ port: 53, $patch: "delete" }] }).ports, [
    { port: 80 },
  ]);
  assert.deepEqual(after({ finalizers: ["y", "z", "z", "x"] }).finalizers, ["x", "y", "z"]);
  assert.throws(() => after({ ports: [{ name: "x" }] }), /merge key: port/);
  assert.throws(() => after({ labels: { $patch: "explode" } }), /unknown \$patch directive/);
});

test("lists as long as a request can bring are merged while nobody notices", { timeout: 10_000 }, () => {
  const finalizers = Array.from({ length: 20_000 }, (_, i) => `f${i}`);
  const ports = finalizers.map((name, port) => ({ port, name }));
  const order = ports.map(({ port }) => ({ port })).reverse();
  const merged = strategicMerge(schema, { finalizers, ports }, { finalizers, ports, "$setElementOrder/ports": order });
  assert.deepEqual(merged, { finalizers, ports: ports.toReversed() });
  const gone = ports.map(({ port }) => ({ port, $patch: "delete" }));
  const none = strategicMerge(schema, merged, { ports: gone, "$deleteFromPrimitiveList/finalizers": finalizers });
  assert.deepEqual(none, { finalizers: [], ports: [] });
});
