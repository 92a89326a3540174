import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseServerKey } from "./key.ts";
import { CorefileError, lex } from "./lexer.ts";
import { parseCorefile } from "./parser.ts";
import { type Stanza, tryParseDuration } from "./stanza.ts";

const known = new Set(["errors", "forward", "cache", "log", "template", "kubernetes"]);

/** Parses with these files and variables; the result as nested arrays. */
function parse(text: string, files: Readonly<Record<string, string>> = {}, env: Record<string, string> = {}) {
  const warnings: string[] = [];
  const blocks = parseCorefile(text, "/etc/Corefile", known, {
    readFile(path) {
      const content = files[path];
      if (content === undefined) throw new Error("no such file");
      return content;
    },
    glob: (pattern) => Object.keys(files).filter((path) => path.startsWith(pattern.replace(/[*?].*/, ""))),
    env,
    warn: (message) => warnings.push(message),
  });
  const plain = (stanza: Stanza): unknown[] => [stanza.name, ...stanza.args, ...(stanza.block?.map(plain) ?? [])];
  return { warnings, blocks: blocks.map(({ keys, stanzas }) => [keys.map((key) => key.text), stanzas.map(plain)]) };
}

test("the lexer splits at blanks, keeps quotes together, drops comments and counts lines", () => {
  const tokens = lex('\ufeffa b#c "d\r\n  "e \\" \\n\nf" g\n# h\ni', "F");
  assert.deepEqual(
    tokens.map(({ text, line, startsLine }) => [text, line, startsLine]),
    [
      ["a", 1, true],
      ["b", 1, false],
      ['e " \\n\nf', 2, true],
      ["g", 3, false],
      ["i", 5, true],
    ],
  );
});

test("blocks have several keys, over several lines after a comma, and nested blocks", () => {
  assert.deepEqual(
    parse(".:53 a.org,\n b.org {\n errors {\n consolidate 5m .* {\n x\n }\n }\n cache 30\n}\nc.org { log }").blocks,
    [
      [
        [".:53", "a.org", "b.org"],
        [
          ["errors", ["consolidate", "5m", ".*", ["x"]]],
          ["cache", "30"],
        ],
      ],
      [["c.org"], [["log"]]],
    ],
  );
});

test("a file of one block needs no braces", () => {
  assert.deepEqual(parse("example.org\nlog\ncache 5\n").blocks, [[["example.org"], [["log"], ["cache", "5"]]]]);
});

test("snippets, files and patterns are imported at every level", () => {
  const files = {
    "/etc/one": "log",
    "/etc/conf.d/a": "a.org {\n errors\n}",
    "/etc/conf.d/b": "b.org {\n import snip\n}",
  };
  const { blocks, warnings } = parse(
    "(snip) {\n log\n errors\n}\n(opt) { ttl 5 }\n. {\n import snip\n import one\n import one\n kubernetes {\n import opt\n import opt\n }\n}\nimport conf.d/*\nimport none/*",
    files,
  );
  assert.deepEqual(blocks, [
    [["."], [["log"], ["errors"], ["log"], ["log"], ["kubernetes", ["ttl", "5"], ["ttl", "5"]]]],
    [["a.org"], [["errors"]]],
    [["b.org"], [["log"], ["errors"]]],
  ]);
  assert.match(warnings.join(), /Corefile:16: no file matches none/);
});

test("environment variables stand in keys, directives and arguments, and are empty where undefined", () => {
  const { blocks } = parse(
    "{$ZONE}:{%PORT%} {\n {$D} a{$X}b {{ $Y }}\n}",
    {},
    { ZONE: "a.org", PORT: "5353", D: "log" },
  );
  assert.deepEqual(blocks, [[["a.org:5353"], [["log", "ab", "{{", "$Y", "}}"]]]]);
});

