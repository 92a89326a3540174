/** YAML as Kubernetes' tools read it: YAML 1.1's scalars (`yes` is true, `017` is 15), strict and bounded. */
import { isMap, LineCounter, parseAllDocuments, type Tags } from "yaml";

/** One document of a YAML text. */
export interface YamlDocument {
  /** Plain data, as of JSON. */
  readonly value: unknown;
  /** The line of the text where the document begins, from 1. */
  readonly line: number;
}

/** Text that is not YAML, or not such as is read here. */
export class YamlError extends Error {
  override readonly name = "YamlError";
  /** The line at fault, from 1. */
  readonly line: number;

  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

/** Nodes that all aliases of a document may stand for together: enough for manifests, no use as a bomb. */
const maximumAliases = 1000;

/** Types of YAML 1.1 that stay plain strings, as with Kubernetes' own YAML library: `2026-01-01`, `1:20`. */
const unknownTypes = new Set(["timestamp", "omap", "pairs", "binary"].map((type) => `tag:yaml.org,2002:${type}`));

/** Numbers have a digit before the exponent or beside the point: by the letter of YAML 1.1 the name `e2` is one too. */
const floats = {
  exponent: /^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$/,
  point: /^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)$/,
};

const customTags = (tags: Tags): Tags =>
  tags.flatMap((tag): Tags => {
    if (typeof tag === "string") return [tag];
    if (unknownTypes.has(tag.tag) || ("format" in tag && tag.format === "TIME")) return [];
    if (tag.test === undefined) return [tag];
    if (tag.format === "EXP") return [{ ...tag, test: floats.exponent }];
    return tag.test.test(".") ? [{ ...tag, test: floats.point }] : [tag];
  });

/**
 * Parses a text of any number of documents. Empty documents are left out.
 *
 * @throws {YamlError} with the line at fault.
 */
export function parseYaml(text: string): readonly YamlDocument[] {
  const lineCounter = new LineCounter();
  const lineAt = (offset: number) => Math.max(1, lineCounter.linePos(offset).line);
  try {
    const options = { version: "1.1", customTags, lineCounter, prettyErrors: false, logLevel: "error" } as const;
    const documents = parseAllDocuments(text, options);
    const parsed: YamlDocument[] = [];
    for (const document of documents) {
      const error = document.errors[0];
      if (error) throw new YamlError(error.message, lineAt(error.pos[0]));
      const line = lineAt(document.contents?.range?.[0] ?? 0);
      const value = toPlain(() => document.toJS({ maxAliasCount: maximumAliases }), line);
      if (value === null || value === undefined) continue;
      if (text.includes("*") && contains(value, new Set()))
        throw new YamlError("an alias stands inside of itself", line);
      if (!isMap(document.contents)) throw new YamlError("a document must be a map of fields", line);
      parsed.push({ value, line });
    }
    return parsed;
  } catch (error) {
    if (error instanceof RangeError) throw new YamlError("nested too deeply", 1);
    throw error;
  }
}

/** True if a value contains itself or one of these. */
function contains(value: unknown, outer: Set<object>): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (outer.has(value)) return true;
  outer.add(value);
  const found = Object.values(value).some((inner) => contains(inner, outer));
  outer.delete(value);
  return found;
}

/** Aliases that expand too far or lead nowhere are found only now. */
function toPlain(convert: () => unknown, line: number): unknown {
  try {
    return convert();
  } catch (error) {
    if (error instanceof RangeError || !(error instanceof Error)) throw error;
    throw new YamlError(error.message, line);
  }
}
