/** A walk as JSON, for programs. */
import type { Explanation } from "../explain/index.ts";
import { type Ended, stepsOf, type Walk } from "../walk/index.ts";
import { summaryOf } from "./story.ts";

/** Writes a walk: the packet, the summary, and every way with its steps, and with those of its answers. */
export function walkAsJson(walk: Walk, explanation?: Explanation): string {
  const document = {
    schemaVersion: 1,
    summary: summaryOf(walk),
    state: walk.phase,
    packet: walk.packet,
    place: walk.place,
    places: walk.places,
    ...(explanation !== undefined && { explanation }),
    ways: walk.ends.map((end) => ({
      ...wayOf(end),
      ...(end.answers !== undefined && { answers: end.answers.map(wayOf) }),
    })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function wayOf({ state, outcome }: Ended) {
  const { probability, assumptions, packet, place } = state;
  return { outcome, place, probability, assumptions, packet, steps: stepsOf(state) };
}
