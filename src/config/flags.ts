/**
 * Command line flags as the programs we stand in for parse them: GNU style as Kubernetes components do it
 * (github.com/spf13/pflag, `_` counts as `-`), and the style of Go's own flag package.
 */
import { formatDuration, tryParseDuration } from "./duration.ts";
import { closestName, commandLine, InvalidInputError } from "./problems.ts";

/** A flag with values of type `T`. */
export interface Flag<T> {
  /** What the help shows after the name, e.g. `duration`; empty for switches. */
  readonly kind: string;
  readonly default: T;
  /** What it does, one or a few sentences. */
  readonly help: string;
  /** One letter, for `-v 2`. */
  readonly shorthand?: string;
  /** What to use instead; giving the flag warns. */
  readonly deprecated?: string;
  /** True: the value is optional and `true` where it is missing. */
  readonly isSwitch: boolean;
  /** Reads a value; `before` is what the same flag said earlier on the line. Undefined: not of this kind. */
  readonly parse: (text: string, before: T | undefined) => T | undefined;
  /** Writes a value as it could be given. */
  readonly format: (value: T) => string;
}

/** Flags by name. */
export type Flags = Readonly<Record<string, AnyFlag>>;

// biome-ignore lint/suspicious/noExplicitAny: a table of flags holds flags of different types, each used with its own
type AnyFlag = Flag<any>;

/** The values of a table of flags: those given, else the defaults. */
export type FlagValues<F extends Flags> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

/** A parsed command line. */
export interface ParsedFlags<F extends Flags> {
  readonly values: FlagValues<F>;
  /** The names that were given. */
  readonly given: ReadonlySet<keyof F & string>;
  /** Arguments that are not flags. */
  readonly rest: readonly string[];
  /** One line for each deprecated flag given. */
  readonly warnings: readonly string[];
}

/** Help, and what else a flag may have. */
export interface FlagText {
  readonly help: string;
  readonly shorthand?: string;
  readonly deprecated?: string;
}

const identity = (text: string) => text;

/** `--name` or `--name=true|false`. */
export function switchFlag(value: boolean, text: FlagText): Flag<boolean> {
  const parse = (given: string) => {
    if (/^(1|t|T|true|TRUE|True)$/.test(given)) return true;
    return /^(0|f|F|false|FALSE|False)$/.test(given) ? false : undefined;
  };
  return { kind: "", default: value, isSwitch: true, parse, format: String, ...text };
}

/** `--name text` */
export function stringFlag(value: string, text: FlagText, kind = "string"): Flag<string> {
  return { kind, default: value, isSwitch: false, parse: identity, format: identity, ...text };
}

/** `--name 14`: a whole number of 32 bits. */
export function intFlag(value: number, text: FlagText): Flag<number> {
  const parse = (given: string) => {
    const number = /^[-+]?(0[xX][\da-fA-F]+|\d+)$/.test(given) ? Number(given) : Number.NaN;
    return number === (number | 0) ? number : undefined;
  };
  return { kind: "int", default: value, isSwitch: false, parse, format: String, ...text };
}

/** `--name 0.5` */
export function floatFlag(value: number, text: FlagText): Flag<number> {
  const parse = (given: string) => (/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(given) ? Number(given) : undefined);
  return { kind: "float", default: value, isSwitch: false, parse, format: String, ...text };
}

/** `--name 1m30s`; the value is in milliseconds. */
export function durationFlag(value: number, text: FlagText): Flag<number> {
  return {
    kind: "duration",
    default: value,
    isSwitch: false,
    parse: tryParseDuration,
    format: formatDuration,
    ...text,
  };
}

/** `--name a,b --name c` */
export function stringsFlag(value: readonly string[], text: FlagText): Flag<readonly string[]> {
  const parse = (given: string, before: readonly string[] = []) => [
    ...before,
    ...(given === "" ? [] : given.split(",")),
  ];
  return { kind: "strings", default: value, isSwitch: false, parse, format: (items) => items.join(","), ...text };
}

/** `--name A=true,B=false` */
export function switchesFlag(text: FlagText): Flag<Readonly<Record<string, boolean>>> {
  return {
    kind: "name=true|false,...",
    default: {},
    isSwitch: false,
    parse(given, before = {}) {
      const result: Record<string, boolean> = { ...before };
      for (const part of given.split(",").filter((entry) => entry.trim() !== "")) {
        const match = /^\s*([^=\s]+)\s*=\s*(true|false)\s*$/i.exec(part);
        if (!match?.[1]) return undefined;
        result[match[1]] = match[2]?.toLowerCase() === "true";
      }
      return result;
    },
    format: (value) =>
      Object.entries(value)
        .map(([name, on]) => `${name}=${on}`)
        .join(","),
    ...text,
  };
}

/** How flags are written: `pflag` is `--name`, `-v`, anywhere; `go` is `-name` or `--name` up to the first argument. */
export type FlagStyle = "pflag" | "go";

