import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compilePattern } from "./pattern.ts";

test("patterns are Go's: named groups, classes, flags in front, anchors", () => {
  const rows: readonly (readonly [pattern: string, text: string, groups: readonly string[] | undefined])[] = [
    ["^(?P<a>[0-9]+)-(?<b>x)$", "12-x", ["12-x", "12", "x"]],
    ["^[[:alpha:]]+$", "abC", ["abC"]],
    ["^[[:alpha:]]+$", "ab1", undefined],
    ["^[^[:digit:].]+$", "ab", ["ab"]],
    ["(?i)^FOO[A-F]$", "fooB", ["foob"]],
    ["(?i)^[[:upper:]]$", "a", ["a"]],
    ["(?i)\\S", " a", ["a"]],
    ["\\Aa\\z", "a", ["a"]],
    ["(?s)a.b", "a\nb", ["a\nb"]],
    ["a.b", "a\nb", undefined],
    ["^[a-z]{1,63}$", "a".repeat(63), ["a".repeat(63)]],
    ["^[a-z]{1,63}$", "a".repeat(64), undefined],
    ["^(\\d{1,3})\\.(\\d{1,3})$", "10.200", ["10.200", "10", "200"]],
    ["^x{3}y{2,}z{0,1}$", "xxxyyy", ["xxxyyy"]],
    ["^x{3}y{2,}$", "xxxy", undefined],
    ["(a{1,40}?)(a*)", "aaa", ["aaa", "a", "aa"]],
    ["^(?:ab){2}$", "abab", ["abab"]],
    ["^\\{2\\}$", "{2}", ["{2}"]],
    ["^[{]2}$", "{2}", ["{2}"]],
    ["^[]a]{2}$", "]a", ["]a"]],
  ];
  for (const [pattern, text, groups] of rows) {
    const match = compilePattern(pattern).exec(text);
    assert.deepEqual(match === null ? undefined : [...match], groups, `${pattern} ${text}`);
  }
  assert.deepEqual({ ...compilePattern("(?P<a>x)").exec("x")?.groups }, { a: "x" });
});

test("patterns that could take more than linear time are refused, as are those that are none", () => {
  for (const pattern of ["(?=a)b", "(a)\\1", "((a{1,10}){1,10}){1,10}", "(?:ab){1,100}"])
    assert.throws(() => compilePattern(pattern), /linear time/, pattern);
  for (const [pattern, fault] of [
    ["(", /Unterminated group/],
    ["[[:foo:]]", /no class \[:foo:\]/],
    ["a{1,2000}", /at most 1000 times/],
    ["a{3,2}", /the smaller number first/],
    ["x".repeat(10_001), /longer than 10000/],
    [`${"[a-z]{1000}".repeat(900)}`, /repeats too much/],
  ] as const)
    assert.throws(() => compilePattern(pattern), fault, pattern.slice(0, 40));
});

test("patterns that go back without end elsewhere are matched at once", () => {
  const names = ["a".repeat(250), `${"a".repeat(240)}.example.`, `${"ab".repeat(120)}!`];
  const start = performance.now();
  for (const pattern of [
    "^(a+)+$",
    "^(a|aa)+x$",
    "^([a-z]+)*\\.org\\.$",
    "^(.*)*y$",
    "^(x?a?b?)*c$",
    "(a*)*(a*)*b!c$",
  ]) {
    const compiled = compilePattern(pattern);
    for (const name of names) for (let i = 0; i < 20; i++) compiled.test(name);
  }
  // Any one of them takes longer than the universe is old if it is tried in all ways.
  assert.ok(performance.now() - start < 10_000);
});

test("written-out repetitions match what repetitions match", () => {
  const counts = fc.tuple(fc.nat(4), fc.nat(4)).map(([from, more]) => [from, from + more] as const);
  const piece = fc
    .tuple(fc.constantFrom("a", "[ab]", ".", "\\w", "\\."), fc.option(counts), fc.constantFrom("", "?"))
    .map(([one, range, lazy]) => (range === null ? one : `${one}{${range[0]},${range[1]}}${lazy}`));
  const pattern = fc.array(piece, { minLength: 1, maxLength: 4 }).map((pieces) => `^(${pieces.join(")(")})$`);
  fc.assert(
    fc.property(pattern, fc.stringMatching(/^[ab.]{0,12}$/), (source, text) => {
      assert.deepEqual([...(compilePattern(source).exec(text) ?? [])], [...(new RegExp(source).exec(text) ?? [])]);
    }),
    { numRuns: 1000 },
  );
});
