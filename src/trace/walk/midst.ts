/** Packets in the midst of a connection: what trackers remember once its first packets have passed. Pure. */
import type { Ended, State, Step } from "./state.ts";
import { withStep } from "./state.ts";

/**
 * Which packet of a connection is followed: its first one; a later one of whoever opened it (`established`); or one of
 * the other side, after the handshake (`reply`).
 */
export type Phase = "new" | "established" | "reply";

/** What is left of a connection's first packet, and of the answer to it. */
export type Memory = Pick<State, "tracked" | "balancedFlows" | "touched" | "probability" | "assumptions">;

/** The ways by which a connection comes about, and those by which it does not. */
export interface SetUp {
  readonly memories: readonly Memory[];
  readonly ended: readonly Ended[];
}

/** What becomes of a connection whose first packet went so, answers included. */
export function setUp(first: Ended): SetUp {
  const { state, outcome } = first;
  if (outcome.kind === "forwarded") return { memories: [memoryOf(answeredFrom(state), state.probability)], ended: [] };
  if (outcome.kind !== "delivered") return { memories: [], ended: [failed(first, "first packet")] };
  const memories: Memory[] = [];
  const ended: Ended[] = [];
  for (const answer of first.answers ?? []) {
    const probability = state.probability * answer.state.probability;
    const { kind } = answer.outcome;
    if (kind === "delivered" || kind === "forwarded") memories.push(memoryOf(answer.state, probability));
    else ended.push(failed({ ...answer, state: { ...answer.state, probability } }, "first answer"));
  }
  return { memories, ended };
}

/** A way that ends before the connection has come about, with a word about that. */
export function failed(end: Ended, what: "first packet" | "first answer"): Ended {
  const { answers: _, ...rest } = end;
  const text = `this is the ${what} of the connection, which does not come about`;
  return { ...rest, state: withStep(end.state, { kind: "note", text }) };
}

/** What is said where a packet in the midst of a connection begins. */
export const settled: Step = { kind: "note", text: "the connection is taken to be set up, as its first packet goes" };

function memoryOf({ tracked, balancedFlows, touched, assumptions }: State, probability: number): Memory {
  return {
    tracked,
    ...(balancedFlows !== undefined && { balancedFlows }),
    // What was set on the first packet alone is gone with it.
    touched: touched.filter((each) => !each.startsWith("meta ")),
    probability,
    assumptions,
  };
}

/** Somebody of whom there is no snapshot is taken to answer by the way that the packet came. */
function answeredFrom(state: State): State {
  return {
    ...state,
    tracked: state.tracked.map((each) => (each.carries ? each : { ...each, answered: true as const })),
  };
}
