/** The state of one packet on its way, its steps so far, and how states that became equal are joined. */
import type { Forwarding } from "../../kernel/ipvs/index.ts";
import type { Verdict } from "../../kernel/nftables/index.ts";
import type { Address } from "../../net/address.ts";
import { type Packet, packetKey } from "./packet.ts";

/** A connection as the tracker sees it, once it has seen the packet. */
export interface Connection {
  readonly state: "new" | "established" | "untracked";
  readonly mark: number;
  /** The packet as it came in. */
  readonly original: Packet;
  /** What the answer's source, and its destination, will be: the connection as translated so far. */
  readonly destinationTranslated: boolean;
  readonly sourceTranslated: boolean;
  /** The translation of this side is settled, if only as none: chains of type nat are not asked again. */
  readonly destinationSettled: boolean;
  readonly sourceSettled: boolean;
  /** The packet has passed postrouting, and comes back in by loopback: the tracker has taken the connection down. */
  readonly confirmed: boolean;
}

/** Where a route leads. */
export interface Way {
  readonly kind: "local" | "forward" | "output";
  /** The index of the interface that the packet leaves by. */
  readonly output?: number;
  /** The router there; absent where the destination is on the link. */
  readonly gateway?: Address;
}

/** Something that happened to the packet. */
export type Step =
  /** A hook begins, or a part of the way that has none; with the packet as it is there. */
  | { readonly kind: "hook"; readonly text: string; readonly packet: Packet }
  /** A rule matched. */
  | {
      readonly kind: "rule";
      readonly family: string;
      readonly table: string;
      readonly chain: string;
      readonly handle?: number;
      /** Its place in the chain, from 1. */
      readonly number: number;
      readonly verdict: Verdict;
      readonly comment?: string;
      /** What it did, in words. */
      readonly effects: readonly string[];
      /** How it was chosen where the kernel chooses at random, e.g. `1 of 3`. */
      readonly choice?: string;
    }
  /** A rule was looked at and did not match; only where every rule is wanted. */
  | {
      readonly kind: "miss";
      readonly family: string;
      readonly table: string;
      readonly chain: string;
      readonly number: number;
      readonly why: string;
    }
  /** The end of a base chain. */
  | {
      readonly kind: "policy";
      readonly family: string;
      readonly table: string;
      readonly chain: string;
      readonly verdict: "accept" | "drop";
    }
  /** The packet's header changed. */
  | { readonly kind: "rewrite"; readonly text: string }
  /** The routing table was asked. */
  | { readonly kind: "route"; readonly text: string }
  /** What cannot be told from here, and what is taken for granted on this branch. */
  | { readonly kind: "assumption"; readonly text: string }
  /** Anything else worth knowing. */
  | { readonly kind: "note"; readonly text: string };

/** How a packet's way ends. */
export type Outcome =
  | { readonly kind: "delivered"; readonly to: Target; readonly interface?: string }
  | { readonly kind: "forwarded"; readonly to: Target; readonly interface: string; readonly gateway?: Address }
  | { readonly kind: "rejected"; readonly by: string; readonly how: string }
  | { readonly kind: "dropped"; readonly by: string }
  | { readonly kind: "no socket"; readonly to: Target }
  | { readonly kind: "no route" | "martian" | "forwarding off" | "unknown"; readonly why: string };

/** Where a packet ended, and from whom it says that it is. */
export interface Target {
  readonly address: Address;
  readonly port?: number;
  readonly protocol: number;
  readonly source: Address;
}

/** Steps, the last first: branches share what came before them. */
export interface Trail {
  readonly step: Step;
  readonly before: Trail | undefined;
}

/** A packet somewhere on its way. */
export interface State {
  readonly packet: Packet;
  /** Absent before the tracker has seen it. */
  readonly connection?: Connection;
  /** The index of the interface that it came in by; absent for packets of this machine. */
  readonly input?: number;
  /** The index of the bridge's port, where {@link input} is a bridge. */
  readonly port?: number;
  readonly way?: Way;
  /** The virtual service by which IPVS took the packet, which it does once. */
  readonly balanced?: { readonly address: Address; readonly port: number; readonly forwarding: Forwarding };
  /** Sets that a rule added to, of which nothing more is known. */
  readonly touched: readonly string[];
  readonly traced: boolean;
  /** Never joined with others, however equal. */
  readonly apart: boolean;
  /** The part of all random choices that leads here, 0 to 1, given the assumptions. */
  readonly probability: number;
  readonly assumptions: readonly string[];
  readonly trail: Trail | undefined;
}

/** A packet whose way has ended. */
export interface Ended {
  readonly state: State;
  readonly outcome: Outcome;
}

/** The state after one more step. */
export function withStep(state: State, ...steps: readonly Step[]): State {
  let { trail } = state;
  for (const step of steps) trail = { step, before: trail };
  return { ...state, trail };
}

/** The state on a branch that takes something for granted. */
export function assuming(state: State, text: string): State {
  if (state.assumptions.includes(text)) return state;
  return { ...withStep(state, { kind: "assumption", text }), assumptions: [...state.assumptions, text] };
}

/** The steps of a state, the first first. */
export function stepsOf(state: State): readonly Step[] {
  const steps: Step[] = [];
  for (let at = state.trail; at !== undefined; at = at.before) steps.push(at.step);
  return steps.reverse();
}

/** Text that is equal for states from which everything goes on alike. */
export function stateKey({ packet, connection, input, port, way, balanced, touched, traced }: State): string {
  const { original, ...rest } = connection ?? {};
  const settled = original === undefined ? null : [packetKey(original), rest];
  return JSON.stringify([packetKey(packet), settled, input, port, way, balanced, touched, traced]);
}

/**
 * Joins states that are equal but for how they came about. The likeliest one's steps stand for all; what is assumed is
 * what all of them assume.
 */
export function joinStates<T>(
  items: readonly T[],
  stateOf: (item: T) => State,
  put: (item: T, state: State) => T,
  keyOf: (item: T) => string,
): T[] {
  const [first] = items;
  if (first === undefined || items.length < 2 || stateOf(first).apart) return [...items];
  const groups = new Map<string, T>();
  const identical = new Map<State, string>();
  for (const item of items) {
    const state = stateOf(item);
    let key = identical.get(state);
    if (key === undefined) {
      key = stateKey(state);
      identical.set(state, key);
    }
    const whole = `${keyOf(item)} ${key}`;
    const before = groups.get(whole);
    groups.set(whole, before === undefined ? item : put(item, joined(stateOf(before), state)));
  }
  return [...groups.values()];
}

function joined(a: State, b: State): State {
  const [likelier, other] = b.probability > a.probability ? [b, a] : [a, b];
  const assumptions = likelier.assumptions.filter((each) => other.assumptions.includes(each));
  // Branches with different assumptions do not share one probability.
  const same = a.assumptions.length === b.assumptions.length && assumptions.length === a.assumptions.length;
  const probability = same ? a.probability + b.probability : likelier.probability;
  return { ...likelier, assumptions, probability };
}
