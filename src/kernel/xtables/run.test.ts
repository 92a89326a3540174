import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "./run.ts";

test("input of any length arrives whole", async () => {
  const line = `${"x".repeat(99)}\n`;
  function* lines() {
    for (let i = 0; i < 20_000; i++) yield line;
  }
  const result = await run("wc", ["-c"], { input: lines() });
  assert.deepEqual(result, { status: 0, output: "2000000\n", errors: "" });
});

test("a program that stops reading ends with its own status and words", async () => {
  const input = new Array<string>(1000).fill("x".repeat(1000));
  const script = "head -c 10 >/dev/null; echo no >&2; exit 3";
  assert.deepEqual(await run("sh", ["-c", script], { input }), { status: 3, output: "", errors: "no\n" });
});

test("a program starts when its input is whole", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ptl-run-"));
  try {
    const mark = join(folder, "started");
    function* slow() {
      for (let i = 0; i < 5; i++) {
        assert(!existsSync(mark));
        yield "x".repeat(100_000);
      }
    }
    const { output } = await run("sh", ["-c", 'touch "$0"; wc -c', mark], { input: slow() });
    assert.deepEqual([output, existsSync(mark)], ["500000\n", true]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("output can be taken as it comes, and refused", async () => {
  let length = 0;
  const onOutput = (piece: string) => {
    length += piece.length;
  };
  const result = await run("head", ["-c", "3000000", "/dev/zero"], { onOutput });
  assert.deepEqual([result.status, result.output, length], [0, "", 3_000_000]);
  const refuse = () => {
    throw new SyntaxError("not this");
  };
  await assert.rejects(run("cat", ["/dev/zero"], { onOutput: refuse }), { message: "not this" });
});

test("output that nobody takes is kept up to a limit", async () => {
  const { output } = await run("head", ["-c", "9000000", "/dev/zero"]);
  assert(output.length >= 1 << 20 && output.length < 2 << 20);
});

test("an error in making the input ends the program", async () => {
  function* failing() {
    yield "a line\n";
    throw new RangeError("no more");
  }
  await assert.rejects(run("cat", [], { input: failing() }), { message: "no more" });
});

test("the signal ends the program", async () => {
  const reason = new Error("enough");
  const stop = new AbortController();
  setTimeout(() => stop.abort(reason), 20);
  await assert.rejects(run("sleep", ["60"], { signal: stop.signal }), reason);
  await assert.rejects(run("true", [], { signal: AbortSignal.abort(reason) }), reason);
});

test("a program that is not there is an error", async () => {
  await assert.rejects(run("portolan-no-such-program", [], { input: ["x"] }), { code: "ENOENT" });
});
