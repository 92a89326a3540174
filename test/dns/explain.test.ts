import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "./support.ts";

test("the command tells what happens to a name of a directory of manifests", () => {
  const directory = mkdtempSync(join(tmpdir(), "ptl-explain-"));
  try {
    writeFileSync(join(directory, "Corefile"), ".:53 {\n errors\n health\n kubernetes cluster.local\n cache 30\n}\n");
    writeFileSync(
      join(directory, "web.yaml"),
      "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.0.0.7, ports: [{port: 80}]}\n",
    );
    const main = join(import.meta.dirname, "../../src/cli/main.ts");
    const args = ["-conf", join(directory, "Corefile"), "-manifests", directory, "-namespace", "shop", "web", "A"];
    assert.equal(
      run(process.execPath, main, "dns", "explain", ...args),
      `web.shop.svc.cluster.local. A: NOERROR
  server block . of dns://:53
  errors      passed on
  cache       passed on
  kubernetes  answered
  = web.shop.svc.cluster.local. 5 IN A 10.0.0.7

1 query
`,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
