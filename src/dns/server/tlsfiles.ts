/** The property `tls` of plugins that ask others. */
import { readFileSync } from "node:fs";
import type { Stanza } from "../corefile/stanza.ts";
import { messageOf } from "./log.ts";
import type { Site } from "./site.ts";

/** What is presented to a server and trusted of it, in PEM. */
export interface TlsFiles {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

/**
 * Reads the files of `tls`, `tls CA`, `tls CERT KEY` or `tls CERT KEY CA`.
 *
 * @throws {CorefileError} if one cannot be read.
 */
export function readTlsFiles(property: Stanza, site: Site): TlsFiles {
  const [first, second, third] = property.expect(0, 3).map((file) => {
    try {
      return readFileSync(site.path(file), "utf8");
    } catch (error) {
      throw property.error(messageOf(error));
    }
  });
  if (first === undefined) return {};
  if (second === undefined) return { ca: first };
  return { cert: first, key: second, ...(third !== undefined && { ca: third }) };
}
