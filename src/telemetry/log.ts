/**
 * Structured logs in the two formats that Kubernetes components write: klog's text and JSON
 * (https://kubernetes.io/docs/concepts/cluster-administration/system-logs/).
 */
import type { Clock } from "./clock.ts";

/** An API object in a log line: `namespace/name` in text, an object in JSON. */
export interface ObjectRef {
  readonly namespace?: string;
  readonly name: string;
}

/** What follows the message of a log line: errors are written as their message, {@link ObjectRef}s as above. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes log lines. Messages begin with a capital letter, say what happened, and have no full stop. */
export interface Logger {
  /** Something that users of the default verbosity should see. */
  info(message: string, fields?: LogFields): void;
  /** Something for those who asked for it: written at verbosity `level` (1 to 10) and above. */
  debug(level: number, message: string, fields?: LogFields): void;
  /** True if {@link debug} at that level writes: to avoid building costly fields. */
  enabled(level: number): boolean;
  /** Something works, but not as it should. */
  warn(message: string, fields?: LogFields): void;
  /** Something failed; `error` is what was thrown, or undefined. */
  error(error: unknown, message: string, fields?: LogFields): void;
  /** A logger whose lines all have these fields first. */
  with(fields: LogFields): Logger;
}

/** The severity of a line, as klog's first letter says it. */
export type Severity = "I" | "W" | "E";

/** One `pattern=level` of `--vmodule`: the verbosity of the source files whose name (without `.ts`) matches. */
export interface ModuleVerbosity {
  readonly pattern: string;
  readonly level: number;
}

/** What can be changed while the program runs. */
export interface LogOptions {
  readonly format: "text" | "json";
  readonly verbosity: number;
  readonly modules: readonly ModuleVerbosity[];
}

/** What a {@link LogWriter} needs. */
export interface LogOutput {
  readonly clock: Pick<Clock, "now">;
  /** Gets each line, newline included. */
  readonly write: (line: string, severity: Severity) => void;
  /** Process id for klog's header. */
  readonly pid: number;
}

/** The root logger: its {@link options} may be replaced at any time and count from the next line on. */
export class LogWriter implements Logger {
  options: LogOptions;
  readonly #output: LogOutput;

  constructor(output: LogOutput, options: Partial<LogOptions> = {}) {
    this.#output = output;
    this.options = { format: "text", verbosity: 0, modules: [], ...options };
  }

  info(message: string, fields: LogFields = {}): void {
    this.#line("I", 0, message, fields);
  }

  debug(level: number, message: string, fields: LogFields = {}): void {
    if (this.enabled(level)) this.#line("I", level, message, fields);
  }

  enabled(level: number): boolean {
    if (level <= this.options.verbosity) return true;
    if (this.options.modules.length === 0) return false;
    const module = callSite().file.replace(/\.[^.]*$/, "");
    const rule = this.options.modules.find(({ pattern }) => matchesGlob(pattern, module));
    return rule !== undefined && level <= rule.level;
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#line("W", 0, message, fields);
  }

  error(error: unknown, message: string, fields: LogFields = {}): void {
    this.#line("E", 0, message, error === undefined ? fields : { err: error, ...fields });
  }

  with(fields: LogFields): Logger {
    return new ChildLogger(this, fields);
  }

  #line(severity: Severity, verbosity: number, message: string, fields: LogFields): void {
    const site = callSite();
    const { clock, write, pid } = this.#output;
    const entry = { severity, verbosity, message, fields, time: clock.now(), pid, caller: `${site.file}:${site.line}` };
    write(`${this.options.format === "json" ? formatJson(entry) : formatText(entry)}\n`, severity);
  }
}

class ChildLogger implements Logger {
  readonly #parent: Logger;
  readonly #fields: LogFields;

  constructor(parent: Logger, fields: LogFields) {
    this.#parent = parent;
    this.#fields = fields;
  }

  info(message: string, fields?: LogFields): void {
    this.#parent.info(message, { ...this.#fields, ...fields });
  }

