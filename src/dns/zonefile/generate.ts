/** `$GENERATE START-END[/STEP] WORD...`: records that differ by a number. */
import { TextError, type Word, type Words } from "../wire/text.ts";

const maxNumber = 0x7fffffff;
const maxRecords = 65_536;

/**
 * The words of each record. `$` in a word is the number; `${OFFSET[,WIDTH[,BASE]]}` is the number with an offset, at
 * least so many digits, in base d, o, x or X; `\$` and `$$` are a dollar sign.
 *
 * @throws {TextError} if the range or a word is wrong.
 */
export function* generate(words: Words): Generator<readonly Word[]> {
  const { text } = words.next("the range");
  const match = /^(\d{1,10})-(\d{1,10})(?:\/(\d{1,10}))?$/.exec(text);
  const [, start = 0, end = 0, step = 1] = (match ?? []).map((part, i) =>
    i === 3 && part === undefined ? 1 : Number(part),
  );
  if (!match || end < start || end > maxNumber || step < 1) {
    throw new TextError(`the range of $GENERATE is ${JSON.stringify(text)}, must be like 1-10 or 0-100/2`);
  }
  if (Math.floor((end - start) / step) >= maxRecords) {
    throw new TextError(`$GENERATE makes more than ${maxRecords} records`);
  }
  const templates = words.rest();
  if (templates.length < 3) throw new TextError("$GENERATE needs an owner, a type and data");
  for (let value = start; value <= end; value += step) {
    yield templates.map((word) => ({ ...word, text: substitute(word.text, value) }));
  }
}

function substitute(template: string, value: number): string {
  return template.replace(/\\\$|\$\$|\$\{([^}]*)\}|\$/g, (found, modifier?: string) => {
    if (found === "\\$" || found === "$$") return "$";
    if (modifier === undefined) return String(value);
    const match = /^(-?\d{1,10})(?:,(\d{1,3})(?:,([doxX]))?)?$/.exec(modifier);
    const number = value + Number(match?.[1]);
    if (!match || number < 0) throw new TextError(`the modifier ${found} of $GENERATE is wrong`);
    const base = match[3] ?? "d";
    const digits = number.toString(base === "d" ? 10 : base === "o" ? 8 : 16).padStart(Number(match[2] ?? 0), "0");
    return base === "X" ? digits.toUpperCase() : digits;
  });
}
