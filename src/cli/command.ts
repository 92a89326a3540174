/** What a command is: one file each, which reads arguments, calls one thing below, and prints. */
import { type FlagStyle, type Flags, formatFlags, wrap } from "../config/flags.ts";

/** What a command is run with. */
export interface CommandContext {
  /** Data goes here. */
  readonly out: (text: string) => void;
  /** Messages go here. */
  readonly err: (text: string) => void;
  /** Aborted when the user or the system wants the program to end. */
  readonly signal: AbortSignal;
  /** Calls back on each SIGHUP, until the program ends. */
  readonly onHangUp: (listener: () => void) => void;
}

/** The program's exit statuses. */
export const exitStatus = { ok: 0, failure: 1, usage: 2 } as const;

/** A command. */
export interface Command {
  readonly name: string;
  /** One line, without a full stop. */
  readonly summary: string;
  /** More, in paragraphs with blank lines between them; those that begin with a blank keep their lines. */
  readonly description: string;
  /** What follows the command's name, e.g. `[flags] FILE`. */
  readonly usage: string;
  readonly examples: readonly Example[];
  readonly flags: Flags;
  readonly style?: FlagStyle;
  /** What may be completed as the first argument. */
  readonly choices?: readonly string[];
  /** Exit statuses beside 0, 1 and 2. */
  readonly statuses?: Readonly<Record<number, string>>;
  /** @returns the exit status; throws InvalidInputError for wrong usage, any Error for failure. */
  run(args: readonly string[], context: CommandContext): Promise<number>;
}

/** A command line and what it is good for. */
export interface Example {
  readonly line: string;
  readonly what: string;
}

/** What help tells of a command. */
export type HelpTopic = Omit<Command, "run" | "choices">;

/** The help of a command: examples first. */
export function commandHelp(command: HelpTopic, width = 80): string {
  const { name, summary, description, usage, examples, flags, style, statuses } = command;
  const shown = examples.map(({ line, what }) => `  # ${what}\n  ${line}\n`).join("\n");
  const status = { 0: "success", 1: "failure", 2: "wrong usage", ...statuses };
  const rows = Object.entries(status).map(([code, meaning]) => `  ${code}  ${meaning}\n`);
  const table = formatFlags(flags, style, width);
  return [
    `portolan ${name}: ${summary}\n`,
    `Examples:\n${shown}`,
    `Usage: ${`portolan ${name} ${usage}`.trimEnd()}\n`,
    ...(description === "" ? [] : [`${paragraphs(description, width)}\n`]),
    ...(table === "" ? [] : [`Flags:\n${table}`]),
    `Exit status:\n${rows.join("")}`,
  ].join("\n");
}

function paragraphs(text: string, width: number): string {
  return text
    .split("\n\n")
    .map((paragraph) => (paragraph.startsWith(" ") ? paragraph : wrap(paragraph, width, "")))
    .join("\n\n");
}
