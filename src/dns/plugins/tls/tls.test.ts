import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createAuthority } from "../../../kube/server/tls/certificate.ts";
import { loadOnly } from "../../testing.ts";

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), "ptl-tls-"));
  const one = createAuthority("dns.test", new Date());
  const other = createAuthority("other.test", new Date());
  const files = {
    "cert.pem": one.certificate,
    "key.pem": one.key,
    "ca.pem": other.certificate,
    "other.pem": other.key,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
});
after(() => rmSync(directory, { recursive: true }));

const load = async (text: string) => {
  const { wanted } = await loadOnly(`tls://. {\n root ${directory}\n ${text}\n whoami\n}`);
  return wanted[0]?.settings.tls;
};

test("the certificate, its key and what is asked of clients come from the directive", async () => {
  const plain = await load("tls cert.pem key.pem");
  assert.match(String(plain?.cert), /BEGIN CERTIFICATE/);
  assert.deepEqual([plain?.ca, plain?.requestCert, plain?.rejectUnauthorized], [undefined, false, false]);
  for (const [mode, asked, checked, refused = false] of [
    ["nocert", false, false],
    ["request", true, false],
    ["require", true, true],
    ["verify_if_given", true, false, true],
    ["require_and_verify", true, true],
  ] as const) {
    const tls = await load(`tls cert.pem key.pem ca.pem {\n client_auth ${mode}\n }`);
    assert.deepEqual(
      [tls?.requestCert, tls?.rejectUnauthorized, tls?.refuseUnverified],
      [asked, checked, refused],
      mode,
    );
    assert.match(String(tls?.ca), /BEGIN CERTIFICATE/);
  }
});

test("faults of the directive are reported", async () => {
  for (const [text, fault] of [
    ["tls cert.pem", /tls/],
    ["tls cert.pem none.pem", /no such file/],
    ["tls cert.pem other.pem", /key values mismatch/],
    ["tls key.pem key.pem", /no start line|PEM/i],
    ["tls cert.pem key.pem {\n client_auth maybe\n }", /must be one of nocert/],
    ["tls cert.pem key.pem {\n foo\n }", /unknown property 'foo'/],
    ["tls cert.pem key.pem\n tls cert.pem key.pem", /once in a server block/],
  ] as const)
    await assert.rejects(load(text), fault, text);
});
