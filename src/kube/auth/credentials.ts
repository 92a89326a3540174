/** How a client shows an API server who it is. */

/** What is shown with a request. */
export interface Credential {
  /** The header `Authorization`. */
  readonly authorization?: string;
  /** Shown in the TLS handshake. */
  readonly certificate?: ClientCertificate;
}

/** A client certificate with its key, both in PEM. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Something that has credentials, or can get them. */
export interface Credentials {
  /**
   * The credential of the next request: fetched, read again or taken from a cache.
   *
   * @throws {AuthError} if there is none to be had.
   */
  get(signal: AbortSignal): Promise<Credential>;
  /** Tells that the server refused what {@link get} returned last (401): it must not come from a cache again. */
  refused(): void;
}

/** Credentials could not be had. The message names the file or program, and says what to do. */
export class AuthError extends Error {
  override readonly name = "AuthError";
}

/** Credentials that never change; without arguments, those of an anonymous client. */
export function fixedCredentials(credential: Credential = {}): Credentials {
  return { get: () => Promise.resolve(credential), refused() {} };
}

/** Several credentials shown together. */
export function combineCredentials(parts: readonly Credentials[]): Credentials {
  return {
    async get(signal) {
      const credentials = await Promise.all(parts.map((part) => part.get(signal)));
      return Object.assign({}, ...credentials);
    },
    refused() {
      for (const part of parts) part.refused();
    },
  };
}

/** `Authorization` of a user name and password (RFC 7617). */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** `Authorization` of a token (RFC 6750). */
export function bearerAuthorization(token: string): string {
  return `Bearer ${token}`;
}
