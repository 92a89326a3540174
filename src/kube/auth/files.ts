/** Credentials in files that somebody else renews: service account tokens, client certificates of a kubelet. */
import { readFile } from "node:fs/promises";
import { errorText } from "../../telemetry/log.ts";
import { AuthError, bearerAuthorization, type Credential, type Credentials } from "./credentials.ts";

/** A file is read again after this many milliseconds. */
const readAgainAfter = 60_000;

/** Files of credentials: any of a token, and a certificate with its key. */
export interface CredentialFiles {
  readonly tokenFile?: string;
  readonly certificate?: { readonly certFile: string; readonly keyFile: string };
}

/**
 * Credentials in files, read anew every minute and after a refusal. Should a file become unreadable or empty, what was
 * read last stays in use: whoever renews it may be at it.
 */
export class FileCredentials implements Credentials {
  readonly #files: CredentialFiles;
  readonly #now: () => number;
  #last: { readonly credential: Credential; readonly at: number } | undefined;
  #stale = true;

  /** @param now milliseconds of a clock that never jumps. */
  constructor(files: CredentialFiles, now: () => number = () => performance.now()) {
    this.#files = files;
    this.#now = now;
  }

  async get(): Promise<Credential> {
    const last = this.#last;
    if (last && !this.#stale && this.#now() - last.at < readAgainAfter) return last.credential;
    this.#stale = false;
    try {
      const credential = await readCredential(this.#files);
      this.#last = { credential, at: this.#now() };
      return credential;
    } catch (error) {
      if (last === undefined) throw error;
      return last.credential;
    }
  }

  refused(): void {
    this.#stale = true;
  }
}

async function readCredential({ tokenFile, certificate }: CredentialFiles): Promise<Credential> {
  const authorization = tokenFile && bearerAuthorization((await read(tokenFile)).trim());
  const pair = certificate && { cert: await read(certificate.certFile), key: await read(certificate.keyFile) };
  return { ...(authorization && { authorization }), ...(pair && { certificate: pair }) };
}

async function read(file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new AuthError(`The credentials file ${file} cannot be read: ${errorText(error)}`);
  }
  if (text.trim() === "") throw new AuthError(`The credentials file ${file} is empty`);
  return text;
}
