/** Parses a Corefile into server blocks: keys, directives, snippets, imports, environment variables. */
import { dirname, isAbsolute, join } from "node:path";
import { CorefileError, lex, type Token } from "./lexer.ts";
import { Stanza } from "./stanza.ts";

/** What a server serves: its keys (zones and addresses) and its directives in the order of the file. */
export interface ServerBlock {
  readonly keys: readonly Token[];
  readonly stanzas: readonly Stanza[];
}

/** What the parser needs from outside. */
export interface CorefileHost {
  /** Reads a file; throws if that is not possible. */
  readonly readFile: (path: string) => string;
  /** The files that match a pattern with one `*` or `?`, sorted. */
  readonly glob: (pattern: string) => readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly warn: (message: string) => void;
}

/** Expansions of snippets and of files before a Corefile is taken to import itself without end. */
const limits = { snippets: 10_000, files: 100_000 };

/**
 * Parses a Corefile.
 *
 * @param file its path: imports are relative to it.
 * @param known names of directives; others are errors.
 * @throws {CorefileError} with file and line.
 */
export function parseCorefile(
  text: string,
  file: string,
  known: ReadonlySet<string>,
  host: CorefileHost,
): readonly ServerBlock[] {
  return new Parser(lex(text, file), file, known, host).blocks();
}

class Parser {
  #tokens: readonly Token[];
  readonly #file: string;
  readonly #known: ReadonlySet<string>;
  readonly #host: CorefileHost;
  readonly #snippets = new Map<string, readonly Token[]>();
  #at = 0;
  #snippetImports = 0;
  #fileImports = 0;

  constructor(tokens: readonly Token[], file: string, known: ReadonlySet<string>, host: CorefileHost) {
    this.#tokens = tokens;
    this.#file = file;
    this.#known = known;
    this.#host = host;
  }

  blocks(): ServerBlock[] {
    const blocks: ServerBlock[] = [];
    while (this.#peek()) {
      const block = this.#block();
      if (block) blocks.push(block);
    }
    return blocks;
  }

  /** One server block or, without a result, the definition of a snippet. */
  #block(): ServerBlock | undefined {
    const keys = this.#keys();
    const [key] = keys;
    if (key === undefined) {
      if (this.#peek()) throw this.#unexpected("a server block has no key: write a zone before '{', such as .:53");
      return undefined;
    }
    if (keys.length === 1 && /^\(.*\)$/s.test(key.text)) {
      this.#snippet(key);
      return undefined;
    }
    const braces = this.#take("{");
    const stanzas: Stanza[] = [];
    for (;;) {
      this.#imports();
      const next = this.#peek();
      if (next === undefined) {
        if (braces) throw this.#endOfFile("'}'");
        break;
      }
      if (next.text === "}") {
        if (!braces) throw this.#unexpected("'}' closes nothing");
        this.#at++;
        break;
      }
      stanzas.push(this.#directive());
    }
    return { keys, stanzas };
  }

  #keys(): Token[] {
    const keys: Token[] = [];
    let comma = false;
    for (;;) {
      this.#imports();
      const token = this.#peek();
      if (token === undefined) {
        if (comma) throw this.#endOfFile("a key");
        break;
      }
      const text = this.#expand(token.text);
      if (text === "{") {
        if (comma) throw this.#unexpected("expected another key before '{': is there a superfluous comma?");
        break;
      }
      if (keys.length > 0 && token.startsLine && !comma) break;
      this.#at++;
      comma = text.endsWith(",");
      const key = comma ? text.slice(0, -1) : text;
      if (key !== "") keys.push({ ...token, text: key });
    }
    return keys;
  }

  #snippet(key: Token): void {
    const name = key.text.slice(1, -1);
    if (this.#snippets.has(name)) throw new CorefileError(key, `snippet '${name}' is declared twice`);
    if (!this.#take("{")) throw new CorefileError(key, `snippet '${name}' has no '{' after its name`);
    const tokens: Token[] = [];
    for (let depth = 1; ; ) {
      const token = this.#tokens[this.#at++];
      if (token === undefined) throw this.#endOfFile("'}'");
      if (token.text === "{") depth++;
      if (token.text === "}" && --depth === 0) break;
      tokens.push(tokens.length === 0 ? { ...token, startsLine: true } : token);
    }
    const itself = tokens.some(({ text }, i) => text === "import" && tokens[i + 1]?.text === name);
    if (itself) throw new CorefileError(key, `snippet '${name}' imports itself`);
    this.#snippets.set(name, tokens);
  }

  #directive(): Stanza {
    const token = this.#peek();
    if (token !== undefined && !this.#known.has(this.#expand(token.text))) {
      throw new CorefileError(token, `Unknown directive '${this.#expand(token.text)}'`);
    }
    return this.#line();
  }