  debug(level: number, message: string, fields?: LogFields): void {
    if (this.#parent.enabled(level)) this.#parent.debug(level, message, { ...this.#fields, ...fields });
  }

  enabled(level: number): boolean {
    return this.#parent.enabled(level);
  }

  warn(message: string, fields?: LogFields): void {
    this.#parent.warn(message, { ...this.#fields, ...fields });
  }

  error(error: unknown, message: string, fields?: LogFields): void {
    this.#parent.error(error, message, { ...this.#fields, ...fields });
  }

  with(fields: LogFields): Logger {
    return new ChildLogger(this.#parent, { ...this.#fields, ...fields });
  }
}

/** A logger that writes nothing. */
export const silentLogger: Logger = {
  info() {},
  debug() {},
  enabled: () => false,
  warn() {},
  error() {},
  with: () => silentLogger,
};

/** A line before it is formatted. */
export interface LogEntry {
  readonly severity: Severity;
  readonly verbosity: number;
  readonly message: string;
  readonly fields: LogFields;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly pid: number;
  /** `file.ts:line` */
  readonly caller: string;
}

/** A line in klog's text format, local time, without newline. */
export function formatText(entry: LogEntry): string {
  const time = new Date(entry.time);
  const two = (value: number) => String(value).padStart(2, "0");
  const micros = String(Math.floor((entry.time % 1000) * 1000)).padStart(6, "0");
  const date = `${two(time.getMonth() + 1)}${two(time.getDate())}`;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${micros}`;
  let line = `${entry.severity}${date} ${clock} ${String(entry.pid).padStart(7)} ${entry.caller}] `;
  line += JSON.stringify(entry.message);
  for (const [key, value] of Object.entries(entry.fields)) line += ` ${key}${textValue(value)}`;
  return line;
}

/** A line in the JSON format of Kubernetes components: `ts` in milliseconds; `v` on information only. */
export function formatJson(entry: LogEntry): string {
  const { severity, verbosity, message, fields, time, caller } = entry;
  const line: Record<string, unknown> = { ts: time, caller, msg: message };
  if (severity !== "E") line.v = verbosity;
  for (const [key, value] of Object.entries(fields)) line[key in line ? `${key}_` : key] = plain(value);
  return JSON.stringify(line);
}

/** Strings, objects' names and errors quoted, several lines indented; everything else as JSON. */
function textValue(value: unknown): string {
  const text = value instanceof Error ? errorText(value) : isObjectRef(value) ? objectText(value) : value;
  if (typeof text !== "string") return `=${JSON.stringify(plain(text)) ?? "null"}`;
  if (!text.includes("\n")) return `=${JSON.stringify(text)}`;
  return `=<\n\t${text.replace(/\n+$/, "").replaceAll("\n", "\n\t")}\n >`;
}

/** The value as JSON can write it. */
function plain(value: unknown): unknown {
  if (value instanceof Error) return errorText(value);
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Map) return plain(Object.fromEntries(value));
  if (value instanceof Set) return plain([...value]);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

function isObjectRef(value: unknown): value is ObjectRef {
  if (typeof value !== "object" || value === null || !("name" in value) || typeof value.name !== "string") return false;
  return Object.keys(value).every((key) => key === "name" || key === "namespace");
}

function objectText(object: ObjectRef): string {
  return object.namespace ? `${object.namespace}/${object.name}` : object.name;
}

/** The message of an error and of what caused it, in one line. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  const message = error.message || error.name;
  if (cause === undefined || cause === null) return message;
  const reason = errorText(cause);
  return message.includes(reason) ? message : `${message}: ${reason}`;
}

/** klog's patterns: `*` any characters, `?` one. */
function matchesGlob(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`).test(text);
}

/**
 * Parses the argument of `--vmodule`: `pattern=level,...`, e.g. `runner=4,nft*=2`.
 *
 * @throws {TypeError} naming the part that is wrong.
 */
export function parseModules(text: string): readonly ModuleVerbosity[] {
  return text
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const match = /^([^=]+)=(\d{1,9})$/.exec(part);
      if (!match?.[1]) throw new TypeError(`${JSON.stringify(part)} is not like file=level, e.g. runner=4`);
      return { pattern: match[1], level: Number(match[2]) };
    });
}

/** The file and line that called the logger: the first frame of the stack outside this file. */
function callSite(): { readonly file: string; readonly line: string } {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 8;
  const { stack = "" } = new Error();
  Error.stackTraceLimit = limit;
  for (const frame of stack.split("\n").slice(1)) {
    const match = /([^/\\(\s]+):(\d+):\d+\)?$/.exec(frame);
    if (match?.[1] && match[2] && !frame.includes(import.meta.filename)) return { file: match[1], line: match[2] };
  }
  return { file: "unknown", line: "0" };
}
