import assert from "node:assert/strict";
import { test } from "node:test";
import { parseYaml, YamlError } from "./yaml.ts";

test("scalars are what Kubernetes' tools take them for", () => {
  const cases: readonly (readonly [string, unknown])[] = [
    ["e2", "e2"],
    ["E10", "E10"],
    [".", "."],
    ["-.", "-."],
    ["1e3", 1000],
    ["1.5", 1.5],
    [".5", 0.5],
    ["2.", 2],
    ["-1.5e-1", -0.15],
    ["10.0.0.1", "10.0.0.1"],
    ["yes", true],
    ["017", 15],
    ["1:20", "1:20"],
    ["2026-01-01", "2026-01-01"],
    [".inf", Number.POSITIVE_INFINITY],
  ];
  for (const [text, value] of cases) assert.deepEqual(parseYaml(`a: ${text}`)[0]?.value, { a: value }, text);
});

test("aliases stand for what they name, but not inside of it", () => {
  assert.deepEqual(parseYaml("a: &x [1]\nb: *x")[0]?.value, { a: [1], b: [1] });
  assert.throws(() => parseYaml("a: 1\n---\nb: &x {c: [*x]}"), new YamlError("an alias stands inside of itself", 3));
});
