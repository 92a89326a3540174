import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
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
    writeFileSync(
      join(directory, "pod.yaml"),
      'apiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop}\nspec: {dnsConfig: {options: [{name: ndots, value: "1"}]}}\nstatus: {podIP: 10.1.0.7}\n',
    );
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
    const common = ["-conf", join(directory, "Corefile"), "-manifests", directory];
    // Flags may stand behind the name.
    const explain = ["dns", "explain", "web", "-o", "json", "-from", "shop/web-0", ...common];
    const json: unknown = JSON.parse(run(process.execPath, main, ...explain));
    assert.deepEqual((json as { from: unknown }).from, {
      address: "10.1.0.7",
      pod: "shop/web-0",
      search: ["shop.svc.cluster.local.", "svc.cluster.local.", "cluster.local."],
      ndots: 1,
    });
    const input = '. {\n template IN A {\n answer "{{ .Name }} 60 A 192.0.2.1"\n }\n}\n';
    const piped = [main, "dns", "explain", "-conf", "stdin", "a.", "A"];
    assert.match(execFileSync(process.execPath, piped, { input, encoding: "utf8" }), /= a\. 60 IN A 192\.0\.2\.1/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
