/** What all ways of a packet have in common, and in what groups they part: the story that is told. */
import { type Ended, type Outcome, type Packet, type Step, stepsOf, type Target, type Walk } from "../walk/index.ts";

/** Ways that end in the same manner and differ only in whom they reach: "one of N endpoints". */
export interface Group {
  readonly ends: readonly Ended[];
  /** The part of all connections that go one of these ways, where nothing is assumed. */
  readonly probability: number;
}

/** A walk, made ready to be told. */
export interface Story {
  /** What happens in any case. */
  readonly common: readonly Step[];
  readonly groups: readonly Group[];
}

/** Groups the ends of a walk, the likeliest first. */
export function storyOf({ ends, packet }: Pick<Walk, "ends" | "packet">): Story {
  const trails = ends.map(({ state }) => stepsOf(state));
  const [first = []] = trails;
  let shared = 0;
  while (shared < first.length && trails.every((trail) => sameStep(trail[shared], first[shared]))) shared++;
  const groups = new Map<string, Ended[]>();
  for (const each of ends) {
    const key = groupKey(each, packet);
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return {
    common: ends.length > 1 ? first.slice(0, shared) : first,
    groups: [...groups.values()]
      .map((members) => ({
        ends: members.toSorted((a, b) => b.state.probability - a.state.probability),
        probability: members.reduce((sum, { state }) => sum + state.probability, 0),
      }))
      .sort((a, b) => b.probability - a.probability),
  };
}

function sameStep(a: Step | undefined, b: Step | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** Equal for ends that differ only in the endpoint, the way to it and the address that it sees. */
function groupKey({ state, outcome, answers }: Ended, asked: Packet): string {
  const translated =
    "to" in outcome && (outcome.to.address !== asked.destination || outcome.to.port !== asked.destinationPort);
  const same = translated || state.balanced !== undefined ? { kind: outcome.kind } : outcome;
  const answered = answers?.map((answer) => answer.outcome.kind);
  return JSON.stringify([same, state.assumptions, answered]);
}

/** The steps of an end that are not common to all. */
export function ownSteps({ state }: Ended, { common, groups }: Story): readonly Step[] {
  const single = groups.length === 1 && groups[0]?.ends.length === 1;
  return single ? [] : stepsOf(state).slice(common.length);
}

/**
 * `delivered` and so on for one outcome, `unanswered` where the packet arrives and its answer is lost; `mixed` if
 * connections differ in it, `depends` if something is not known.
 */
export type Summary = Outcome["kind"] | "unanswered" | "mixed" | "depends";

/** The outcome of a whole walk in one word. */
export function summaryOf({ ends }: Walk): Summary {
  const all = ends.flatMap((end) => [end, ...(end.answers ?? [])]);
  if (all.some(({ state }) => state.assumptions.length > 0)) return "depends";
  const kinds = new Set(ends.map((end) => (isAnswered(end) ? end.outcome.kind : "unanswered")));
  const [only] = kinds;
  if (kinds.size === 1 && only !== undefined) return only;
  const reached = [...kinds].every((kind) => kind === "delivered" || kind === "forwarded");
  return reached ? "forwarded" : "mixed";
}

/** False where an answer is lost. */
export function isAnswered({ answers }: Ended): boolean {
  return answers?.every(({ outcome }) => outcome.kind === "delivered" || outcome.kind === "forwarded") ?? true;
}

/** True where every way leads to somebody. */
export function reaches(summary: Summary): boolean {
  return summary === "delivered" || summary === "forwarded";
}

/** `10.244.1.11:8080`, without the port where there is none. */
export function formatTarget({ address, port }: Target): string {
  return port === undefined ? address : address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
