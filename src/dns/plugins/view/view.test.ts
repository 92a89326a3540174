import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

const block = (view: string, address: string) =>
  `. {\n ${view}\n template IN ANY . {\n answer "{{ .Name }} 60 IN A ${address}"\n }\n}\n`;

test("the first block whose expressions hold serves", async () => {
  const server = await serve(
    block("view inside {\n expr incidr(client_ip(), '10.0.0.0/8')\n expr type() == 'A'\n}", "192.0.2.1") +
      block("view named {\n expr name() endsWith '.named.' && proto() in ['tcp', 'udp']\n}", "192.0.2.2") +
      block("", "192.0.2.3"),
  );
  const rows: readonly (readonly [string, string, string])[] = [
    ["a. A", "10.1.2.3", "192.0.2.1"],
    ["a. AAAA", "10.1.2.3", "192.0.2.3"],
    ["a.named. A", "203.0.113.1", "192.0.2.2"],
    ["a. A", "203.0.113.1", "192.0.2.3"],
  ];
  for (const [question, from, expected] of rows) {
    assert.ok((await server.text(question, { from })).endsWith(expected), `${question} ${from}`);
  }
  server.stop();
});

test("sizes and codes of queries can be asked for, and the name of the view is told as metadata", async () => {
  const server = await serve(
    `${block('view small {\n expr size() == 19 && opcode() == 0 && bufsize() == 512\n }\n metadata\n log "{/view/name}"', "192.0.2.1")}${block("log", "192.0.2.2")}`,
  );
  assert.match(await server.text("a. A"), /192\.0\.2\.1$/);
  assert.deepEqual(server.log, ["[INFO] small"]);
  assert.match(await server.text("ab. A"), /192\.0\.2\.2$/);
  server.stop();
});

test("without a block for all others, queries that fit none are refused", async () => {
  const server = await serve(block("view never {\n expr name() == metadata('nothing')\n}", "192.0.2.1"));
  assert.equal(await server.text("a. A"), "REFUSED");
  server.stop();
});

test("two blocks of one zone without views are refused", async () => {
  await assert.rejects(
    serve(block("", "192.0.2.1") + block("", "192.0.2.2")),
    /cannot serve \. at dns:\/\/:53: it is already defined/,
  );
  await assert.rejects(serve(block("view x {\n expr name( ==\n}", "192.0.2.1")), /:3: expr: unexpected/);
  await assert.rejects(serve(block("view x {\n expr nme() == 'a'\n}", "192.0.2.1")), /:3: expr: 'nme' is not known/);
});
