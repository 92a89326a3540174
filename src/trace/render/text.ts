/** A walk as text for a terminal, to be read from top to bottom. */
import type { Cause, Explanation } from "../explain/index.ts";
import { type Ended, stepsOf, type Walk } from "../walk/index.ts";
import { brief, type Conclusion, conclude, destinationOf, inLine, mostListed, percent, sentence } from "./outcome.ts";
import { type StepStyle, stepLines } from "./steps.ts";
import {
  formatTarget,
  type Group,
  isAnswered,
  ownSteps,
  reaches,
  type Story,
  type Summary,
  storyOf,
  summaryOf,
} from "./story.ts";

/** Settings of the text. */
export interface TextOptions {
  /** Every step, also those that decide nothing, and every branch. */
  readonly verbose: boolean;
  /** Names, causes and remedies, where somebody has looked for them. */
  readonly explanation?: Explanation;
}

/** The most branches that are told in full. */
const mostTold = 3;

interface Telling extends StepStyle {
  readonly story: Story;
  readonly explanation: Explanation | undefined;
}

/** Writes a walk. */
export function formatWalk(walk: Walk, { verbose, explanation }: TextOptions): string {
  const story = storyOf(walk);
  const telling: Telling = { verbose, places: walk.places.length > 1, story, explanation };
  const title =
    explanation === undefined ? [] : [`${explanation.from} → ${explanation.to}${phaseTitle[walk.phase]}`, ""];
  const lines = [...title, ...stepLines(story.common, telling), ""];
  const apart = story.groups.some(({ ends }) => ends.some((each) => ownSteps(each, story).length > 0));
  if (apart) {
    const told = verbose ? story.groups : story.groups.slice(0, mostTold);
    for (const [i, group] of told.entries()) lines.push(...groupLines(group, i, telling), "");
    const left = story.groups.length - told.length;
    if (left > 0) lines.push(`… and ${left} more ${left === 1 ? "way" : "ways"}: -v shows all`, "");
  }
  lines.push(...answerLines(walk, telling), ...resultLines(walk, telling));
  return `${lines.join("\n")}\n`;
}

const phaseTitle = {
  new: "",
  established: ", a connection that is set up",
  reply: ", a packet back in a connection that is set up",
} as const;

function groupLines(group: Group, index: number, telling: Telling): readonly string[] {
  const { ends, probability } = group;
  const { story, verbose } = telling;
  const [likeliest] = ends;
  if (likeliest === undefined) return [];
  const { assumptions } = likeliest.state;
  const chance = assumptions.length > 0 ? "" : ` (${percent(probability)})`;
  const title = assumptions.length > 0 ? `If ${assumptions.join(", and ")}:` : `Way ${index + 1}${chance}:`;
  const shown = verbose ? ends : [likeliest];
  const blocks = shown.flatMap((each) => {
    const head = ends.length > 1 && "to" in each.outcome ? [`  for example to ${destinationOf(each)}`] : [];
    return [...head, ...stepLines(ownSteps(each, story), telling).map((line) => `  ${line}`)];
  });
  const conclusion = inLine(conclusionOf(group, telling));
  return [story.groups.length === 1 ? `Chosen at random, ${ends.length} ways:` : title, ...blocks, `  → ${conclusion}`];
}

function placeOf({ state }: Ended, { places }: Pick<Telling, "places">): string | undefined {
  return places ? state.place : undefined;
}

/** The way back: in full where it is lost, or where everything is wanted. */
function answerLines({ ends }: Walk, telling: Telling): readonly string[] {
  const answered = ends.filter(({ answers }) => answers !== undefined && answers.length > 0);
  const [first] = answered;
  const lost = answered.find((each) => !isAnswered(each));
  const shown = telling.verbose ? answered : lost === undefined ? [] : [lost];
  const lines = shown.flatMap((each) => {
    const answers = (each.answers ?? []).filter((answer) => telling.verbose || !isReached(answer));
    return answers.flatMap((answer) => [
      `The answer of ${destinationOf(each)}:`,
      ...stepLines(stepsOf(answer.state), telling).map((line) => `  ${line}`),
      `  → ${sentence(answer.outcome, placeOf(answer, telling))}`,
      "",
    ]);
  });
  return first === undefined ? [] : lines;
}

const isReached = ({ outcome }: Ended) => outcome.kind === "delivered" || outcome.kind === "forwarded";

function resultLines(walk: Walk, telling: Telling): readonly string[] {
  const { groups } = telling.story;
  const summary = summaryOf(walk);
  const [only] = groups;
  const all = groups.flatMap(({ ends }) => ends);
  const tail = [
    ...sourceLines(walk, all),
    ...answerSummary(all, walk),
    ...(telling.explanation === undefined ? [] : explanationLines(telling.explanation, summary)),
  ];
  if (groups.length === 1 && only !== undefined) return [...resultOf(only, telling), ...tail];
  const titles: Partial<Record<Summary, string>> = {
    depends: "Result: depends on what the snapshot cannot tell",
    mixed: "Result: connections differ",
    unanswered: "Result: it arrives, and the answer is lost",
  };
  const rows = groups.slice(0, mostListed).map((group) => groupRow(group, telling));
  const more = groups.length > mostListed ? [`  … and ${groups.length - mostListed} more`] : [];
  return [titles[summary] ?? "Result:", ...rows, ...more, ...tail];
}