test("faults are reported with file and line", () => {
  const faults: readonly (readonly [string, RegExp])[] = [
    [".:53 {\n foo\n}", /^\/etc\/Corefile:2: Unknown directive 'foo'/],
    [".:53 {\n log", /^\/etc\/Corefile:2: the file ends where '}' is expected/],
    [". {\n errors {\n", /the file ends where '}'/],
    ["a.org,\n{\n}", /Corefile:2: expected another key/],
    ["a.org,", /the file ends where a key/],
    ["log\n}", /Corefile:2: '}' closes nothing/],
    ["{ log }", /has no key/],
    ['. {\n log "a\n}', /Corefile:2: a quotation mark is not closed/],
    ["(a) {\n log\n}\n(a) {\n}", /Corefile:4: snippet 'a' is declared twice/],
    ["(a) {\n import a\n}", /Corefile:1: snippet 'a' imports itself/],
    ["(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import b\n}", /too many imports of snippets/],
    [". {\n import x y\n}", /Corefile:2: import takes only one/],
    [". {\n import nothere\n}", /Corefile:2: cannot import \/etc\/nothere: no such file/],
    ["import a*b*c", /may have one wildcard/],
    [". {\n errors\n {\n }\n}", /Corefile:3: Unknown directive '{'/],
  ];
  for (const [text, fault] of faults) {
    assert.throws(
      () => parse(text),
      (error: unknown) => error instanceof CorefileError && fault.test(error.message),
      text,
    );
  }
});

test("a file that imports itself is stopped", () => {
  assert.throws(() => parse("import self", { "/etc/self": "import self" }), /too many imports of files/);
});

test("any text is parsed or refused with a place", () => {
  const word = fc.constantFrom(
    "{",
    "}",
    "\n",
    "log",
    "import",
    "(a)",
    "a",
    '"',
    "#",
    ",",
    " ",
    ".",
    "errors",
    "\\",
    "{$A}",
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 40 }), (words) => {
      try {
        parse(words.join(" "));
      } catch (error) {
        assert.ok(error instanceof CorefileError && /^\/etc\/Corefile:\d+: /.test(error.message), String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test("server keys have a scheme, a zone or prefix, and a port", () => {
  const cases: readonly (readonly [string, string])[] = [
    [".", "dns . 53"],
    [".:1053", "dns . 1053"],
    [":1053", "dns . 1053"],
    ["Example.ORG", "dns example.org. 53"],
    ["dns://example.org", "dns example.org. 53"],
    ["tls://example.org", "tls example.org. 853"],
    ["https://.:8443", "https . 8443"],
    ["grpc://example.org", "grpc example.org. 443"],
    ["10.0.0.0/24", "dns 0.0.10.in-addr.arpa. 53"],
    ["10.0.0.0/24:5353", "dns 0.0.10.in-addr.arpa. 5353"],
    ["10.0.0.0/23", "dns 0.0.10.in-addr.arpa. 1.0.10.in-addr.arpa. 53"],
    ["10.0.0.0/8", "dns 10.in-addr.arpa. 53"],
    ["10.0.0.0/24.", "dns 10.0.0.0/24. 53"],
    ["2001:db8::/32", "dns 8.b.d.0.1.0.0.2.ip6.arpa. 53"],
    ["2001:db8::/31", "dns 8.b.d.0.1.0.0.2.ip6.arpa. 9.b.d.0.1.0.0.2.ip6.arpa. 53"],
  ];
  for (const [text, expected] of cases) {
    const { transport, zones, port } = parseServerKey(text);
    assert.equal([transport, ...zones, port].join(" "), expected, text);
  }
  assert.equal(parseServerKey("example.org", 1053).port, 1053);
  for (const bad of ["quic://.", "example.org:", ".:70000", `${"a".repeat(64)}.org`]) {
    assert.throws(() => parseServerKey(bad), TypeError, bad);
  }
});

test("durations are Go's", () => {
  assert.equal(tryParseDuration("1m30s"), 90_000);
  assert.equal(tryParseDuration("1.5h"), 5_400_000);
  assert.equal(tryParseDuration("250ms"), 250);
  assert.equal(tryParseDuration("5"), undefined);
  assert.equal(tryParseDuration("-5s"), undefined);
});
