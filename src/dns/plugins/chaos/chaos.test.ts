import assert from "node:assert/strict";
import { hostname } from "node:os";
import { test } from "node:test";
import { serve } from "../../testing.ts";
import { CLASS, TYPE } from "../../wire/codes.ts";

test("version, authors and name are told in class CH", async () => {
  const server = await serve('. {\n chaos "a server 1.0" one two\n}');
  const ask = (name: string) =>
    server.text("x.", { message: { questions: [{ name, type: TYPE.TXT, class: CLASS.CH }] } });
  assert.equal(await ask("version.bind."), 'NOERROR aa\nversion.bind. 0 CH TXT "a server 1.0"');
  assert.equal(await ask("authors.bind."), 'NOERROR aa\nauthors.bind. 0 CH TXT "one"\nauthors.bind. 0 CH TXT "two"');
  assert.equal(await ask("id.server."), `NOERROR aa\nid.server. 0 CH TXT "${hostname()}"`);
  assert.equal(await ask("other."), "SERVFAIL");
  server.stop();
});
