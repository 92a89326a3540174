/** What a check is, and what it finds. */
import type { Facts } from "./facts.ts";

/** Something that is wrong, or will be. */
export interface Finding {
  /** The name of the check that found it. */
  readonly check: string;
  /**
   * `error`: packets are lost or refused now. `warning`: some may be, or something is not as it was meant. `note`: what may
   * well be meant, and surprises nevertheless.
   */
  readonly severity: "error" | "warning" | "note";
  /** What it is about: `service shop/web`, `link eth0`, `net.ipv4.ip_forward`. Equal for the same fault seen again. */
  readonly subject: string;
  /** What is wrong and what follows, in a sentence or two. */
  readonly message: string;
  /** What to do, in a few words. */
  readonly remedy: string;
  /** Commands that do it, or show what there is, in this order. Words in capitals are to be filled in. */
  readonly run?: readonly string[];
}

/** Whether something is wrong; notes are no faults. */
export function isFault({ severity }: Pick<Finding, "severity">): boolean {
  return severity !== "note";
}

/** A check: a pure function of the facts about one node. */
export interface Check {
  /** Also the anchor of its section in docs/check.md. */
  readonly name: string;
  /** What it looks at and what it finds, in a sentence. */
  readonly about: string;
  /** Where users reported it: `kubernetes/kubernetes#12345`. */
  readonly seen: readonly string[];
  run(facts: Facts): readonly Omit<Finding, "check">[];
}

/** The page that explains a finding. */
export function explanationOf({ check }: Pick<Finding, "check">): string {
  return `docs/check.md#${check}`;
}

/** Names in a sentence: the first few, and how many more there are. */
export function some(names: Iterable<string>, most = 3): string {
  const all = [...new Set(names)];
  const more = all.length - most;
  return all.slice(0, most).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** A command for a shell: what is put in counts as one word each, whatever somebody called a link or a table. */
export function command(parts: TemplateStringsArray, ...words: readonly (string | number)[]): string {
  return String.raw({ raw: parts }, ...words.map((word) => shellWord(String(word))));
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./[\]-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
