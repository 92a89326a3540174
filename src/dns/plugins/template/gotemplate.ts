/**
 * The part of Go's text/template that Corefiles use: `{{ .Field }}`, calls (`{{ index .Match 1 }}`, `{{ .Meta "k" }}`,
 * `{{ printf "%02d" (parseInt .Group.n 10 8) }}`), pipelines, `{{ if }}...{{ else }}...{{ end }}`, `{{- trimming -}}`.
 */

/** What a template is filled with: fields, and functions that it may call. */
export interface TemplateData {
  readonly [field: string]: unknown;
}

/** A compiled template. It throws a TypeError if the data is not what the template wants. */
export type Template = (data: TemplateData) => string;

type Value = (data: TemplateData) => unknown;
type Part = Template;

const limits = { length: 10_000, depth: 32 };

/**
 * Compiles a template.
 *
 * @throws {SyntaxError} if it is not one, or uses what is not supported.
 */
export function compileTemplate(text: string): Template {
  if (text.length > limits.length) throw new SyntaxError(`a template is longer than ${limits.length} characters`);
  return new Parser(text).whole();
}

const functions: Readonly<Record<string, (...args: unknown[]) => unknown>> = {
  index: (value, ...keys) => keys.reduce<unknown>((inner, key) => memberOf(inner, key), value),
  len: (value) => (typeof value === "string" || Array.isArray(value) ? value.length : 0),
  print: (...args) => args.map(show).join(""),
  printf: (format, ...args) => printf(String(format), args),
  eq: (first, ...others) => others.some((other) => first === other),
  ne: (first, second) => first !== second,
  lt: (first, second) => Number(first) < Number(second),
  gt: (first, second) => Number(first) > Number(second),
  not: (value) => !truth(value),
  and: (...args) => args.find((arg) => !truth(arg)) ?? args.at(-1),
  or: (...args) => args.find(truth) ?? args.at(-1),
  parseInt: parseInteger,
};

class Parser {
  readonly #parts: readonly { readonly action: boolean; readonly text: string }[];
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    const parts: { action: boolean; text: string }[] = [];
    let rest = text;
    for (let open = rest.indexOf("{{"); open >= 0; open = rest.indexOf("{{")) {
      const close = actionEnd(rest, open + 2);
      if (close < 0) throw new SyntaxError(`'${text}' has a {{ without }}`);
      let before = rest.slice(0, open);
      let action = rest.slice(open + 2, close);
      rest = rest.slice(close + 2);
      if (/^-\s/.test(action)) {
        before = before.trimEnd();
        action = action.slice(1);
      }
      if (/\s-$/.test(action)) {
        rest = rest.trimStart();
        action = action.slice(0, -1);
      }
      parts.push({ action: false, text: before }, { action: true, text: action.trim() });
    }
    this.#parts = [...parts, { action: false, text: rest }];
  }

  whole(): Template {
    const template = this.#sequence();
    if (this.#at < this.#parts.length) throw new SyntaxError(`unexpected {{ ${this.#parts[this.#at]?.text} }}`);
    return template;
  }

  /** Everything up to an `end` or `else`, which is left. */
  #sequence(): Template {
    const parts: Part[] = [];
    for (let part = this.#parts[this.#at]; part !== undefined; part = this.#parts[this.#at]) {
      const { action, text } = part;
      if (action && /^(end|else\b.*)$/s.test(text)) break;
      this.#at++;
      if (!action) parts.push(() => text);
      else if (/^if\s/.test(text)) parts.push(this.#choice(text.slice(3)));
      else if (/^(range|with|define|template|block)\b/.test(text))
        throw new SyntaxError(`{{ ${text} }} is not supported`);
      else if (!text.startsWith("/*")) parts.push(output(pipeline(text)));
    }
    return (data) => parts.map((part) => part(data)).join("");
  }

  #choice(condition: string): Template {
    if (++this.#depth > limits.depth) throw new SyntaxError("a template is nested too deep");
    const test = pipeline(condition);
    const yes = this.#sequence();
    let no: Template = () => "";
    const next = this.#parts[this.#at++];
    if (next === undefined) throw new SyntaxError("{{ if }} has no {{ end }}");
    if (next.text.startsWith("else if ")) {
      no = this.#choice(next.text.slice("else if ".length));
    } else if (next.text === "else") {
      no = this.#sequence();
      if (this.#parts[this.#at++]?.text !== "end") throw new SyntaxError("{{ else }} has no {{ end }}");
    }
    this.#depth--;
    return (data) => (truth(test(data)) ? yes : no)(data);
  }
}

/** Where the action that begins at an offset ends; strings in it may contain `}}`. */
function actionEnd(text: string, start: number): number {
  const pattern = /"(?:[^"\\]|\\.)*"|`[^`]*`|\}\}/gs;
  pattern.lastIndex = start;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    if (match[0] === "}}") return match.index;
  }
  return -1;
}

