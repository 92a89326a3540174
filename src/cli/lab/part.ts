/** What a part of `portolan lab` is: one of its commands. */
import { type Flags, type FlagValues, stringFlag, switchFlag } from "../../config/flags.ts";
import { commandLine, InvalidInputError } from "../../config/problems.ts";
import { usualLab } from "../../lab/plan/names.ts";
import { labNameProblem } from "../../lab/plan/spec.ts";
import type { CommandContext, HelpTopic } from "../command.ts";

/** The flags that every part has. */
export const commonFlags = {
  name: stringFlag(usualLab, { help: "The lab that is meant." }, "lab"),
  help: switchFlag(false, { help: "Explain the command." }),
};

/** What a part is run with. */
export interface PartInput<F extends Flags> {
  readonly values: FlagValues<F & typeof commonFlags>;
  /** The flags that were given. */
  readonly given: ReadonlySet<string>;
  /** Arguments that are not flags, before `--`. */
  readonly args: readonly string[];
  /** What stands after `--`; undefined where there is none. */
  readonly tail: readonly string[] | undefined;
  readonly context: CommandContext;
}

/** A part, and what its help says. */
export interface LabPart extends Pick<HelpTopic, "name" | "usage" | "summary" | "examples" | "flags" | "statuses"> {
  /** More than its summary says, where there is more to say. */
  readonly description?: string;
  /** For those that look into the lab's network namespaces: whether they make its world where it does not run. */
  readonly world?: "makes" | "enters";
  /** @returns the exit status. */
  run(input: PartInput<Flags>): Promise<number>;
}

/** Makes a part whose flags are typed. */
export function labPart<F extends Flags>(
  part: Omit<LabPart, "run" | "flags"> & { readonly flags: F; run(input: PartInput<F>): Promise<number> },
): LabPart {
  return part as unknown as LabPart;
}

/** The name of the lab that is meant. @throws {InvalidInputError} if it is none. */
export function labNameOf({ name }: { readonly name: string }): string {
  const problem = labNameProblem(name);
  if (problem !== undefined) throw wrongUsage(problem);
  return name;
}

/**
 * Refuses a mode that the proxy does not have, or cannot work in here.
 *
 * @throws {InvalidInputError} that lists those that there are, or an Error that says what is missing.
 */
export async function checkMode(mode: string): Promise<void> {
  // The modes are a good part of the proxy, and of no use to the other commands.
  const { chooseMode, modeFactories, modeNames } = await import("../../proxy/modes/index.ts");
  if (!modeNames.includes(mode)) throw wrongUsage(`name one mode: ${modeNames.join(", ")}`);
  await chooseMode(mode, modeFactories);
}

/** Refuses arguments, for parts that take none. @throws {InvalidInputError} that says how a lab is named. */
export function refuseArguments([first]: readonly string[]): void {
  if (first !== undefined)
    throw wrongUsage(`unexpected argument ${JSON.stringify(first)}: a lab is named with --name ${first}`);
}

/** Wrong usage of the command line. */
export function wrongUsage(problem: string): InvalidInputError {
  return new InvalidInputError(commandLine, [problem]);
}

/** Lines of cells in columns as wide as they need to be. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join("   ")
          .trimEnd()}\n`,
    )
    .join("");
}
