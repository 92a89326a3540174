import assert from "node:assert/strict";
import { test } from "node:test";
import { commandHelp } from "./command.ts";
import { lab } from "./lab.ts";

test("help wraps paragraphs, and leaves the lines of lists as they are", () => {
  const help = commandHelp({ ...lab, description: "one two three\n\n  a list\n      of lines\n\nfour five six" }, 10);
  assert.match(help, /\none two\nthree\n\n {2}a list\n {6}of lines\n\nfour five\nsix\n/);
});

test("help of the lab has each of its commands on a line of its own", () => {
  const lines = commandHelp(lab).split("\n");
  for (const name of lab.choices ?? [])
    assert.ok(
      lines.some((line) => `${line} `.startsWith(`  ${name} `)),
      name,
    );
});
