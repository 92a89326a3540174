import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Json } from "../json.ts";
import { follow, PathError, parsePath } from "./jsonpath.ts";
import { compilePattern } from "./pattern.ts";

test("paths lead to members, items, and items that fulfil a condition", () => {
  const object: Json = {
    a: [
      { t: "x", n: 1 },
      { t: "y", n: 2 },
    ],
    "b.c": { d: true },
    annotations: { "example.com/k": "v" },
  };
  const cases: readonly (readonly [string, readonly Json[]])[] = [
    [".a[0].n", [1]],
    [".a[-1].n", [2]],
    [".a[*].t", ["x", "y"]],
    ['.a[?(@.t=="y")].n', [2]],
    [".a[?(@.n>1)].t", ["y"]],
    ["$['b.c'].d", [true]],
    [".b\\.c.d", [true]],
    ["{.annotations.example\\.com/k}", ["v"]],
    [".none.x", []],
    [".a[7]", []],
  ];
  for (const [path, values] of cases) assert.deepEqual(follow(parsePath(path), object), values, path);
  for (const path of ["", "a b", ".a[", "..a", ".a[?(@.b)]"]) assert.throws(() => parsePath(path), PathError, path);
  fc.assert(
    fc.property(fc.string(), fc.jsonValue(), (path, value) => {
      try {
        follow(parsePath(path), value as Json);
      } catch (error) {
        assert.ok(error instanceof PathError);
      }
    }),
  );
});

test("patterns of RE2 mean the same here", () => {
  assert.ok(compilePattern("(?i)^ab$").test("AB"));
  assert.ok(compilePattern("^[[:alpha:]_]+\\z").test("a_b"));
  assert.ok(!compilePattern("\\A[[:digit:]]+$").test("a1"));
  assert.ok(compilePattern("(?P<x>a)b").test("ab"));
});
