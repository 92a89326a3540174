/**
 * Regular expressions of Corefiles, in the syntax of Go's package regexp (RE2), matched in time that grows with the
 * text and not worse: clients choose the names that are matched.
 */
import { setFlagsFromString } from "node:v8";
import type { Stanza } from "./corefile/stanza.ts";

/** A compiled pattern. */
export interface Pattern {
  /** As it was written. */
  readonly source: string;
  /** The first match in the text, with its groups. */
  exec(text: string): RegExpExecArray | null;
  test(text: string): boolean;
}

// V8 has a second engine that takes linear time, and moves a match over to it that goes back too often. It cannot do
// everything that JavaScript's patterns can; the flag `l` refuses what it cannot do.
setFlagsFromString("--enable-experimental-regexp-engine");
setFlagsFromString("--enable-experimental-regexp-engine-on-excessive-backtracks");
setFlagsFromString("--regexp-backtracks-before-fallback=2000");

const maxLength = 10_000;
/** Repetitions of one character or class, as in RE2. */
const maxCount = 1000;
/** Characters after repetitions were written out. */
const maxExpanded = 100_000;

/** What stands inside of `[:` and `:]`. */
const classes: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  ascii: "\\x00-\\x7f",
  blank: "\\t ",
  cntrl: "\\x00-\\x1f\\x7f",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`{-~",
  space: "\\t\\n\\v\\f\\r ",
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
};

/** One character, escape or class, and a number of repetitions if one follows. */
const atom =
  /(\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]|\\[pP]\{\w+\}|\\x\{\w+\}|\\x\w\w|\\.|\(\?P?<\w+>|[^\\])(?:\{(\d+)(?:(,)(\d*))?\}(\??))?/gs;

/**
 * Compiles a pattern.
 *
 * @throws {SyntaxError} if it is none, or is of a kind that cannot be matched in linear time.
 */
export function compilePattern(source: string): Pattern {
  if (source.length > maxLength) throw new SyntaxError(`the pattern is longer than ${maxLength} characters`);
  const [, inline = "", rest = ""] = /^(?:\(\?([ims]+)\))?(.*)$/s.exec(source) ?? [];
  const ignoreCase = inline.includes("i");
  const flags = inline.replaceAll("i", "");
  const text = translate(rest, ignoreCase);
  const compiled = new RegExp(text, flags);
  try {
    new RegExp(text, `${flags}l`);
  } catch {
    throw new SyntaxError(
      `the pattern ${JSON.stringify(source)} cannot be matched in linear time: it must have neither look-ahead nor back-references, and repeat groups at most 16 times`,
    );
  }
  const fold = (subject: string) => (ignoreCase ? subject.toLowerCase() : subject);
  return {
    source,
    exec: (subject) => compiled.exec(fold(subject)),
    test: (subject) => compiled.test(fold(subject)),
  };
}

/**
 * Compiles a pattern of a directive.
 *
 * @throws {CorefileError} as {@link compilePattern} does.
 */
export function makePattern(stanza: Stanza, source: string): Pattern {
  try {
    return compilePattern(source);
  } catch (error) {
    throw stanza.error(error instanceof Error ? error.message : String(error));
  }
}

/** Puts the groups of a match in for `{1}`, `{2}`, ... */
export function fillGroups(template: string, match: RegExpExecArray): string {
  return template.replace(/\{(\d+)\}/g, (_, group: string) => match[Number(group)] ?? "");
}

/** From Go's syntax to JavaScript's; in lower case if case is to be ignored. */
function translate(source: string, ignoreCase: boolean): string {
  let length = 0;
  return source.replace(atom, (_, one: string, from?: string, comma?: string, to?: string, lazy = "") => {
    const plain = translateAtom(one, ignoreCase);
    const text = from === undefined ? plain : repeat(plain, Number(from), comma === undefined ? from : to, lazy);
    length += text.length;
    if (length > maxExpanded) throw new SyntaxError("the pattern repeats too much");
    return text;
  });
}

function translateAtom(text: string, ignoreCase: boolean): string {
  switch (text) {
    case "\\A":
      return "^";
    case "\\z":
      return "$";
  }
  if (text.startsWith("(?P<")) return `(?<${text.slice("(?P<".length)}`;
  if (text.startsWith("\\") || text.startsWith("(?<")) return text;
  const folded = ignoreCase ? text.replace(/\[:\w+:\]|\\.|[A-Z]/g, (part) => lower(part)) : text;
  if (!text.startsWith("[")) return folded;
  // A bracket that comes first stands for itself.
  return folded.replace(/^\[(\^?)\]/, "[$1\\]").replace(/\[:(\w+):\]/g, (whole, name: string) => {
    const members = classes[name];
    if (members === undefined) throw new SyntaxError(`the pattern has no class ${whole}`);
    return members;
  });
}

function lower(part: string): string {
  return part.length === 1 ? part.toLowerCase() : part === "[:upper:]" ? "[:lower:]" : part;
}

/**
 * Writes repetitions out, because the linear engine knows few: `a{2,4}` becomes `aa(?:a(?:a)?)?`. Those of groups stay.
 *
 * @param to empty for no upper bound.
 */
function repeat(atom: string, from: number, to: string | undefined, lazy: string): string {
  const most = to === undefined || to === "" ? undefined : Number(to);
  const written = `{${from}${most === from ? "" : `,${most ?? ""}`}}${lazy}`;
  if (atom === ")") return atom + written;
  if (from > maxCount || (most !== undefined && (most > maxCount || most < from)))
    throw new SyntaxError(`the pattern repeats ${written}: at most ${maxCount} times, the smaller number first`);
  const head = atom.repeat(from);
  if (most === undefined) return `${head}${atom}*${lazy}`;
  return `${head}${`(?:${atom}`.repeat(most - from)}${`)?${lazy}`.repeat(most - from)}`;
}
