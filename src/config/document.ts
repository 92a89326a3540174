/** One YAML or JSON document of bounded size, as plain values. */
import { parseDocument } from "yaml";
import { InvalidInputError } from "./problems.ts";
import { kubernetesTags } from "./scalars.ts";

/** Larger configuration files are refused: a real one has a few kilobytes. */
const maximumLength = 1 << 20;

/**
 * Parses one YAML document (JSON is YAML). Doubled keys, several documents, unknown tags and bombs of aliases are
 * refused.
 *
 * @param what names the document in errors, e.g. its path.
 * @throws {InvalidInputError} with line and column.
 */
export function parseConfigDocument(text: string, what: string): unknown {
  if (text.length > maximumLength) {
    throw new InvalidInputError(what, [`${text.length} characters, more than ${maximumLength} are not read`]);
  }
  const document = parseDocument(text, {
    version: "1.1",
    customTags: kubernetesTags,
    prettyErrors: true,
    uniqueKeys: true,
    strict: true,
  });
  // What follows the first error is mostly noise.
  const [error] = [...document.errors, ...document.warnings];
  if (error !== undefined) throw new InvalidInputError(what, [(error.message.split("\n")[0] ?? "").replace(/:$/, "")]);
  try {
    return document.toJS({ maxAliasCount: 20 }) as unknown;
  } catch (error) {
    throw new InvalidInputError(what, [error instanceof Error ? error.message : String(error)]);
  }
}
