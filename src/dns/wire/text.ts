/** Record data in presentation format, as a row of words (RFC 1035 5.1). */
import { escapeLength, tryParseName } from "./names.ts";

/** A word of a zone file: as it was written, escapes included, without its quotes. */
export interface Word {
  readonly text: string;
  readonly quoted: boolean;
}

/** Text that is not what the record type demands. The message names the field. */
export class TextError extends Error {
  override name = "TextError";
}

/** The words of one record's data, taken from left to right. */
export class Words {
  readonly #words: readonly Word[];
  /** What relative names are relative to. */
  readonly origin: string;
  #at = 0;

  constructor(words: readonly Word[], origin = ".") {
    this.#words = words;
    this.origin = origin;
  }

  /** True when no word is left. */
  get done(): boolean {
    return this.#at >= this.#words.length;
  }

  /** The next word, which stays. */
  peek(): Word | undefined {
    return this.#words[this.#at];
  }

  /**
   * Takes the next word.
   *
   * @param what what is expected, for the error.
   * @throws {TextError} if no word is left.
   */
  next(what: string): Word {
    const word = this.#words[this.#at++];
    if (word === undefined) throw new TextError(`${what} is missing`);
    return word;
  }

  /** Takes all words that are left. */
  rest(): readonly Word[] {
    const rest = this.#words.slice(this.#at);
    this.#at = this.#words.length;
    return rest;
  }

  /** Takes a whole decimal number from 0 to `max`. */
  number(what: string, max: number): number {
    const { text } = this.next(what);
    if (!/^[0-9]{1,10}$/.test(text) || Number(text) > max) {
      throw new TextError(`${what} is ${JSON.stringify(text)}, must be a number from 0 to ${max}`);
    }
    return Number(text);
  }

  /** Takes a name, absolute or relative to the origin. */
  name(what: string): string {
    const { text } = this.next(what);
    const name = tryParseName(text, this.origin);
    if (name === undefined) throw new TextError(`${what} is ${JSON.stringify(text)}, must be a domain name`);
    return name;
  }
}

/**
 * Splits a record that stands alone into words: quotes, escapes, parentheses and comments as in a zone file.
 *
 * @throws {TextError} if parentheses do not match.
 */
export function splitWords(text: string): Word[] {
  const words: Word[] = [];
  let depth = 0;
  for (const [whole, quoted] of text.matchAll(/"((?:[^"\\]|\\.)*)"|;[^\n]*|[()]|(?:[^\s"\\();]|\\.)+/gs)) {
    if (quoted === undefined && whole.startsWith(";")) continue;
    if (whole === "(") depth++;
    else if (whole === ")") depth--;
    else words.push({ text: quoted ?? whole, quoted: quoted !== undefined });
    if (depth < 0) break;
  }
  if (depth !== 0) throw new TextError("parentheses do not match");
  return words;
}

/** The bytes of a word, as a string with one character for each byte; characters above ASCII become UTF-8. */
export function unescapeText(text: string): string {
  let bytes = "";
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 92) {
      const length = escapeLength(text, i);
      if (length === 0) throw new TextError(`${JSON.stringify(text)} has a backslash that escapes nothing`);
      bytes += length === 4 ? String.fromCharCode(Number(text.slice(i + 1, i + 4))) : text.charAt(i + 1);
      i += length - 1;
    } else {
      bytes += text[i];
    }
  }
  return /^[\0-\xff]*$/.test(bytes) && !/[\x80-\xff]/.test(text)
    ? bytes
    : Buffer.from(bytes, "utf8").toString("latin1");
}

/** A byte string in quotes, with escapes. */
export function quote(bytes: string): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) {
    const code = bytes.charCodeAt(i);
    if (code === 34 || code === 92) text += `\\${bytes[i]}`;
    else if (code < 32 || code > 126) text += `\\${String(code).padStart(3, "0")}`;
    else text += bytes[i];
  }
  return `"${text}"`;
}