function output(value: Value): Part {
  return (data) => show(value(data));
}

const wordPattern = /\s*("(?:[^"\\]|\\.)*"|`[^`]*`|\||\(|\)|[^\s|()"`]+)/gsy;

/** `command | command`: each gets the result of the one before as its last argument. */
function pipeline(text: string): Value {
  wordPattern.lastIndex = 0;
  const words: string[] = [];
  const source = text.trim();
  for (let match = wordPattern.exec(source); match !== null; match = wordPattern.exec(source))
    words.push(match[1] ?? "");
  const state = { words, at: 0, depth: 0 };
  const value = readPipeline(state);
  if (state.at < words.length || words.length === 0) throw new SyntaxError(`{{ ${text} }} cannot be understood`);
  return value;
}

interface WordState {
  readonly words: readonly string[];
  at: number;
  depth: number;
}

function readPipeline(state: WordState): Value {
  let value = readCommand(state, undefined);
  while (state.words[state.at] === "|") {
    state.at++;
    value = readCommand(state, value);
  }
  return value;
}

function readCommand(state: WordState, last: Value | undefined): Value {
  const operands: Value[] = [];
  const start = state.words[state.at];
  for (
    let word = state.words[state.at];
    word !== undefined && word !== "|" && word !== ")";
    word = state.words[state.at]
  ) {
    operands.push(readOperand(state, operands.length === 0));
  }
  const [head, ...args] = operands;
  if (head === undefined) throw new SyntaxError("a command is missing");
  const all = last === undefined ? args : [...args, last];
  return (data) => {
    const value = head(data);
    if (typeof value === "function")
      return (value as (...values: unknown[]) => unknown)(...all.map((arg) => arg(data)));
    if (all.length > 0) throw new TypeError(`${start} is not a function`);
    return value;
  };
}

function readOperand(state: WordState, first: boolean): Value {
  const word = state.words[state.at++] ?? "";
  if (word === "(") {
    if (++state.depth > limits.depth) throw new SyntaxError("a template is nested too deep");
    const inner = readPipeline(state);
    if (state.words[state.at++] !== ")") throw new SyntaxError("a parenthesis is not closed");
    state.depth--;
    return inner;
  }
  if (word.startsWith('"')) {
    const text: unknown = JSON.parse(word);
    return () => text;
  }
  if (word.startsWith("`")) return () => word.slice(1, -1);
  if (/^-?\d+(\.\d+)?$/.test(word)) return () => Number(word);
  if (word === "true" || word === "false") return () => word === "true";
  if (word.startsWith(".")) {
    const fields = word === "." ? [] : word.slice(1).split(".");
    return (data) => fields.reduce<unknown>((value, field) => memberOf(value, field), data);
  }
  const call = Object.hasOwn(functions, word) ? functions[word] : undefined;
  if (call === undefined || !first) throw new SyntaxError(`function ${word} is not known here`);
  return () => call;
}

function memberOf(value: unknown, key: unknown): unknown {
  if (Array.isArray(value) && typeof key === "number") return value[key];
  if (typeof value === "object" && value !== null && Object.hasOwn(value, String(key))) {
    return (value as TemplateData)[String(key)];
  }
  return undefined;
}

function truth(value: unknown): boolean {
  return (
    value !== undefined &&
    value !== false &&
    value !== 0 &&
    value !== "" &&
    !(Array.isArray(value) && value.length === 0)
  );
}

function show(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
  throw new TypeError("a value that is not text, number or boolean cannot be written");
}

/** `parseInt TEXT BASE BITS`, as Go's strconv.ParseUint: an error for what is not a number of so many bits. */
function parseInteger(text: unknown, base: unknown = 10, bits: unknown = 64): number {
  const value = Number.parseInt(String(text), Number(base));
  if (!/^[0-9a-zA-Z]+$/.test(String(text)) || Number.isNaN(value) || value >= 2 ** Math.min(53, Number(bits) || 53)) {
    throw new TypeError(`parseInt: ${String(text)} is not a number of ${bits} bits`);
  }
  return value;
}

function printf(format: string, args: readonly unknown[]): string {
  let index = 0;
  return format.replace(/%(0?)(\d*)([sdvxXq%])/g, (_, zero: string, width: string, verb: string) => {
    if (verb === "%") return "%";
    const value = args[index++];
    let text = show(value);
    if (verb === "x" || verb === "X") text = Number(value).toString(16);
    if (verb === "X") text = text.toUpperCase();
    if (verb === "q") text = JSON.stringify(text);
    return text.padStart(Math.min(Number(width), 255), zero === "0" ? "0" : " ");
  });
}
