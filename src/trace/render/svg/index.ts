/** A walk as a picture: a lane for each place, a column for each hook. */
import type { Explanation } from "../../explain/index.ts";
import { formatPacket } from "../../walk/hooks.ts";
import { stepsOf, type Walk } from "../../walk/index.ts";
import { oneOf, percent, sentence } from "../outcome.ts";
import { isAnswered, reaches, storyOf, summaryOf } from "../story.ts";
import { draw } from "./draw.ts";
import { type Line, lanesOf } from "./lanes.ts";

/** The most ways that are told beside the one that is drawn. */
const mostTold = 6;

/**
 * Draws the likeliest way of a walk, and tells how it and all others end. The document stands for itself: it loads
 * nothing, runs nothing, and follows the reader's choice of light or dark.
 */
export function walkAsSvg(walk: Walk, explanation?: Explanation): string {
  const { groups } = storyOf(walk);
  const [drawn, ...others] = groups;
  const end = drawn?.ends[0];
  const start = {
    place: walk.place,
    role: walk.places.find(({ place }) => place === walk.place)?.role ?? "other",
  } as const;
  const named = walk.places.length > 1;
  const tellings = groups.map(({ ends, probability }): string => {
    const [first] = ends;
    const assumptions = first?.state.assumptions ?? [];
    const when =
      groups.length === 1
        ? ""
        : assumptions.length > 0
          ? `if ${assumptions.join(", and ")}: `
          : `${percent(probability)}: `;
    return `${when}${oneOf(ends, named)}`;
  });
  const summary = summaryOf(walk);
  const result: Line[] = [];
  const [first = "the way has no end", ...rest] = tellings;
  result.push({ text: groups.length === 1 ? `Result: ${first}` : `Drawn: ${first}`, tone: "place" });
  for (const each of rest.slice(0, mostTold)) result.push({ text: `Else: ${each}`, tone: "plain" });
  if (rest.length > mostTold) result.push({ text: `… and ${rest.length - mostTold} more ways`, tone: "quiet" });
  if (end !== undefined && !isAnswered(end)) {
    const lost = end.answers?.find(({ outcome }) => outcome.kind !== "delivered" && outcome.kind !== "forwarded");
    if (lost !== undefined)
      result.push({
        text: `The answer is lost: ${sentence(lost.outcome, named ? lost.state.place : undefined)}`,
        tone: "stop",
      });
  }
  for (const { text } of explanation?.causes ?? []) result.push({ text: `Why: ${text}`, tone: "plain" });
  const asked = explanation === undefined ? "" : `From ${explanation.from} to ${explanation.to}`;
  const title = formatPacket(walk.packet);
  const steps = end === undefined ? [] : stepsOf(end.state);
  const lanes = lanesOf(steps, start);
  const way = lanes
    .map(
      ({ place, rows }) =>
        `${place}: ${
          rows
            .flat()
            .map(({ column }) => column)
            .join(", ") || "no hooks"
        }`,
    )
    .join("; ");
  return draw({
    title,
    subtitle: [asked, others.length > 0 || (drawn?.ends.length ?? 0) > 1 ? "The likeliest way is drawn." : ""]
      .filter((each) => each !== "")
      .join(". "),
    description: `${tellings.join(". ")}. The way that is drawn: ${way}.`,
    lanes,
    result,
    ending: reaches(summary)
      ? "good"
      : summary === "depends" || summary === "unknown" || summary === "mixed"
        ? "open"
        : "bad",
  });
}
