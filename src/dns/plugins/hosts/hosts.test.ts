import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("names of the file and of the Corefile have addresses, addresses have names", async () => {
  const directory = mkdtempSync(join(tmpdir(), "ptl-hosts-"));
  const path = join(directory, "hosts");
  writeFileSync(
    path,
    "192.0.2.1 a.example b.example # c\n2001:db8::1 a.example\nnonsense x.example\n192.0.2.2 *.w.example\n",
  );
  const server = await serve(`. {
    hosts ${path} example. {
      192.0.2.9 inline.example
      ttl 60
      fallthrough deep.example.
    }
    whoami
  }`);
  const rows: readonly (readonly [string, string | RegExp])[] = [
    ["a.example A", "NOERROR aa\na.example. 60 A 192.0.2.1"],
    ["A.example AAAA", "NOERROR aa\nA.example. 60 AAAA 2001:db8::1"],
    ["b.example AAAA", "NOERROR aa"],
    ["b.example MX", "NOERROR aa"],
    ["inline.example A", "NOERROR aa\ninline.example. 60 A 192.0.2.9"],
    ["x.w.example A", "NOERROR aa\nx.w.example. 60 A 192.0.2.2"],
    ["y.x.w.example A", "SERVFAIL"],
    ["none.example A", "SERVFAIL"],
    ["x.deep.example A", /^NOERROR aa\nadditional x.deep.example. 0 A/],
    ["other.org A", /^NOERROR aa\nadditional other.org. 0 A/],
    [
      "1.2.0.192.in-addr.arpa PTR",
      "NOERROR aa\n1.2.0.192.in-addr.arpa. 60 PTR a.example.\n1.2.0.192.in-addr.arpa. 60 PTR b.example.",
    ],
    ["7.2.0.192.in-addr.arpa PTR", /additional/],
  ];
  for (const [question, expected] of rows) {
    const text = await server.text(question);
    if (typeof expected === "string") assert.equal(text, expected, question);
    else assert.match(text, expected, question);
  }
  writeFileSync(path, "192.0.2.3 a.example\n");
  await server.clock.pass(5000);
  assert.equal(await server.text("a.example A"), "NOERROR aa\na.example. 60 A 192.0.2.3");
  assert.equal(await server.text("inline.example A"), "NOERROR aa\ninline.example. 60 A 192.0.2.9");
  rmSync(directory, { recursive: true });
  await server.clock.pass(5000);
  assert.equal(await server.text("a.example A"), "SERVFAIL");
  server.stop();
});

test("faults of the directive are reported", async () => {
  await assert.rejects(serve(". {\n hosts {\n foo\n }\n}"), /:3: hosts: unknown property 'foo'/);
  await assert.rejects(serve(". {\n hosts {\n ttl 0\n }\n}"), /ttl is '0'/);
});
