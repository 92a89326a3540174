import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isFields } from "../objects/fields.ts";
import { ManifestError, parseManifest } from "./parse.ts";
import { selectorOf } from "./select.ts";

const parse = (text: string, format: "yaml" | "json" = "yaml") => parseManifest(Buffer.from(text), format);
const summary = (text: string, format: "yaml" | "json" = "yaml") =>
  parse(text, format).map(({ kind, raw, line }) => {
    const metadata = isFields(raw.metadata) ? raw.metadata : {};
    return `${line}: ${kind} ${metadata.namespace}/${metadata.name}`;
  });

test("documents, lists and lists of lists are taken apart, with their lines", () => {
  const text = `# a comment
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
---
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Node, metadata: {name: n1}}
  - apiVersion: v1
    kind: ServiceList
    items: [{metadata: {name: b}}, {metadata: {name: c}}]
---
{"apiVersion": "v1", "kind": "ServiceList", "items": null}
`;
  assert.deepEqual(summary(text), [
    "2: Service shop/a",
    "7: Node undefined/n1",
    "7: Service default/b",
    "7: Service default/c",
  ]);
});

test("JSON is read as JSON, tabs and all", () => {
  assert.deepEqual(summary('{\n\t"apiVersion": "v1",\n\t"kind": "Service", "metadata": {"name": "a"}}', "json"), [
    "1: Service default/a",
  ]);
  assert.deepEqual(summary("", "json"), []);
});

test("Endpoints become EndpointSlices", () => {
  const text = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\nsubsets: [{addresses: [{ip: 10.0.0.1}]}]";
  assert.deepEqual(summary(text), ["1: EndpointSlice default/a-subset-0-ipv4"]);
});

test("uids are of the object, versions of its content", () => {
  const versions = (text: string) =>
    parse(text).map(({ raw }) => {
      const { uid, resourceVersion } = isFields(raw.metadata) ? raw.metadata : {};
      assert.match(String(uid), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      return { uid, resourceVersion };
    });
  const service = (name: string, port: number) =>
    `{apiVersion: v1, kind: Service, metadata: {name: ${name}}, spec: {ports: [{port: ${port}}]}}`;
  const [a] = versions(service("a", 80));
  const [changed] = versions(service("a", 81));
  const [other] = versions(service("b", 80));
  assert.deepEqual(versions(service("a", 80)), [a]);
  assert.equal(a?.uid, changed?.uid);
  assert.notEqual(a?.resourceVersion, changed?.resourceVersion);
  assert.notEqual(a?.uid, other?.uid);
});

const refusals: readonly (readonly [
  what: string,
  text: string,
  format: "yaml" | "json",
  line: number,
  message: RegExp,
])[] = [
  ["broken YAML", "a: 1\nb: [1,\nc: }", "yaml", 3, /./],
  ["a key twice", "kind: A\nkind: B", "yaml", 2, /unique/],
  ["broken JSON", '{\n"a": 1,\n}', "json", 3, /./],
  ["no kind", "---\napiVersion: v1", "yaml", 2, /^kind: Required value/],
  ["no version", "kind: Service", "yaml", 1, /^apiVersion: Required value/],
  ["no name", "apiVersion: v1\nkind: Service", "yaml", 1, /^Service: metadata.name: Required value/],
  ["a list as document", "[1]", "yaml", 1, /map of fields/],
  ["an item that is no object", "{apiVersion: v1, kind: List, items: [1]}", "yaml", 1, /map of fields/],
  ["deep nesting", "[".repeat(100_000), "yaml", 1, /./],
  ["aliases of aliases", bomb(), "yaml", 1, /alias/],
  ["too many bytes", `#${" ".repeat(4 << 20)}`, "yaml", 1, /more than the 4194304 allowed/],
  [
    "malformed Endpoints",
    "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\nsubsets: [{addresses: [{ip: x}]}]",
    "yaml",
    2,
    /Endpoints: subsets\[0\]\.addresses\[0\]\.ip: Invalid value: "x"/,
  ],
];

for (const [what, text, format, line, message] of refusals) {
  test(`a manifest with ${what} is refused with its line`, () => {
    assert.throws(
      () => parse(text, format),
      (error) => error instanceof ManifestError && error.line === line && message.test(error.message),
    );
  });
}

test("a manifest that is not UTF-8 is refused", () => {
  assert.throws(() => parseManifest(Uint8Array.of(0x61, 0xff), "yaml"), /UTF-8/);
});

test("whatever a file holds, it is objects or a ManifestError", () => {
  const words = [
    "apiVersion: v1\n",
    "kind: List\n",
    "items:\n",
    "- ",
    "  ",
    "&a ",
    "*a",
    "<<: ",
    "!!set ",
    "? ",
    "| ",
    "\n",
    "---\n",
  ];
  const token = fc.oneof(fc.constantFrom(...words, "{", "}", "[", "]", ",", ":", '"', "'", "#", "%", "@"), fc.string());
  const texts = fc.array(token, { maxLength: 30 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(texts, fc.constantFrom("yaml" as const, "json" as const), (text, format) => {
      try {
        assert.ok(Array.isArray(parse(text, format)));
      } catch (error) {
        assert.ok(error instanceof ManifestError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

test("a selection is of namespace, labels and fields, all of them", () => {
  const object = { metadata: { name: "a", namespace: "shop", labels: { app: "web", tier: "front" } } };
  assert.ok(selectorOf({})(object));
  assert.ok(selectorOf({ namespace: "shop", labels: "app=web,!canary", fields: "metadata.name=a" })(object));
  assert.ok(!selectorOf({ namespace: "other" })(object));
  assert.ok(!selectorOf({ labels: "!app" })(object));
  assert.ok(!selectorOf({ fields: "metadata.name=b" })(object));
  assert.ok(selectorOf({ labels: "!app" })({ metadata: {} }));
  assert.throws(() => selectorOf({ labels: "a in" }));
});

function bomb(): string {
  const lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
  for (let i = 1; i < 8; i++) lines.push(`a${i}: &a${i} [${Array(10).fill(`*a${i - 1}`)}]`);
  return lines.join("\n");
}
