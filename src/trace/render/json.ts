/** A walk as JSON, for programs. */
import { stepsOf, type Walk } from "../walk/index.ts";
import { summaryOf } from "./story.ts";

/** Writes a walk: the packet, the summary, and every way with its steps. */
export function walkAsJson(walk: Walk): string {
  const document = {
    schemaVersion: 1,
    summary: summaryOf(walk),
    packet: walk.packet,
    ways: walk.ends.map(({ state, outcome }) => ({
      outcome,
      probability: state.probability,
      assumptions: state.assumptions,
      packet: state.packet,
      steps: stepsOf(state),
    })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
