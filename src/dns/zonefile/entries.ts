/** Splits a zone file into entries: what one record or directive consists of (RFC 1035 5.1). */
import type { Word } from "../wire/text.ts";

/** A record or directive, over one line or, in parentheses, several. */
export interface Entry {
  readonly words: readonly Word[];
  /** True if the line begins with a blank: the owner is that of the record before. */
  readonly indented: boolean;
  /** The line in which it begins, from 1. */
  readonly line: number;
}

/** Something wrong in a zone file: the message begins with `file:line`. */
export class ZoneFileError extends Error {
  override name = "ZoneFileError";

  constructor(file: string, line: number, message: string) {
    super(`${file}:${line}: ${message}`);
  }
}

/** Characters of one word: more is no zone file. */
const maxWord = 100_000;
/** Words of one entry: a record has 65,535 bytes at most. */
const maxWords = 70_000;

/**
 * The entries of a zone file. `;` begins a comment, parentheses join lines, quotation marks keep blanks together (on
 * one line), a backslash takes the next character as it is.
 *
 * @throws {ZoneFileError} for quotation marks and parentheses that are not closed.
 */
export function* entriesOf(text: string, file: string): Generator<Entry> {
  let words: Word[] = [];
  let line = 1;
  let start = 1;
  let depth = 0;
  let indented = false;
  let atLineStart = true;
  for (let at = text.charCodeAt(0) === 0xfeff ? 1 : 0; at < text.length; ) {
    const character = text.charAt(at);
    if (character === "\n") {
      line++;
      at++;
      if (depth > 0) continue;
      if (words.length > 0) yield { words, indented, line: start };
      words = [];
      atLineStart = true;
      continue;
    }
    if (atLineStart) {
      indented = character === " " || character === "\t";
      start = line;
      atLineStart = false;
    }
    if (character === " " || character === "\t" || character === "\r" || character === "\f") {
      at++;
    } else if (character === ";") {
      const end = text.indexOf("\n", at);
      at = end < 0 ? text.length : end;
    } else if (character === "(") {
      depth++;
      at++;
    } else if (character === ")") {
      if (--depth < 0) throw new ZoneFileError(file, line, "a closing parenthesis has no opening one");
      at++;
    } else {
      const quoted = character === '"';
      const end = quoted ? quoteEnd(text, at + 1) : wordEnd(text, at);
      if (end === undefined) throw new ZoneFileError(file, line, "a quotation mark is not closed");
      if (end - at > maxWord) throw new ZoneFileError(file, line, `a word is longer than ${maxWord} characters`);
      if (words.length >= maxWords) throw new ZoneFileError(file, start, `an entry has more than ${maxWords} words`);
      words.push({ text: text.slice(quoted ? at + 1 : at, end), quoted });
      at = quoted ? end + 1 : end;
    }
  }
  if (depth > 0) throw new ZoneFileError(file, start, "a parenthesis is not closed");
  if (words.length > 0) yield { words, indented, line: start };
}

/** Where the quotation mark is that ends a word; undefined if the line ends first. */
function quoteEnd(text: string, start: number): number | undefined {
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 34) return at;
    if (code === 10) return undefined;
    if (code === 92) at++;
  }
  return undefined;
}

function wordEnd(text: string, start: number): number {
  let at = start;
  for (; at < text.length; at++) {
    const character = text.charAt(at);
    if (/[\s;()"]/.test(character)) break;
    if (character === "\\" && text.charAt(at + 1) !== "\n") at++;
  }
  return Math.min(at, text.length);
}
