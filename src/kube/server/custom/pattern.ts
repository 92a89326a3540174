/** Regular expressions of schemas, which are written for RE2, as expressions of this language. Pure. */

const compiled = new Map<string, RegExp>();
const cacheLimit = 1000;

/** Classes of RE2 that are written differently here. */
const classes: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  digit: "0-9",
  lower: "a-z",
  upper: "A-Z",
  space: "\\t\\n\\v\\f\\r ",
  xdigit: "0-9A-Fa-f",
  word: "0-9A-Za-z_",
  punct: "!-\\/:-@\\[-`{-~",
};

/**
 * The expression of a pattern. It is not anchored, as OpenAPI has it.
 *
 * @throws {SyntaxError} if it cannot be read.
 */
export function compilePattern(pattern: string): RegExp {
  let found = compiled.get(pattern);
  if (found === undefined) {
    const flags = /^\(\?([ims]+)\)/.exec(pattern);
    const rest = flags === null ? pattern : pattern.slice(flags[0].length);
    const text = rest
      .replaceAll(/\[:(\w+):\]/g, (whole, name: string) => classes[name] ?? whole)
      .replaceAll(/\\A/g, "^")
      .replaceAll(/\\[zZ]/g, "$")
      .replaceAll("(?P<", "(?<");
    found = new RegExp(text, flags?.[1] ?? "");
    if (compiled.size >= cacheLimit) compiled.clear();
    compiled.set(pattern, found);
  }
  return found;
}