  /** A directive or a line of its block, which may have a block itself. */
  #line(): Stanza {
    const first = this.#tokens[this.#at++];
    if (first === undefined) throw this.#endOfFile("a directive");
    const args: string[] = [];
    let block: Stanza[] | undefined;
    for (let next = this.#peek(); next !== undefined && !next.startsLine; next = this.#peek()) {
      if (next.text === "}") break;
      this.#at++;
      if (next.text !== "{") {
        args.push(this.#expand(next.text));
        continue;
      }
      block = this.#lines();
      break;
    }
    return new Stanza({ ...first, text: this.#expand(first.text) }, args, block);
  }

  /** The lines of a block whose opening brace was taken, with its closing brace. */
  #lines(): Stanza[] {
    const lines: Stanza[] = [];
    for (;;) {
      this.#imports();
      const next = this.#peek();
      if (next === undefined) throw this.#endOfFile("'}'");
      if (next.text === "}") {
        this.#at++;
        return lines;
      }
      if (next.text === "{") throw this.#unexpected("'{' must stand at the end of the line that it belongs to");
      lines.push(this.#line());
    }
  }

  /** Replaces `import` at the start of a line by what it imports. */
  #imports(): void {
    while (this.#peek()?.text === "import" && this.#peek()?.startsLine) {
      const directive = this.#tokens[this.#at];
      const pattern = this.#tokens[this.#at + 1];
      if (directive === undefined || pattern === undefined || pattern.startsLine) {
        throw this.#unexpected("import needs a file, a pattern or the name of a snippet");
      }
      const extra = this.#tokens[this.#at + 2];
      if (extra !== undefined && !extra.startsLine && extra.text !== "}") {
        throw this.#unexpected("import takes only one argument");
      }
      const imported = this.#imported(directive, this.#expand(pattern.text));
      this.#tokens = this.#tokens.slice(0, this.#at).concat(imported, this.#tokens.slice(this.#at + 2));
    }
  }

  #imported(directive: Token, pattern: string): readonly Token[] {
    const snippet = this.#snippets.get(pattern);
    if (snippet !== undefined) {
      if (++this.#snippetImports > limits.snippets) throw new CorefileError(directive, "too many imports of snippets");
      return snippet;
    }
    const path = isAbsolute(pattern) ? pattern : join(dirname(directive.file), pattern);
    const wild = (pattern.match(/[*?]/g) ?? []).length;
    if (wild > 1 || /[[\]]/.test(pattern)) {
      throw new CorefileError(directive, `import: '${pattern}' may have one wildcard, * or ?, and no []`);
    }
    const files = wild === 0 ? [path] : this.#host.glob(path);
    if (files.length === 0) this.#host.warn(`${directive.file}:${directive.line}: no file matches ${pattern}`);
    return files.flatMap((file) => {
      if (++this.#fileImports > limits.files) throw new CorefileError(directive, "too many imports of files");
      try {
        return lex(this.#host.readFile(file), file);
      } catch (error) {
        if (error instanceof CorefileError) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        throw new CorefileError(directive, `cannot import ${file}: ${reason}`);
      }
    });
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #take(text: string): boolean {
    if (this.#peek()?.text !== text) return false;
    this.#at++;
    return true;
  }

  #expand(text: string): string {
    if (!text.includes("{")) return text;
    const value = (_: string, name: string) => this.#host.env[name] ?? "";
    return text.replace(/\{%([^%{}]+)%\}/g, value).replace(/\{\$([^{}]+)\}/g, value);
  }

  #unexpected(message: string): CorefileError {
    return new CorefileError(this.#peek() ?? { file: this.#file, line: 1 }, message);
  }

  #endOfFile(expected: string): CorefileError {
    return new CorefileError(
      this.#tokens.at(-1) ?? { file: this.#file, line: 1 },
      `the file ends where ${expected} is expected`,
    );
  }
}
