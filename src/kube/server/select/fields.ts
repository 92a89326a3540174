/** Field selectors: `metadata.name=web,status.phase!=Running`. */
import { at, type Json, type JsonObject } from "../json.ts";
import { SelectorError } from "./labels.ts";

/** One condition of a field selector. */
export interface FieldRequirement {
  readonly path: string;
  readonly equal: boolean;
  readonly value: string;
}

/**
 * Parses a field selector. `\`, `,` and `=` in a value are escaped with a backslash. The empty text selects everything.
 *
 * @throws {SelectorError} where it cannot be read, or names a field that `supported` does not hold.
 */
export function parseFieldSelector(text: string, supported: readonly string[]): readonly FieldRequirement[] {
  return [...text.matchAll(/(?:[^,\\]|\\.|\\$)+/g)].flatMap(([term]) => {
    if (term.trim() === "") return [];
    const match = /^([^=!]+)(==|!=|=)((?:[^=\\]|\\[\\,=])*)$/.exec(term.trim());
    if (match === null)
      throw new SelectorError(`invalid selector: ${JSON.stringify(text)}; can't understand ${JSON.stringify(term)}`);
    const [, path = "", operator, value = ""] = match;
    if (!supported.includes(path)) throw new SelectorError(`field label not supported: ${path}`);
    return [{ path, equal: operator !== "!=", value: value.replaceAll(/\\([\\,=])/g, "$1") }];
  });
}

/** True if the object is selected. A field that is missing counts as empty (false for booleans). */
export function selectsFields(requirements: readonly FieldRequirement[], object: JsonObject): boolean {
  return requirements.every(({ path, equal, value }) => {
    const found: Json | undefined = at(object, ...path.split("."));
    const text = typeof found === "string" ? found : found === undefined || found === null ? "" : JSON.stringify(found);
    return (text === value || (text === "" && value === "false")) === equal;
  });
}