/**
 * Parses a command line without the program's name.
 *
 * @throws {InvalidInputError} with everything that is wrong.
 */
export function parseFlags<F extends Flags>(
  flags: F,
  args: readonly string[],
  style: FlagStyle = "pflag",
): ParsedFlags<F> {
  const given = new Map<string, unknown>();
  const rest: string[] = [];
  const problems: string[] = [];
  const warnings: string[] = [];
  const dash = style === "go" ? "-" : "--";

  const set = (name: string, text: string, shown: string) => {
    const flag = flags[name];
    if (flag === undefined) return;
    const value: unknown = flag.parse(text, given.get(name));
    if (value === undefined) {
      const wanted = flag.isSwitch ? "must be true or false" : `must be of the form ${flag.kind}`;
      problems.push(`invalid argument ${JSON.stringify(text)} for ${shown}: ${wanted}`);
      return;
    }
    if (flag.deprecated !== undefined && !given.has(name)) {
      warnings.push(`flag ${dash}${name} is deprecated: ${flag.deprecated}`);
    }
    given.set(name, value);
  };

  const queue = [...args];
  for (let arg = queue.shift(); arg !== undefined; arg = queue.shift()) {
    if (arg === "--") {
      rest.push(...queue);
      break;
    }
    const match = /^(--?)([^=]+)(?:=([\s\S]*))?$/.exec(arg);
    if (!match?.[2]) {
      rest.push(arg);
      if (style === "pflag") continue;
      rest.push(...queue);
      break;
    }
    const [, dashes, written, assigned] = match;
    const short = style === "pflag" && dashes === "-";
    const found = short ? findShorthand(flags, written, assigned) : findName(flags, written, assigned, style);
    if (found === undefined) {
      const meant = closestName(written.replaceAll("_", "-"), Object.keys(flags));
      problems.push(`unknown flag ${dashes}${written}${meant === undefined ? "" : `, did you mean ${dash}${meant}?`}`);
      continue;
    }
    const shown = short ? `-${flags[found.name]?.shorthand}` : `${dash}${found.name}`;
    if (found.text !== undefined) set(found.name, found.text, shown);
    else if (flags[found.name]?.isSwitch) set(found.name, "true", shown);
    else {
      const next = queue.shift();
      if (next === undefined) problems.push(`${shown} needs an argument`);
      else set(found.name, next, shown);
    }
  }
  if (problems.length > 0) throw new InvalidInputError(commandLine, problems);
  const values = Object.fromEntries(
    Object.entries(flags).map(([name, flag]) => [name, given.has(name) ? given.get(name) : flag.default]),
  );
  return {
    values: values as FlagValues<F>,
    given: new Set(given.keys()) as ReadonlySet<keyof F & string>,
    rest,
    warnings,
  };
}

interface FoundFlag {
  readonly name: string;
  /** The value in the same argument, if there is one. */
  readonly text: string | undefined;
}

function findName(flags: Flags, written: string, text: string | undefined, style: FlagStyle): FoundFlag | undefined {
  // Go's flag package has -h for -help.
  const asGo = written === "h" && !Object.hasOwn(flags, "h") ? "help" : written;
  const name = style === "pflag" ? written.replaceAll("_", "-") : asGo;
  return Object.hasOwn(flags, name) ? { name, text } : undefined;
}

/** `-v 2`, `-v=2` and `-v2`. */
function findShorthand(flags: Flags, written: string, assigned: string | undefined): FoundFlag | undefined {
  const entry = Object.entries(flags).find(([, flag]) => flag.shorthand === written[0]);
  if (entry === undefined || (entry[1].isSwitch && written.length > 1)) return undefined;
  const glued = written.length > 1 ? written.slice(1) + (assigned === undefined ? "" : `=${assigned}`) : assigned;
  return { name: entry[0], text: glued };
}

/** The flags as help shows them, one paragraph each, at most `width` columns wide, ordered by name. */
export function formatFlags(flags: Flags, style: FlagStyle = "pflag", width = 80): string {
  const dash = style === "go" ? "-" : "--";
  return Object.entries(flags)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, flag]) => {
      const short = flag.shorthand === undefined ? "" : `-${flag.shorthand}, `;
      const value: string = flag.format(flag.default);
      const shown = value === "" || value === "false" ? "" : ` (default ${value})`;
      const old = flag.deprecated === undefined ? "" : ` Deprecated: ${flag.deprecated}.`;
      const head = `  ${short}${dash}${name}${flag.kind === "" ? "" : ` ${flag.kind}`}`;
      return `${head}\n${wrap(`${flag.help}${shown}${old}`, width, "        ")}\n`;
    })
    .join("");
}

/** `text` broken at blanks into lines of at most `width` columns, each begun with `indent`. */
export function wrap(text: string, width: number, indent: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && indent.length + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((entry) => indent + entry).join("\n");
}
