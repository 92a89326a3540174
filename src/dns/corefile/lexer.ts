/** Splits a Corefile into tokens. */

/** A word of a Corefile and where it stands. */
export interface Token {
  readonly text: string;
  readonly file: string;
  /** The line in which it begins, from 1. */
  readonly line: number;
  /** True for the first token of a line. */
  readonly startsLine: boolean;
}

/** Something wrong in a Corefile: the message begins with `file:line`. */
export class CorefileError extends Error {
  override name = "CorefileError";

  constructor(place: { readonly file: string; readonly line: number }, message: string) {
    super(`${place.file}:${place.line}: ${message}`);
  }
}

/**
 * Splits text at white space. A token that begins with a quotation mark runs to the next one, over line ends too;
 * `\"` is a quotation mark in it, other backslashes stand for themselves. Outside of quotes `#` begins a comment, in the
 * middle of a token as well, that runs to the end of the line. Carriage returns are dropped.
 *
 * @param file its name, for the tokens.
 * @throws {CorefileError} if a quotation mark is not closed.
 */
export function lex(text: string, file: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let start = 1;
  let value = "";
  let inComment = false;
  let inQuotes = false;
  let startsLine = true;
  const finish = () => {
    tokens.push({ text: value, file, line: start, startsLine });
    startsLine = false;
  };
  for (let i = text.charCodeAt(0) === 0xfeff ? 1 : 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (inQuotes) {
      if (character === "\\" && text.charAt(i + 1) === '"') {
        value += '"';
        i++;
      } else if (character === '"') {
        finish();
        value = "";
        inQuotes = false;
      } else {
        if (character === "\n") line++;
        value += character;
      }
    } else if (/\s/.test(character)) {
      if (character === "\r") continue;
      if (value !== "") finish();
      value = "";
      if (character === "\n") {
        line++;
        inComment = false;
        startsLine = true;
      }
    } else if (character === "#" || inComment) {
      inComment = true;
    } else {
      if (value === "") start = line;
      if (value === "" && character === '"') inQuotes = true;
      else value += character;
    }
  }
  if (inQuotes) throw new CorefileError({ file, line: start }, "a quotation mark is not closed");
  if (value !== "") finish();
  return tokens;
}