/** One line; or one for each endpoint, where they have names. */
function resultOf(group: Group, telling: Telling): readonly string[] {
  const conclusion = conclusionOf(group, telling);
  const names = telling.explanation?.names ?? {};
  const { head, targets } = conclusion;
  const nameOf = new Map(
    group.ends.flatMap(({ outcome }) =>
      "to" in outcome ? [[formatTarget(outcome.to), names[outcome.to.address]]] : [],
    ),
  );
  const rows = targets.map((target) => `  ${target}  ${nameOf.get(target.replace(/ \(.*$/, "")) ?? ""}`.trimEnd());
  if (rows.every((row, i) => row.trim() === targets[i])) return [`Result: ${inLine(conclusion)}`];
  const more = rows.length > mostListed ? [`  and ${rows.length - mostListed} more`] : [];
  return [`Result: ${head}:`, ...rows.slice(0, mostListed), ...more];
}

function groupRow({ ends, probability }: Group, telling: Telling): string {
  const [first] = ends;
  if (first === undefined) return "";
  const { assumptions } = first.state;
  const when = assumptions.length > 0 ? `if ${assumptions.join(", and ")}` : percent(probability);
  const lost = isAnswered(first) ? "" : ", and the answer is lost";
  return `  ${when}: ${inLine(conclusionOf({ ends, probability }, telling))}${lost}`;
}

/** The end of a group of ways; its reason stands apart where somebody has explained it. */
function conclusionOf({ ends }: Group, { explanation, places }: Telling): Conclusion {
  return conclude(ends, places, explanation === undefined ? sentence : brief);
}

/** Whether the other side sees the sender. */
function sourceLines({ packet, phase }: Walk, ends: readonly Ended[]): readonly string[] {
  if (phase === "reply") return [];
  const sources = new Set(ends.flatMap(({ outcome }) => ("to" in outcome ? [outcome.to.source] : [])));
  const [only] = sources;
  if (sources.size === 0) return [];
  if (sources.size > 1) return [`Source: seen as ${[...sources].slice(0, mostListed).join(" or ")}`];
  return only === packet.source
    ? [`Source: ${only}, unchanged`]
    : [`Source: ${packet.source} is seen as ${only} (masqueraded)`];
}

function answerSummary(ends: readonly Ended[], { places }: Walk): readonly string[] {
  const answered = ends.filter(({ answers }) => answers !== undefined && answers.length > 0);
  if (answered.length === 0) return [];
  const lost = answered.filter((each) => !isAnswered(each));
  if (lost.length === answered.length) return ["Answer: does not come back"];
  const nodes = new Set(places.flatMap(({ place, role }) => (role === "node" ? [place] : [])));
  const other = answered.flatMap((each) => otherWay(each, nodes)).at(0);
  const how = other === undefined ? "" : `, another way: ${other}`;
  if (lost.length === 0) return [`Answer: comes back${how}`];
  return [`Answer: comes back from ${answered.length - lost.length} of ${answered.length}${how}`];
}

/** The nodes that an answer passes, where they are not those of the packet in reverse; empty where they are. */
function otherWay(end: Ended, nodes: ReadonlySet<string>): readonly string[] {
  const passed = ({ state }: Ended) =>
    stepsOf(state).flatMap((step) => (step.kind === "place" && nodes.has(step.place) ? [step.place] : []));
  const there = passed(end).toReversed();
  return (end.answers ?? []).filter(isReached).flatMap((answer) => {
    const back = passed(answer);
    if (back.join() === there.join()) return [];
    return [`by ${back.join(", ") || "no node"}, and not by ${there.join(", ") || "no node"}`];
  });
}

function explanationLines({ causes, warnings, notes }: Explanation, summary: Summary): readonly string[] {
  const alone = causes.length === 1 && !reaches(summary);
  const why = causes
    .slice(0, mostListed)
    .flatMap((cause) => [
      `Why${alone ? "" : ` (${portion(cause)})`}: ${cause.text}`,
      ...(cause.remedy === undefined ? [] : [`To do: ${cause.remedy}`]),
    ]);
  const beware = warnings.flatMap(({ text, remedy }) => [
    `Beware: ${text}`,
    ...(remedy === undefined ? [] : [`To do: ${remedy}`]),
  ]);
  return [...why, ...beware, ...notes.map((note) => `Note: ${note}`)];
}

function portion({ share, assumptions }: Cause): string {
  return assumptions.length > 0 ? `if ${assumptions.join(", and ")}` : percent(share);
}
