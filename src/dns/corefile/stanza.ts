/** A directive with its arguments and its block, as a plugin gets it to set itself up. */
import { CorefileError, type Token } from "./lexer.ts";

/** A line of a Corefile: a directive or, in its block, a property of it. Errors point at it. */
export class Stanza {
  readonly name: string;
  readonly args: readonly string[];
  /** The lines between the braces; undefined without braces. */
  readonly block: readonly Stanza[] | undefined;
  readonly file: string;
  readonly line: number;

  constructor(name: Token, args: readonly string[], block: readonly Stanza[] | undefined) {
    this.name = name.text;
    this.args = args;
    this.block = block;
    this.file = name.file;
    this.line = name.line;
  }

  /** The lines of the block; none without braces. */
  get properties(): readonly Stanza[] {
    return this.block ?? [];
  }

  /** An error at this line, to be thrown. */
  error(message: string): CorefileError {
    return new CorefileError(this, `${this.name}: ${message}`);
  }

  /** An error for a property of this block that is not known, to be thrown. */
  unknown(property: Stanza): CorefileError {
    return new CorefileError(property, `${this.name}: unknown property '${property.name}'`);
  }

  /**
   * Checks the number of arguments.
   *
   * @throws {CorefileError} if there are fewer than `min` or more than `max`.
   */
  expect(min: number, max = min): readonly string[] {
    const { length } = this.args;
    if (length < min || length > max) {
      const range = min === max ? `${min}` : max === Number.POSITIVE_INFINITY ? `at least ${min}` : `${min} to ${max}`;
      throw this.error(`needs ${range} argument${range.endsWith(" 1") || range === "1" ? "" : "s"}, got ${length}`);
    }
    return this.args;
  }

  /**
   * The argument at `index`.
   *
   * @throws {CorefileError} if there is none.
   */
  arg(index: number, what: string): string {
    const value = this.args[index];
    if (value === undefined) throw this.error(`${what} is missing`);
    return value;
  }

  /**
   * The only argument, if there is one: where to listen, as `host:port` or `:port`.
   *
   * @throws {CorefileError} if it is something else, or not alone.
   */
  hostPort(ifNone: string): string {
    const [text = ifNone] = this.expect(0, 1);
    const port = /:(\d{1,5})$/.exec(text)?.[1];
    if (port === undefined || Number(port) > 65535) throw this.error(`'${text}' must be host:port`);
    return text;
  }

  /**
   * A whole decimal number.
   *
   * @throws {CorefileError} if it is not one from `min` to `max`.
   */
  number(index: number, what: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
    const text = this.arg(index, what);
    const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
      throw this.error(`${what} is '${text}', must be a number ${range}`);
    }
    return value;
  }

  /**
   * A duration such as `30s`, `1m30s` or `250ms`, in milliseconds.
   *
   * @param bareUnit milliseconds that a number without unit counts; without it such a number is an error.
   * @throws {CorefileError} if it is not a duration, or negative.
   */
  duration(index: number, what: string, bareUnit?: number): number {
    const text = this.arg(index, what);
    const value = bareUnit !== undefined && /^\d{1,9}$/.test(text) ? Number(text) * bareUnit : tryParseDuration(text);
    if (value === undefined) throw this.error(`${what} is '${text}', must be a duration like 30s or 1m30s`);
    return value;
  }
}

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A duration of Go's notation in milliseconds; undefined if it is none, or negative. */
export function tryParseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^\+?((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * (units[unit ?? ""] ?? 0);
  }
  return total;
}

/**
 * The directive of a plugin that may stand in a server block once.
 *
 * @param stanzas at least one.
 * @throws {CorefileError} at the second one.
 */
export function single([stanza, second]: readonly Stanza[]): Stanza {
  if (stanza === undefined) throw new TypeError("a plugin is set up without its directive");
  if (second !== undefined) throw second.error("may be given once in a server block");
  return stanza;
}
