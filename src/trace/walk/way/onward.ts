/** How the parts of a packet's way hand it on to each other. */
import { join, type Passage, type Recording } from "../chain.ts";
import type { Cluster } from "../cluster.ts";
import { atHook, type IpHook, runHook, runLinkHook } from "../hooks.ts";
import type { Balanced } from "../ipvs.ts";
import type { Ended, Outcome, State, Step } from "../state.ts";
import { withoutPlace, withStep } from "../state.ts";
import type { End } from "../wiring.ts";
import type { World } from "../world.ts";
import { type LinkProgramHook, pastPrograms } from "./programs.ts";

/** What every part of the way is given. */
export interface Setting {
  readonly cluster: Cluster;
  readonly recording: Recording;
}

/** Where a packet comes to next. */
export interface Move {
  readonly world: World;
  readonly state: State;
  /**
   * `frame`: it comes in by the link `state.input`. `packet`: it is handed to IP, which has not looked at it yet.
   * `looked`: IP's hook prerouting has seen it on the bridge. `own`: a program, or a tunnel, of the place sends it.
   */
  readonly as: "frame" | "packet" | "looked" | "own";
}

/** What became of packets: where they go on, and those whose way has ended. */
export interface Onward {
  readonly moves: readonly Move[];
  readonly ended: readonly Ended[];
}

/** Nothing. */
export const nothing: Onward = { moves: [], ended: [] };

/** All of several. */
export function together(...parts: readonly Onward[]): Onward {
  return { moves: parts.flatMap(({ moves }) => moves), ended: parts.flatMap(({ ended }) => ended) };
}

/** The end of one way. */
export function end(state: State, outcome: Outcome, ...steps: readonly Step[]): Onward {
  return { moves: [], ended: [{ state: withStep(state, ...steps), outcome }] };
}

/** A packet goes on. */
export function move(world: World, state: State, as: Move["as"]): Onward {
  return { moves: [{ world, state, as }], ended: [] };
}

/** Runs a hook of IP, and says so. */
export function run(hook: IpHook, states: readonly State[], world: World, recording: Recording): Balanced {
  return runHook(
    hook,
    states.map((state) => atHook(state, hook)),
    world,
    recording,
  );
}

/** Shows a packet to the programs and chains of a link, in the kernel's order, and goes on with what they let pass. */
export function pastLink(
  hook: "ingress" | "egress",
  { recording }: Setting,
  { world, link }: End,
  state: State,
  then: (state: State) => Onward,
): Onward {
  const chains = (one: State) => runLinkHook(hook, link, one, world, recording);
  const programs = (at: LinkProgramHook) => (one: State) => pastPrograms(at, world, link, one);
  const visitors = hook === "ingress" ? [programs("xdp"), programs("ingress"), chains] : [chains, programs("egress")];
  let states: readonly State[] = [state];
  const ended: Ended[] = [];
  for (const visit of visitors) {
    const passage = each(states, visit);
    states = passage.states;
    for (const lost of passage.ended) ended.push(lost);
  }
  return together({ moves: [], ended }, eachOnward(states, then));
}

/** Does something with every packet. */
export function each(states: readonly State[], work: (state: State) => Passage): Passage {
  const parts = states.map(work);
  return { states: join(parts.flatMap((part) => part.states)), ended: parts.flatMap((part) => part.ended) };
}

/** Packets of one place that go on differently, each with its own. */
export function eachOnward(states: readonly State[], work: (state: State) => Onward): Onward {
  // Not as arguments: there may be too many.
  const parts = states.map(work);
  return { moves: parts.flatMap(({ moves }) => moves), ended: parts.flatMap(({ ended }) => ended) };
}

/** The packet as it is once it has left a network namespace: without all that the kernel keeps beside it. */
export function departed(state: State): State {
  return { ...withoutPlace(state), packet: { ...state.packet, mark: 0, priority: 0 }, touched: [], traced: false };
}
