/**
 * Expressions over a query, as plugins view, template and rewrite take them: the part of the expr language
 * (github.com/expr-lang/expr) that Corefiles use. Literals, lists, calls, `.` and `[]`, `!`/`not`, arithmetic,
 * comparison, `in`, `not in`, `contains`, `startsWith`, `endsWith`, `matches`, `&&`/`and`, `||`/`or`, `?:`, `??`.
 */
import { compilePattern, type Pattern } from "../pattern.ts";
import { type ExpressionToken, tokensOf } from "./lexer.ts";

/** What names in an expression mean. */
export type Scope = Readonly<Record<string, unknown>>;

/** A compiled expression. It throws a TypeError if operators meet values that they are not for. */
export type Expression = (scope: Scope) => unknown;

/** Characters of an expression, and how deep it may be nested. */
const limits = { length: 10_000, depth: 100 };

/**
 * Compiles an expression.
 *
 * @param known the names that it may use; any if undefined.
 * @throws {SyntaxError} if it is not one, or uses another name.
 */
export function compileExpression(text: string, known?: readonly string[]): Expression {
  if (text.length > limits.length) throw new SyntaxError(`an expression is longer than ${limits.length} characters`);
  return new Parser(text, known).whole();
}

type Operation = (left: unknown, right: unknown) => unknown;

const compare =
  (test: (left: number | string, right: number | string) => boolean): Operation =>
  (left, right) => {
    const comparable =
      (typeof left === "number" && typeof right === "number") ||
      (typeof left === "string" && typeof right === "string");
    if (!comparable) throw new TypeError("only two numbers or two strings can be compared");
    return test(left as never, right as never);
  };
const calculate =
  (operation: (left: number, right: number) => number): Operation =>
  (left, right) => {
    if (typeof left !== "number" || typeof right !== "number") throw new TypeError("arithmetic is for numbers");
    return operation(left, right);
  };
const onText =
  (test: (left: string, right: string) => boolean): Operation =>
  (left, right) => {
    if (typeof left !== "string" || typeof right !== "string") throw new TypeError("this operator is for strings");
    return test(left, right);
  };
const isIn: Operation = (left, right) => {
  if (Array.isArray(right)) return right.includes(left);
  if (typeof right === "object" && right !== null) return Object.hasOwn(right, String(left));
  throw new TypeError("in is for lists");
};

/** Patterns are mostly constants; those that come from queries must not fill the memory. */
const maxPatterns = 100;
const patterns = new Map<string, Pattern>();

function patternOf(source: string): Pattern {
  const known = patterns.get(source);
  if (known !== undefined) return known;
  if (patterns.size >= maxPatterns) patterns.clear();
  const pattern = compilePattern(source);
  patterns.set(source, pattern);
  return pattern;
}

/** Operators with two sides and how strongly they bind. `&&`, `||`, `??` and `?:` are made by the parser. */
const operations: Readonly<Record<string, readonly [number, Operation]>> = {
  "==": [20, (left, right) => left === right],
  "!=": [20, (left, right) => left !== right],
  "<": [20, compare((left, right) => left < right)],
  "<=": [20, compare((left, right) => left <= right)],
  ">": [20, compare((left, right) => left > right)],
  ">=": [20, compare((left, right) => left >= right)],
  in: [20, isIn],
  contains: [20, onText((left, right) => left.includes(right))],
  startsWith: [20, onText((left, right) => left.startsWith(right))],
  endsWith: [20, onText((left, right) => left.endsWith(right))],
  matches: [20, onText((left, right) => patternOf(right).test(left))],
  "+": [30, (left, right) => (typeof left === "string" && typeof right === "string" ? left + right : add(left, right))],
  "-": [30, calculate((left, right) => left - right)],
  "*": [40, calculate((left, right) => left * right)],
  "/": [40, calculate((left, right) => left / right)],
  "%": [40, calculate((left, right) => left % right)],
  "**": [50, calculate((left, right) => left ** right)],
};
const add = calculate((left, right) => left + right);
const unaryStrength = 45;

class Parser {
  readonly #text: string;
  readonly #known: readonly string[] | undefined;
  readonly #tokens: readonly ExpressionToken[];
  #at = 0;
  #depth = 0;

  constructor(text: string, known: readonly string[] | undefined) {
    this.#text = text;
    this.#known = known;
    this.#tokens = tokensOf(text);
  }

