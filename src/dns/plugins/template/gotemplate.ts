/**
 * The part of Go's text/template that Corefiles use: `{{ .Field }}`, calls (`{{ index .Match 1 }}`, `{{ .Meta "k" }}`,
 * `{{ printf "%02d" (parseInt .Group.n 10 8) }}`), pipelines, variables, `if`, `with` and `range` with `else` and
 * `end`, `{{- trimming -}}`.
 */
import { functions, memberOf, show, truth } from "./functions.ts";
import { Scope } from "./scope.ts";

/** What a template is filled with: fields, and functions that it may call. */
export interface TemplateData {
  readonly [field: string]: unknown;
}

/** A compiled template. It throws a TypeError if the data is not what the template wants. */
export type Template = (data: TemplateData) => string;

type Value = (scope: Scope) => unknown;
type Part = (scope: Scope) => string;

const limits = { length: 10_000, depth: 32 };

/**
 * Compiles a template.
 *
 * @throws {SyntaxError} if it is not one, or uses what is not supported.
 */
export function compileTemplate(text: string): Template {
  if (text.length > limits.length) throw new SyntaxError(`a template is longer than ${limits.length} characters`);
  const whole = new Parser(text).whole();
  return (data) => {
    const scope = new Scope(data);
    scope.declare("$", data);
    return whole(scope);
  };
}

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

  whole(): Part {
    const template = this.#sequence();
    if (this.#at < this.#parts.length) throw new SyntaxError(`unexpected {{ ${this.#parts[this.#at]?.text} }}`);
    return template;
  }

  /** Everything up to an `end` or `else`, which is left. */
  #sequence(): Part {
    const parts: Part[] = [];
    for (let part = this.#parts[this.#at]; part !== undefined; part = this.#parts[this.#at]) {
      const { action, text } = part;
      if (action && /^(end|else\b.*)$/s.test(text)) break;
      this.#at++;
      if (!action) parts.push(() => text);
      else if (/^if\s/.test(text)) parts.push(this.#choice(text.slice(3)));
      else if (/^with\s/.test(text)) parts.push(this.#with(text.slice(5)));
      else if (/^range\s/.test(text)) parts.push(this.#range(text.slice(6)));
      else if (/^(define|template|block|break|continue)\b/.test(text))
        throw new SyntaxError(`{{ ${text} }} is not supported`);
      else if (!text.startsWith("/*")) parts.push(output(text));
    }
    return (scope) => parts.map((part) => part(scope)).join("");
  }

  /** `{{ with VALUE }}`: the part for a value that is not empty, which becomes the dot. */
  #with(text: string): Part {
    const { names, value } = declaration(text, 1);
    const { yes, no } = this.#branches("with");
    return (scope) => {
      const dot = value(scope);
      if (!truth(dot)) return no(new Scope(scope.dot, scope));
      const inner = new Scope(dot, scope);
      for (const name of names) inner.declare(name, dot);
      return yes(inner);
    };
  }

  /** `{{ range VALUE }}`, `{{ range $value := VALUE }}`, `{{ range $index, $value := VALUE }}`. */
  #range(text: string): Part {
    const { names, value } = declaration(text, 2);
    const { yes, no } = this.#branches("range");
    return (scope) => {
      const list = entriesOf(value(scope));
      if (list.length === 0) return no(new Scope(scope.dot, scope));
      return list
        .map(([key, item]) => {
          const inner = new Scope(item, scope);
          const [first, second] = names;
          if (second !== undefined) inner.declare(second, item);
          if (first !== undefined) inner.declare(first, second === undefined ? item : key);
          return yes(inner);
        })
        .join("");
    };
  }

  /** The parts up to `else` and up to `end`. */
  #branches(of: string): { readonly yes: Part; readonly no: Part } {
    if (++this.#depth > limits.depth) throw new SyntaxError("a template is nested too deep");
    const yes = this.#sequence();
    let end = this.#parts[this.#at++]?.text;
    let no: Part = () => "";
    if (end === "else") {
      no = this.#sequence();
      end = this.#parts[this.#at++]?.text;
    }
    if (end !== "end") throw new SyntaxError(`{{ ${of} }} has no {{ end }}`);
    this.#depth--;
    return { yes, no };
  }

  #choice(condition: string): Part {
    if (++this.#depth > limits.depth) throw new SyntaxError("a template is nested too deep");
    const { names, value: test } = declaration(condition, 1);
    const yes = this.#sequence();
    let no: Part = () => "";
    const next = this.#parts[this.#at++];
    if (next === undefined) throw new SyntaxError("{{ if }} has no {{ end }}");
    if (next.text.startsWith("else if ")) {
      no = this.#choice(next.text.slice("else if ".length));
    } else if (next.text === "else") {
      no = this.#sequence();
      if (this.#parts[this.#at++]?.text !== "end") throw new SyntaxError("{{ else }} has no {{ end }}");
    }
    this.#depth--;
    return (scope) => {
      const inner = new Scope(scope.dot, scope);
      const value = test(scope);
      for (const name of names) inner.declare(name, value);
      return (truth(value) ? yes : no)(inner);
    };
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

/** What an action writes; one that declares or sets a variable writes nothing. */
function output(text: string): Part {
  const [, name, sign, rest = ""] = /^(\$\w+)\s*(:=|=)(.*)$/s.exec(text) ?? [];
  if (name === undefined) {
    const value = pipeline(text);
    return (scope) => show(value(scope));
  }
  const value = pipeline(rest);
  return (scope) => {
    if (sign === ":=") scope.declare(name, value(scope));
    else scope.assign(name, value(scope));
    return "";
  };
}

/** A value with the variables that are declared for it in front, at most so many. */
function declaration(text: string, most: number): { readonly names: readonly string[]; readonly value: Value } {
  const [, list, rest = ""] = /^\s*(\$\w+(?:\s*,\s*\$\w+)*)\s*:=(.*)$/s.exec(text) ?? [];
  const names = list?.split(",").map((name) => name.trim()) ?? [];
  if (names.length > most) throw new SyntaxError(`{{ ${text} }} declares too many variables`);
  return { names, value: pipeline(list === undefined ? text : rest) };
}

/** What `range` goes through: elements with their index, fields in the order of their names. */
function entriesOf(value: unknown): readonly (readonly [unknown, unknown])[] {
  if (Array.isArray(value)) return value.map((item, i) => [i, item]);
  if (typeof value === "object" && value !== null) return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  if (value === undefined) return [];
  throw new TypeError("range is for lists and maps");
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
  return (scope) => {
    const value = head(scope);
    if (typeof value === "function")
      return (value as (...values: unknown[]) => unknown)(...all.map((arg) => arg(scope)));
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
    return (scope) => fields.reduce<unknown>((value, field) => memberOf(value, field), scope.dot);
  }
  if (word.startsWith("$")) {
    const [name = "", ...fields] = word.split(".");
    return (scope) => fields.reduce<unknown>((value, field) => memberOf(value, field), scope.variable(name));
  }
  const call = Object.hasOwn(functions, word) ? functions[word] : undefined;
  if (call === undefined || !first) throw new SyntaxError(`function ${word} is not known here`);
  return () => call;
}
