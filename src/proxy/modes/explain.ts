/** Which modes this machine can run, what is missing for the others, and which one would be used, in words. */
import type { ModeFactory, ModeName } from "./mode.ts";

/** A mode as this machine has it. */
export interface ExplainedMode {
  readonly name: ModeName;
  readonly able: boolean;
  /** Everything that is missing, each with its remedy; empty if the mode can be used. */
  readonly missing: readonly string[];
  /** What to know before one uses it. */
  readonly notes: readonly string[];
}

/** The answer to "which mode, and why?". */
export interface ModeExplanation {
  /** The mode that the configuration names; empty if it names none. */
  readonly wanted: string;
  /** The mode that would be used; undefined if none can be. */
  readonly chosen: ModeName | undefined;
  /** Why, a sentence. */
  readonly why: string;
  /** All modes of this program, the best first. */
  readonly modes: readonly ExplainedMode[];
}

/**
 * Looks at all modes. Nothing is changed.
 *
 * @param wanted as for `chooseMode`, whose choice this explains.
 */
export async function explainModes(wanted: string, factories: readonly ModeFactory[]): Promise<ModeExplanation> {
  const modes: ExplainedMode[] = [];
  for (const factory of factories) {
    const probe = await factory.probe();
    const notes = factory.needsProcess ? ["serves only as long as the agent runs"] : [];
    modes.push({
      name: factory.name,
      able: probe.able,
      missing: probe.able ? [] : probe.missing,
      notes: [...notes, ...((probe.able && probe.notes) || [])],
    });
  }
  const chosen = modes.find(({ name, able }) => able && (wanted === "" || name === wanted))?.name;
  return { wanted, chosen, why: whyOf(wanted, chosen, modes), modes };
}

function whyOf(wanted: string, chosen: ModeName | undefined, modes: readonly ExplainedMode[]): string {
  if (wanted !== "") return `the configuration names it${chosen === undefined ? ", and no other one is tried" : ""}`;
  if (chosen === undefined) return "the configuration names none, and this machine can run none";
  const better = modes.slice(
    0,
    modes.findIndex(({ name }) => name === chosen),
  );
  if (better.length === 0) return "the configuration names none, and it is the best";
  return `the configuration names none, and it is the best after ${better.map(({ name }) => name).join(", ")}, which cannot be used here`;
}

/** The explanation as lines for people. */
export function formatExplanation({ wanted, chosen, why, modes }: ModeExplanation): string {
  const width = Math.max(...modes.map(({ name }) => name.length)) + 2;
  const lines = modes.flatMap(({ name, able, missing, notes }) => {
    const remarks = [...missing.map((what) => `missing: ${what}`), ...notes];
    const [first = "", ...rest] = remarks;
    return [
      `${name.padEnd(width)}${able ? "yes  " : "no   "}${first}`,
      ...rest.map((remark) => `${" ".repeat(width + 5)}${remark}`),
    ].map((line) => line.trimEnd());
  });
  const heading = `${"MODE".padEnd(width)}HERE`;
  const verdict =
    chosen === undefined
      ? `No mode can be used: ${wanted === "" ? why : `${wanted} cannot; ${why}`}.`
      : `Mode ${chosen} is used: ${why}.`;
  return `${[heading, ...lines, "", verdict].join("\n")}\n`;
}
