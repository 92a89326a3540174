/** Where a part of a template is filled. */

/** What `.` is in a part of a template, and its variables, with those of the parts around it. */
export class Scope {
  readonly dot: unknown;
  readonly #outer: Scope | undefined;
  readonly #variables = new Map<string, unknown>();

  constructor(dot: unknown, outer?: Scope) {
    this.dot = dot;
    this.#outer = outer;
  }

  /** Makes a variable of this part. */
  declare(name: string, value: unknown): void {
    this.#variables.set(name, value);
  }

  /** Sets a variable of this part or of one around it. @throws {TypeError} if there is none. */
  assign(name: string, value: unknown): void {
    if (this.#variables.has(name)) this.#variables.set(name, value);
    else if (this.#outer !== undefined) this.#outer.assign(name, value);
    else throw new TypeError(`variable ${name} was not declared`);
  }

  /** The value of a variable. @throws {TypeError} if there is none. */
  variable(name: string): unknown {
    if (this.#variables.has(name)) return this.#variables.get(name);
    if (this.#outer === undefined) throw new TypeError(`variable ${name} was not declared`);
    return this.#outer.variable(name);
  }
}
