/** YAML as Kubernetes' tools read it: YAML 1.1's scalars (`yes` is true, `017` is 15), strict and bounded. */
import { isMap, LineCounter, parseAllDocuments } from "yaml";
import { kubernetesTags } from "../config/scalars.ts";

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

/**
 * Parses a text of any number of documents. Empty documents are left out.
 *
 * @throws {YamlError} with the line at fault.
 */
export function parseYaml(text: string): readonly YamlDocument[] {
  const lineCounter = new LineCounter();
  const lineAt = (offset: number) => Math.max(1, lineCounter.linePos(offset).line);
  try {
    const options = {
      version: "1.1",
      customTags: kubernetesTags,
      lineCounter,
      prettyErrors: false,
      logLevel: "error",
    } as const;
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
