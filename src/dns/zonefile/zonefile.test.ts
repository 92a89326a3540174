import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatRecord } from "../wire/record.ts";
import { ZoneFileError } from "./entries.ts";
import { parseZoneFile } from "./zonefile.ts";

/** The records of a file, with single blanks. */
function parse(text: string, files: Readonly<Record<string, string>> = {}, maxRecords = 1000): string[] {
  const readFile = (path: string) => {
    const content = files[path];
    if (content === undefined) throw new Error(`${path}: no such file`);
    return content;
  };
  const options = { file: "/zones/db", origin: "example.org.", readFile, maxRecords };
  return [...parseZoneFile(text, options)].map((record) => formatRecord(record).replaceAll("\t", " "));
}

test("records, directives, comments, parentheses and omitted owners", () => {
  const text = `; comment
$TTL 1h
@ IN SOA ns hostmaster ( 2024010101 ; serial
      7200 30m
      1w 300 )
    NS ns
    NS ns.elsewhere.
ns  60 A 192.0.2.1 ; trailing
    IN 120 AAAA 2001:db8::1
*.w TXT "a ; b" c\\ d "e\\"f" ( "g"
  h )
$ORIGIN Sub.example.org.
www CNAME @
x.example.net. CH 5 TXT y
`;
  assert.deepEqual(parse(text), [
    "example.org. 3600 IN SOA ns.example.org. hostmaster.example.org. 2024010101 7200 1800 604800 300",
    "example.org. 3600 IN NS ns.example.org.",
    "example.org. 3600 IN NS ns.elsewhere.",
    "ns.example.org. 60 IN A 192.0.2.1",
    "ns.example.org. 120 IN AAAA 2001:db8::1",
    '*.w.example.org. 3600 IN TXT "a ; b" "c d" "e\\"f" "g" "h"',
    "www.sub.example.org. 3600 IN CNAME sub.example.org.",
    'x.example.net. 5 CH TXT "y"',
  ]);
});

test("without $TTL the TTL is that of the record before, or the SOA's minimum", () => {
  assert.deepEqual(parse("@ SOA a b 1 2 3 4 77\n@ NS a\na 9 A 192.0.2.1\nb A 192.0.2.2"), [
    "example.org. 77 IN SOA a.example.org. b.example.org. 1 2 3 4 77",
    "example.org. 77 IN NS a.example.org.",
    "a.example.org. 9 IN A 192.0.2.1",
    "b.example.org. 9 IN A 192.0.2.2",
  ]);
});

test("files are included with an origin of their own", () => {
  const files = { "/zones/sub": "h A 192.0.2.7\n$ORIGIN other.\n$INCLUDE /abs", "/abs": "i 5 A 192.0.2.8" };
  assert.deepEqual(parse("$TTL 9\n$INCLUDE sub inner\nz A 192.0.2.9", files), [
    "h.inner.example.org. 9 IN A 192.0.2.7",
    "i.other. 5 IN A 192.0.2.8",
    "z.example.org. 9 IN A 192.0.2.9",
  ]);
});

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: that is how $GENERATE is written
test("$GENERATE counts, with step, offset, width and base", () => {
  assert.deepEqual(
    parse(
      "$GENERATE 1-5/2 h$ 60 A 10.0.0.$\n$GENERATE 10-11 ${-9,3} 60 CNAME x${0,2,x}.\\$y\n$GENERATE 1-1 p$ 60 CNAME a$$$",
    ),
    [
      "h1.example.org. 60 IN A 10.0.0.1",
      "h3.example.org. 60 IN A 10.0.0.3",
      "h5.example.org. 60 IN A 10.0.0.5",
      "001.example.org. 60 IN CNAME x0a.$y.example.org.",
      "002.example.org. 60 IN CNAME x0b.$y.example.org.",
      "p1.example.org. 60 IN CNAME a$1.example.org.",
    ],
  );
});

test("faults are reported with file and line", () => {
  const faults: readonly (readonly [string, RegExp, Record<string, string>?])[] = [
    ["a A 192.0.2.1\n\nb A 1.2.3", /^\/zones\/db:3: A address is "1\.2\.3"/],
    [" A 192.0.2.1", /db:1: the first record has no owner/],
    ['a TXT "x\ny"', /db:1: a quotation mark is not closed/],
    ["a SOA a b (1 2\n3", /db:1: a parenthesis is not closed/],
    ["a A 192.0.2.1 )", /closing parenthesis/],
    ["a\nb A 192.0.2.1", /db:1: type is missing/],
    ["$FOO 1", /directive \$FOO is unknown/],
    ["$TTL x", /\$TTL is "x"/],
    ["$INCLUDE none", /db:1: \$INCLUDE: \/zones\/none: no such file/],
    ["$INCLUDE db", /more than 8 deep/, { "/zones/db": "$INCLUDE db" }],
    ["$INCLUDE bad", /^\/zones\/bad:2: /, { "/zones/bad": "\nx A y" }],
    ["$GENERATE 1-70000 a$ A 10.0.0.1", /more than 65536/],
    ["$GENERATE 5-1 a$ A 10.0.0.1", /range/],
    ["$GENERATE 1-2 a${x} A 10.0.0.1", /modifier/],
    ["$GENERATE 1-2000 a$ 1 A 10.0.0.1", /more than 1000 records/],
  ];
  for (const [text, fault, files] of faults) {
    assert.throws(
      () => parse(text, files),
      (error: unknown) => error instanceof ZoneFileError && fault.test(error.message),
      text,
    );
  }
});

test("any text is parsed or refused with a place", () => {
  const word = fc.constantFrom(
    "a",
    "@",
    " ",
    "\n",
    "(",
    ")",
    ";",
    '"',
    "\\",
    "A",
    "TXT",
    "IN",
    "60",
    "192.0.2.1",
    "$TTL",
    "$GENERATE",
    "1-3",
    "$",
    "\t",
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 40 }), (words) => {
      try {
        parse(words.join(" "));
      } catch (error) {
        assert.ok(error instanceof ZoneFileError && /^\/zones\/db:\d+: /.test(error.message), String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: as above
