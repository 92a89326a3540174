import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfigDocument } from "./document.ts";

test("names that look like halves of numbers stay names, and numbers are numbers", () => {
  const text = "{a: e2, b: -E2, c: ., d: 1e2, e: .5, f: 017, g: yes, h: 2026-01-01, i: '1:20'}";
  assert.deepEqual(parseConfigDocument(text, "file"), {
    a: "e2",
    b: "-E2",
    c: ".",
    d: 100,
    e: 0.5,
    f: 15,
    g: true,
    h: "2026-01-01",
    i: "1:20",
  });
});

test("doubled keys, several documents and unknown tags are refused with their place", () => {
  for (const text of ["a: 1\na: 2", "a: 1\n---\na: 2", "a: !!js/function x"]) {
    assert.throws(() => parseConfigDocument(text, "file"), /^InvalidInputError: file: .* line \d/s);
  }
});
