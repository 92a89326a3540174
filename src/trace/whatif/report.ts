/** Two walks of one question: how each ends, and where they part. Pure. */
import { formatVerdict } from "../../kernel/nftables/index.ts";
import { oneOf, percent } from "../render/outcome.ts";
import { storyOf } from "../render/story.ts";
import { type Step, stepsOf, type Walk } from "../walk/index.ts";

/** Writes both. */
export function formatBoth(now: Walk, then: Walk): string {
  const [before, after] = [stepsOfLikeliest(now), stepsOfLikeliest(then)];
  let same = 0;
  while (same < before.length && same < after.length && keyOf(before[same]) === keyOf(after[same])) same++;
  const lines = ["As it is:", ...endings(now), "", "With the changes:", ...endings(then), ""];
  if (same === before.length && same === after.length) {
    return [...lines, "The likeliest way is the same in both.", ""].join("\n");
  }
  const last = before[same - 1];
  lines.push(
    `The likeliest ways part${last === undefined ? " at once" : ` after ${placeOf(before.slice(0, same))}${textOf(last)}`}:`,
  );
  for (const [mark, steps] of [
    ["-", before],
    ["+", after],
  ] as const) {
    const rest = steps.slice(same).filter((step) => step.kind !== "miss");
    for (const step of rest.slice(0, mostSteps)) lines.push(`  ${mark} ${textOf(step)}`);
    if (rest.length > mostSteps) lines.push(`  ${mark} … and ${rest.length - mostSteps} more steps`);
  }
  return [...lines, ""].join("\n");
}

/** The most steps that are shown of each after they part. */
const mostSteps = 12;

function stepsOfLikeliest(walk: Walk): readonly Step[] {
  const end = storyOf(walk).groups[0]?.ends[0];
  return end === undefined ? [] : stepsOf(end.state);
}

function endings(walk: Walk): readonly string[] {
  const named = walk.places.length > 1;
  return storyOf(walk).groups.map(({ ends, probability }, _, { length }) => {
    const assumptions = ends[0]?.state.assumptions ?? [];
    const when =
      length === 1 ? "" : assumptions.length > 0 ? `if ${assumptions.join(", and ")}: ` : `${percent(probability)}: `;
    return `  ${when}${oneOf(ends, named)}`;
  });
}

/** What of a step is the same in both: handles are not, and what hooks are passed with is told by rules. */
function keyOf(step: Step | undefined): string {
  if (step === undefined) return "";
  if (step.kind === "rule") return JSON.stringify({ ...step, handle: undefined, number: undefined });
  return JSON.stringify(step);
}

function placeOf(steps: readonly Step[]): string {
  const place = steps.findLast((step) => step.kind === "place");
  return place?.kind === "place" ? `${place.place}: ` : "";
}

function textOf(step: Step): string {
  switch (step.kind) {
    case "place":
      return `comes to ${step.place}`;
    case "rule":
    case "policy": {
      const at = `${step.family} ${step.table} ${step.chain}`;
      if (step.kind === "policy") return `${at}: policy ${step.verdict}`;
      const verdict = step.verdict.kind === "continue" ? [] : [formatVerdict(step.verdict)];
      return `${at} #${step.number}: ${[...step.effects, ...verdict].join("; ") || "matches"}`;
    }
    case "miss":
      return step.why;
    case "tracked":
      return "the connection is known to the tracker";
    case "hook":
    case "link":
    case "route":
    case "assumption":
    case "rewrite":
    case "note":
      return `${step.kind === "route" ? "route: " : ""}${step.text}`;
  }
}
