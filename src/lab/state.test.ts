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
  writeFileSync(join(root, "lab", "lab.json"), "{");
  assert.throws(() => new LabFolder("lab", root).read(), /lab\.json is damaged: .*portolan lab reset/);
});
