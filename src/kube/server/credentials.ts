/** Keys, certificates and tokens of a server, kept in its directory, and the kubeconfig that lets clients in. */
import { createPrivateKey, createPublicKey, randomBytes, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { type Authority, type Credential, createAuthority, createServerCertificate } from "./tls/certificate.ts";

/** What a server shows, and whom it lets in. */
export interface Credentials {
  readonly authority: Credential;
  readonly server: Credential;
  /** Token of the one user, who may do everything. */
  readonly token: string;
}

const month = 30 * 24 * 60 * 60 * 1000;

/**
 * Reads the credentials of a directory, or makes them. The server's certificate is made anew when it lacks one of the
 * names or ends within a month; the authority and the token stay, so that clients need not change.
 *
 * @throws {Error} if the files cannot be read or written.
 */
export function loadCredentials(directory: string, names: readonly string[], now: Date): Credentials {
  const folder = join(directory, "pki");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const authority = loadAuthority(folder, now);
  const server = loadServer(folder, authority, names, now);
  const file = join(folder, "token");
  if (!existsSync(file)) writeAtomically(file, randomBytes(24).toString("base64url"));
  return { authority, server, token: readFileSync(file, "utf8").trim() };
}

function loadAuthority(folder: string, now: Date): Authority {
  const stored = loadPair(folder, "ca");
  if (stored === undefined) {
    const made = createAuthority("portolan", now);
    storePair(folder, "ca", made);
    return made;
  }
  const privateKey = createPrivateKey(stored.key);
  return { ...stored, commonName: "portolan", privateKey, publicKey: createPublicKey(privateKey) };
}

function loadServer(folder: string, authority: Authority, names: readonly string[], now: Date): Credential {
  const stored = loadPair(folder, "server");
  if (stored !== undefined && covers(new X509Certificate(stored.certificate), authority, names, now)) return stored;
  const made = createServerCertificate(authority, names, now);
  storePair(folder, "server", made);
  return made;
}

function covers(certificate: X509Certificate, authority: Authority, names: readonly string[], now: Date): boolean {
  if (!certificate.verify(authority.publicKey)) return false;
  if (Date.parse(certificate.validTo) - now.getTime() < month || Date.parse(certificate.validFrom) > now.getTime())
    return false;
  return names.every((name) => certificate.checkHost(name) !== undefined || certificate.checkIP(name) !== undefined);
}

function loadPair(folder: string, name: string): Credential | undefined {
  const [certificate, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  if (!existsSync(certificate) || !existsSync(key)) return undefined;
  return { certificate: readFileSync(certificate, "utf8"), key: readFileSync(key, "utf8") };
}

function storePair(folder: string, name: string, pair: Credential): void {
  writeAtomically(join(folder, `${name}.key`), pair.key);
  writeAtomically(join(folder, `${name}.crt`), pair.certificate);
}

/** Writes a kubeconfig for a server, with its authority and token; only its owner may read it. */
export function writeKubeconfig(file: string, name: string, url: string, credentials: Credentials): void {
  const authority = Buffer.from(credentials.authority.certificate).toString("base64");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server: url, "certificate-authority-data": authority } }],
    users: [{ name, user: { token: credentials.token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  };
  writeAtomically(file, stringify(config));
}

function writeAtomically(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.new`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, file);
}
