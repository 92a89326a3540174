import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createAuthority } from "../../kube/server/tls/certificate.ts";
import { loadOnly } from "../testing.ts";
import { plugins } from "./index.ts";

/** The files that examples name. */
const home = process.cwd();
let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), "ptl-readme-"));
  mkdirSync(join(directory, "zones"));
  const { certificate: cert, key } = createAuthority("dns.test", new Date());
  const files = {
    "db.example.org": "@ 60 SOA ns admin 1 2 3 4 5\n@ 60 NS ns.example.net.\n",
    "hosts.txt": "192.0.2.1 a.example.org\n",
    "weights.txt": "a.example.org\n192.0.2.1 3\n",
    "cert.pem": cert,
    "key.pem": key,
    "ca.pem": cert,
    // The key of RFC 6605 6.1.
    "Kexample.org.+013+45330.key":
      "example.org. 3600 IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
    "Kexample.org.+013+45330.private": "PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=",
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  process.chdir(directory);
});
after(() => {
  process.chdir(home);
  rmSync(directory, { recursive: true });
});

for (const { name } of plugins) {
  // The old name of another plugin.
  if (name === "proxy") continue;
  test(`plugin ${name} explains itself, and its examples are set up without a fault`, async () => {
    const text = readFileSync(join(import.meta.dirname, name, "README.md"), "utf8");
    assert.match(text, new RegExp(`^# ${name}\n\n[A-Z]`));
    assert.match(text, /\n## Syntax\n/);
    const examples = [...text.matchAll(/```corefile\n(.*?)```/gs)];
    assert.ok(examples.length > 0);
    for (const [, example = ""] of examples) {
      assert.match(example, new RegExp(`\\b${name}\\b`));
      await loadOnly(example);
    }
  });
}
