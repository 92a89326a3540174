import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { LabFolder } from "./state.ts";

test("a folder that cannot be is refused with its name and a remedy, and a damaged file with its own", (t) => {
  const root = mkdtempSync(join(tmpdir(), "portolan-state-"));
  t.after(() => rmSync(root, { recursive: true }));
  writeFileSync(join(root, "file"), "");
  const folder = new LabFolder("lab", join(root, "file"));
  const refusal = /file\/lab: no lab can be kept there \(ENOTDIR.*\): make room, or set XDG_STATE_HOME/;
  assert.throws(() => folder.read(), refusal);
  assert.throws(() => folder.writeJson("lab.json", {}), refusal);
  mkdirSync(join(root, "lab"));
  for (const damaged of ["{", "", "{}", "null", '{"apiPort":0,"spec":{"name":"lab","mode":"","nodes":[]}}']) {
    writeFileSync(join(root, "lab", "lab.json"), damaged);
    assert.throws(() => new LabFolder("lab", root).read(), /lab\.json is damaged: .*portolan lab reset/);
  }
});

test("a note of a supervisor that is damaged, or of another process, is none", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "portolan-state-"));
  t.after(() => rmSync(root, { recursive: true }));
  const folder = new LabFolder("lab", root);
  folder.make();
  assert.equal(await folder.claim(), true);
  assert.equal(folder.supervisor(), process.pid);
  assert.equal(folder.crashed, false);
  for (const note of ["", "{", `{"pid":${process.pid},"start":"1"}`]) {
    writeFileSync(join(folder.path, "supervisor.json"), note);
    assert.equal(folder.supervisor(), undefined);
    assert.equal(folder.crashed, true);
  }
});
