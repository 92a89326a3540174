/** The text format of `iptables-save`: tables, chains and rules with their counters. */

/** A table as saved: its chains in their order. */
export interface SavedTable {
  /** `filter`, `nat`, `mangle`, `raw` or `security`. */
  readonly name: string;
  readonly chains: ReadonlyMap<string, SavedChain>;
}

/** A chain as saved. */
export interface SavedChain {
  readonly name: string;
  /** `ACCEPT` or `DROP` for a built-in chain; undefined for others. */
  readonly policy: string | undefined;
  readonly counters: Counters;
  readonly rules: readonly SavedRule[];
}

/** A rule as saved. */
export interface SavedRule {
  /** The rule without `-A` and chain: `-d 10.0.0.1/32 -j KUBE-SVC-…`. */
  readonly text: string;
  /** Undefined where the save was made without counters. */
  readonly counters: Counters | undefined;
}

/** How much traffic met a rule or a chain's policy. */
export interface Counters {
  readonly packets: number;
  readonly bytes: number;
}

/** Lines longer than this are not from `iptables-save`: a rule there has some hundred characters. */
const longestLine = 65_536;

const none: Counters = { packets: 0, bytes: 0 };

interface OpenChain extends SavedChain {
  readonly rules: SavedRule[];
}

/**
 * Reads `iptables-save` output piece by piece as it arrives, so that a million rules never stand in memory as one text.
 * Strict: whatever is not the format is an error with the line's number.
 */
export class SaveParser {
  readonly #tables: SavedTable[] = [];
  #chains: Map<string, OpenChain> | undefined;
  #rest = "";
  #line = 0;

  /**
   * Takes the next piece of output, cut anywhere.
   *
   * @throws {SyntaxError} on a line that is not of the format.
   */
  push(piece: string): void {
    const text = this.#rest + piece;
    let start = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      this.#readLine(text.slice(start, end));
      start = end + 1;
    }
    this.#rest = text.slice(start);
    if (this.#rest.length > longestLine) this.#fail(this.#rest, `is longer than ${longestLine} characters`);
  }

  /**
   * The tables, once all output has been pushed.
   *
   * @throws {SyntaxError} if the output ended within a table.
   */
  end(): readonly SavedTable[] {
    if (this.#rest !== "") this.#readLine(this.#rest);
    this.#rest = "";
    if (this.#chains !== undefined) throw new SyntaxError("iptables-save output ends within a table, without COMMIT");
    return this.#tables;
  }

  #readLine(line: string): void {
    this.#line++;
    if (line === "" || line.startsWith("#")) return;
    if (line.startsWith("*")) {
      if (this.#chains !== undefined) this.#fail(line, "begins a table within another");
      this.#chains = new Map();
      this.#tables.push({ name: line.slice(1).trim(), chains: this.#chains });
      return;
    }
    if (this.#chains === undefined) this.#fail(line, "stands outside of a table");
    else if (line === "COMMIT") this.#chains = undefined;
    else if (line.startsWith(":")) this.#readChain(line, this.#chains);
    else this.#readRule(line, this.#chains);
  }

  #readChain(line: string, chains: Map<string, OpenChain>): void {
    const [, name, policy, packets, bytes] = /^:(\S+) (\S+)(?: \[(\d+):(\d+)\])?\s*$/.exec(line) ?? [];
    if (name === undefined || policy === undefined || chains.has(name)) {
      this.#fail(line, "is not a new chain like :NAME ACCEPT [0:0]");
      return;
    }
    chains.set(name, {
      name,
      policy: policy === "-" ? undefined : policy,
      counters:
        (packets ?? "0") === "0" && (bytes ?? "0") === "0" ? none : { packets: Number(packets), bytes: Number(bytes) },
      rules: [],
    });
  }

  #readRule(line: string, chains: Map<string, OpenChain>): void {
    const [prefix = "", packets, bytes] = line.startsWith("[") ? (/^\[(\d+):(\d+)\] /.exec(line) ?? []) : [];
    const start = prefix.length + "-A ".length;
    // Without a pattern: a node may have a million rules.
    const blank = line.indexOf(" ", start);
    const end = blank < 0 ? line.length : blank;
    const chain = line.startsWith("-A ", prefix.length) ? chains.get(line.slice(start, end)) : undefined;
    if (chain === undefined) {
      this.#fail(line, "is not a rule of a chain of this table");
      return;
    }
    const counters = packets === undefined ? undefined : { packets: Number(packets), bytes: Number(bytes) };
    chain.rules.push({ text: line.slice(end + 1), counters });
  }

  #fail(line: string, what: string): never {
    throw new SyntaxError(`iptables-save output, line ${this.#line}: ${JSON.stringify(line.slice(0, 200))} ${what}`);
  }
}

/**
 * Reads the whole output of `iptables-save`.
 *
 * @throws {SyntaxError} on anything that is not of the format.
 */
export function parseSave(text: string): readonly SavedTable[] {
  const parser = new SaveParser();
  parser.push(text);
  return parser.end();
}
