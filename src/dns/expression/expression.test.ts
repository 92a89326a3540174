import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileExpression } from "./expression.ts";

const scope = {
  one: 1,
  text: "abc",
  list: ["a", "b"],
  object: { key: "value" },
  double: (value: unknown) => Number(value) * 2,
};

test("expressions are calculated as expr does", () => {
  const rows: readonly (readonly [string, unknown])[] = [
    ["1 + 2 * 3 ** 2 - -4", 23],
    ["(1 + 2) * 3 % 5", 4],
    ["one == 1 && text != 'x' || false", true],
    ["not (one > 1) and !(one < 1)", true],
    ["'b' in list and 'c' not in list and 'key' in object", true],
    ["text contains 'b' && text startsWith \"a\" && text endsWith `c` && text matches '^a.c$'", true],
    ["double(one + 1)", 4],
    ["list[1] + object.key", "bvalue"],
    ["list[-1]", "b"],
    ["one > 0 ? 'yes' : 'no'", "yes"],
    ["nil ?? 'default'", "default"],
    ["['a', 1][1] >= 1", true],
    ['"\\"q\\" \\n"', '"q" \n'],
    ["2 - 1 - 1", 0],
  ];
  for (const [text, expected] of rows) assert.deepEqual(compileExpression(text)(scope), expected, text);
});

test("what is no expression is refused, what cannot be calculated throws", () => {
  for (const text of ["", "1 +", "(1", "a b", "[1", "f(1", "@", "1 ? 2", "x.", "'open", "(".repeat(200)]) {
    assert.throws(() => compileExpression(text), SyntaxError, text);
  }
  for (const text of ["unknown", "one + 'a'", "one && true", "text()", "'a' < 1", "1 contains 2", "'a' in 1"]) {
    const compiled = compileExpression(text);
    assert.throws(() => compiled(scope), TypeError, text);
  }
  assert.equal(compileExpression("object.constructor")(scope), undefined);
});

test("any text is compiled or refused", () => {
  const word = fc.constantFrom(
    "(",
    ")",
    "[",
    "]",
    "1",
    "'a'",
    "one",
    "not",
    "in",
    "&&",
    "?",
    ":",
    "+",
    "-",
    ".",
    ",",
    "==",
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 25 }), (words) => {
      try {
        compileExpression(words.join(" "))(scope);
      } catch (error) {
        assert.ok(error instanceof SyntaxError || error instanceof TypeError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