  whole(): Expression {
    const expression = this.#choice();
    if (this.#peek().kind !== "end") throw this.#unexpected();
    return expression;
  }

  /** `condition ? a : b` and everything that binds stronger. */
  #choice(): Expression {
    if (++this.#depth > limits.depth) throw new SyntaxError("an expression is nested too deep");
    const condition = this.#either();
    this.#depth--;
    if (!this.#take("?")) return condition;
    const yes = this.#choice();
    if (!this.#take(":")) throw this.#unexpected();
    const no = this.#choice();
    return (scope) => (truth(condition(scope)) ? yes(scope) : no(scope));
  }

  #either(): Expression {
    let left = this.#both();
    for (;;) {
      const first = left;
      if (this.#take("||") || this.#take("or")) {
        const right = this.#both();
        left = (scope) => truth(first(scope)) || truth(right(scope));
      } else if (this.#take("??")) {
        const right = this.#both();
        left = (scope) => first(scope) ?? right(scope);
      } else {
        return left;
      }
    }
  }

  #both(): Expression {
    let left = this.#binary(0);
    while (this.#take("&&") || this.#take("and")) {
      const first = left;
      const right = this.#binary(0);
      left = (scope) => truth(first(scope)) && truth(right(scope));
    }
    return left;
  }

  #binary(strength: number): Expression {
    let left = this.#unary();
    for (;;) {
      const negated = this.#isNotIn();
      const symbol = negated ? "in" : this.#symbol();
      const entry = symbol !== undefined && Object.hasOwn(operations, symbol) ? operations[symbol] : undefined;
      if (entry === undefined || entry[0] <= strength) return left;
      this.#at += negated ? 2 : 1;
      const first = left;
      const right = this.#binary(entry[0]);
      const operation = entry[1];
      left = negated
        ? (scope) => !operation(first(scope), right(scope))
        : (scope) => operation(first(scope), right(scope));
    }
  }

  #unary(): Expression {
    if (this.#take("!") || this.#take("not")) {
      const operand = this.#unary();
      return (scope) => !truth(operand(scope));
    }
    if (this.#take("-")) {
      const operand = this.#binary(unaryStrength);
      return (scope) => add(0, -Number(operand(scope)));
    }
    return this.#postfix(this.#primary());
  }

  #postfix(start: Expression): Expression {
    let value = start;
    for (;;) {
      const target = value;
      if (this.#take(".")) {
        const name = this.#next();
        if (name.kind !== "name") throw this.#unexpected();
        value = (scope) => memberOf(target(scope), name.text);
      } else if (this.#take("[")) {
        const index = this.#choice();
        if (!this.#take("]")) throw this.#unexpected();
        value = (scope) => memberOf(target(scope), index(scope));
      } else if (this.#take("(")) {
        const args = this.#list(")");
        value = (scope) => {
          const call = target(scope);
          if (typeof call !== "function") throw new TypeError("what is called is not a function");
          return (call as (...values: unknown[]) => unknown)(...args.map((arg) => arg(scope)));
        };
      } else {
        return value;
      }
    }
  }

  #primary(): Expression {
    const token = this.#next();
    if (token.kind === "value") return () => token.value;
    if (token.kind === "name") {
      const { text } = token;
      if (this.#known?.includes(text) === false && !Object.hasOwn(constants, text)) {
        throw new SyntaxError(`'${text}' is not known, only ${this.#known.join(", ")}`);
      }
      return named(text);
    }
    if (token.kind === "operator" && token.text === "(") {
      const inner = this.#choice();
      if (!this.#take(")")) throw this.#unexpected();
      return inner;
    }
    if (token.kind === "operator" && token.text === "[") {
      const items = this.#list("]");
      return (scope) => items.map((item) => item(scope));
    }
    this.#at--;
    throw this.#unexpected();
  }

  #list(end: string): Expression[] {
    const items: Expression[] = [];
    while (!this.#take(end)) {
      if (items.length > 0 && !this.#take(",")) throw this.#unexpected();
      items.push(this.#choice());
    }
    return items;
  }

  #isNotIn(): boolean {
    const next = this.#tokens[this.#at + 1];
    return this.#symbol() === "not" && next?.kind === "name" && next.text === "in";
  }

  #symbol(): string | undefined {
    const token = this.#peek();
    return token.kind === "operator" || token.kind === "name" ? token.text : undefined;
  }

  #take(symbol: string): boolean {
    if (this.#symbol() !== symbol) return false;
    this.#at++;
    return true;
  }

  #peek(): ExpressionToken {
    return this.#tokens[this.#at] ?? { kind: "end" };
  }

  #next(): ExpressionToken {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #unexpected(): SyntaxError {
    const token = this.#peek();
    const what = token.kind === "end" ? "end" : JSON.stringify(token.kind === "value" ? token.value : token.text);
    return new SyntaxError(`unexpected ${what} in '${this.#text}'`);
  }
}

const constants: Readonly<Record<string, unknown>> = { true: true, false: false, nil: undefined };

function named(name: string): Expression {
  if (Object.hasOwn(constants, name)) return () => constants[name];
  return (scope) => {
    if (!Object.hasOwn(scope, name)) throw new TypeError(`unknown name ${name}`);
    return scope[name];
  };
}

function memberOf(value: unknown, key: unknown): unknown {
  if (Array.isArray(value) && typeof key === "number") return value.at(key);
  if (typeof value === "object" && value !== null && Object.hasOwn(value, String(key))) {
    return (value as Scope)[String(key)];
  }
  return undefined;
}

function truth(value: unknown): boolean {
  if (typeof value !== "boolean") throw new TypeError("a condition must be true or false");
  return value;
}
