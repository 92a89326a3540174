import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { BoundedLog, type LogView, readLog } from "./log.ts";

const stamped = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z .*\n)*$/;

async function read(pieces: readonly string[], view: LogView = {}): Promise<string> {
  let all = "";
  for await (const text of readLog(
    (async function* () {
      yield* pieces;
    })(),
    view,
  ))
    all += text;
  return all;
}

test("a log gives back what was said, in whatever pieces it was written and is read", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "portolan-log-"));
  t.after(() => rmSync(folder, { recursive: true }));
  let count = 0;
  const said = fc.array(fc.string({ unit: fc.constantFrom("a", "é", "\n", " ") }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(said, fc.integer({ min: 1, max: 40 }), async (pieces, size) => {
      const file = join(folder, String(count++));
      const log = new BoundedLog(file);
      log.append("");
      for (const piece of pieces) log.append(piece);
      log.append("\n");
      const text = readFileSync(file, "utf8");
      assert.match(text, stamped);
      const parts = text.match(new RegExp(`.{1,${size}}`, "gs")) ?? [];
      assert.equal(await read(parts), `${pieces.join("")}\n`);
      assert.equal(await read(parts, { timestamps: true }), text);
    }),
  );
});

test("lines from a moment on are shown, each by the time at which it began", async () => {
  const text = "2026-01-01T00:00:01.000Z one\n2026-01-01T00:00:02.000Z two\n2026-01-01T00:00:03.000Z thr";
  const since = Date.parse("2026-01-01T00:00:02Z");
  assert.equal(await read([text, "ee\n"], { since }), "two\nthree\n");
  assert.equal(await read([text], { since: since + 1, timestamps: true }), "2026-01-01T00:00:03.000Z thr");
});
