/** Splits an expression into tokens. */

/** A token: a value, a name or an operator. */
export type ExpressionToken =
  | { readonly kind: "value"; readonly value: string | number }
  | { readonly kind: "name"; readonly text: string }
  | { readonly kind: "operator"; readonly text: string }
  | { readonly kind: "end" };

const patterns = [
  ["space", /\s+/y],
  ["number", /\d+(\.\d+)?/y],
  ["string", /"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|`([^`]*)`/y],
  ["name", /[A-Za-z_][A-Za-z0-9_]*/y],
  ["operator", /==|!=|<=|>=|&&|\|\||\?\?|\*\*|[-+*/%<>!?:.,()[\]{}]/y],
] as const;

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };

/**
 * The tokens of an expression, `end` last.
 *
 * @throws {SyntaxError} at a character that belongs to none.
 */
export function tokensOf(text: string): readonly ExpressionToken[] {
  const tokens: ExpressionToken[] = [];
  for (let at = 0; at < text.length; ) {
    let length = 0;
    for (const [kind, pattern] of patterns) {
      pattern.lastIndex = at;
      const match = pattern.exec(text);
      if (match === null) continue;
      [{ length }] = match;
      if (kind === "number") tokens.push({ kind: "value", value: Number(match[0]) });
      else if (kind === "string") tokens.push({ kind: "value", value: unquote(match) });
      else if (kind === "name") tokens.push({ kind: "name", text: match[0] });
      else if (kind === "operator") tokens.push({ kind: "operator", text: match[0] });
      break;
    }
    if (length === 0) throw new SyntaxError(`unexpected ${JSON.stringify(text.charAt(at))} at ${at + 1} of '${text}'`);
    at += length;
  }
  return [...tokens, { kind: "end" }];
}

function unquote([, double, single, raw]: RegExpExecArray): string {
  if (raw !== undefined) return raw;
  return (double ?? single ?? "").replace(/\\(.)/gs, (_, character: string) => escapes[character] ?? character);
}
