/** What is wrong with an input: all of it at once, each with its place, as Kubernetes' field errors say it. */

/** What {@link InvalidInputError} calls the arguments of the program. */
export const commandLine = "command line";

/** Thrown when an input is refused; one line for each thing that is wrong. */
export class InvalidInputError extends Error {
  override readonly name = "InvalidInputError";
  /** The input: a file's path, or {@link commandLine}. */
  readonly what: string;
  readonly problems: readonly string[];

  constructor(what: string, problems: readonly string[]) {
    super(problems.length === 1 ? `${what}: ${problems[0]}` : `${what}:\n  ${problems.join("\n  ")}`);
    this.what = what;
    this.problems = problems;
  }
}

/** `path: Invalid value: "x": must be ...` */
export function invalidValue(path: string, value: unknown, rule: string): string {
  return `${path}: Invalid value: ${JSON.stringify(value)}: ${rule}`;
}

/** The name of `known` that was probably meant by `name`: equal but for case, or at most two letters away. */
export function closestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.min(3, name.length);
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
