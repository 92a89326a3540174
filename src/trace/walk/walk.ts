/** The way of a packet, from place to place. */
import { type Address, familyOf, isLoopback } from "../../net/address.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { join } from "./chain.ts";
import { Cluster } from "./cluster.ts";
import { joinStates } from "./join.ts";
import { failed, type Phase, settled, setUp } from "./midst.ts";
import type { Packet } from "./packet.ts";
import { reopened } from "./rule/synproxy.ts";
import { type Awaited, type Ended, type PlaceRole, type State, withoutPlace, withStep } from "./state.ts";
import { answerTo } from "./track.ts";
import { arrived } from "./way/link.ts";
import { eachOnward, type Move, type Onward, type Setting } from "./way/onward.ts";
import { received } from "./way/receive.ts";
import { sent } from "./way/send.ts";
import type { World } from "./world.ts";

/** What is asked: a connection's first packet, if nothing else is said. */
export interface Question {
  readonly packet: Omit<Packet, "source" | "mark" | "priority"> & { readonly source?: Address; readonly mark?: number };
  /** The name of the place where it begins; without it, the first one's. */
  readonly place?: string;
  /** The name of the interface that it comes in by there; absent: a program of that place sends it. */
  readonly input?: string;
  /** Which packet of the connection is followed: the first one if not given. The others are of {@link packet}'s connection. */
  readonly phase?: Phase;
}

/** Settings of a walk. */
export interface WalkOptions {
  /** Record the rules that did not match, too. */
  readonly everyRule?: boolean;
  /** Keep branches apart that lead to the same end by other rules; there may be very many. */
  readonly everyBranch?: boolean;
  /** How many rules, and choices at random, are looked at before the rest is said to be unknown: 1,000,000 if not given. */
  readonly steps?: number;
  /** Follow only those ways further of which this says so, after each rule that matched. */
  readonly keep?: (state: State) => boolean;
  /** Follow the answers, too, of packets that somebody takes. */
  readonly answers?: boolean;
}

/** All ways that the packet may go. Their probabilities add up to 1 where none of them assumes anything. */
export interface Walk {
  /** Which packet of its connection was followed. */
  readonly phase: Phase;
  /** The connection's packet as whoever opens it sends it. */
  readonly packet: Packet;
  /** Where that begins. */
  readonly place: string;
  /** The places that it may come to, with what they are. */
  readonly places: readonly { readonly place: string; readonly role: PlaceRole }[];
  readonly ends: readonly Ended[];
}

/** Links and places that a packet passes before it is said to go in a circle: of bridges, or of tunnels in tunnels. */
const mostMoves = 400;
const circle = {
  kind: "loop",
  why: `it has passed ${mostMoves} links: bridges, or a tunnel that leads into itself, send it in a circle`,
} as const;

/** Answers that are followed at most: one for each way that is told apart. */
const mostAnswers = 256;

/**
 * Follows a packet of a connection: the first one if nothing else is said. For later ones the connection is taken to have
 * been set up as a first packet and the answer to it go now, with what the trackers then remember. Nothing is sent, and nothing is looked up but in the snapshots.
 *
 * @param snapshots what is known: of one node, or of several that make a cluster; each with the pods in it.
 * @throws {RangeError} if they have no such place or interface, or no source address for the packet.
 */
export function walk(snapshots: Snapshot | readonly Snapshot[], question: Question, options: WalkOptions = {}): Walk {
  const list = "schemaVersion" in snapshots ? [snapshots] : snapshots;
  return walkCluster(new Cluster(list, options.steps ?? 1_000_000), question, options);
}

/** As {@link walk}, with the places of snapshots that were prepared before. */
export function walkCluster(cluster: Cluster, question: Question, options: WalkOptions = {}): Walk {
  const setting: Setting = {
    cluster,
    recording: { everyRule: options.everyRule ?? false, ...(options.keep && { keep: options.keep }) },
  };
  const places = cluster.worlds.map(({ place, role }) => ({ place, role }));
  const { world, state, ended } = begin(cluster, question, options.everyBranch ?? false);
  const { phase = "new" } = question;
  const about = { phase, packet: state.packet, place: world.place, places };
  if (ended !== undefined) return { ...about, ends: [ended] };
  const first: Move = { world, state, as: question.input === undefined ? "own" : "frame" };
  const from = question.input === undefined ? world.place : undefined;
  const awaited = { asked: state.packet, ...(from !== undefined && { place: from }) };
  const answered = (ends: readonly Ended[], how: Setting) =>
    ends.map((each, i) => (i < mostAnswers ? withAnswers(how, each, awaited) : each));
  if (phase === "new") {
    const ends = followed(setting, [first]);
    return { ...about, ends: options.answers ? answered(ends, setting) : ends };
  }
  const quiet: Setting = { cluster, recording: { everyRule: false } };
  const opened = followed(quiet, [first]);
  if (phase === "reply") return { ...about, ends: replies(setting, opened, awaited) };
  const parts = answered(opened, quiet).map(setUp);
  const moves = parts.flatMap(({ memories }) =>
    memories.map((memory): Move => ({ ...first, state: later({ ...state, ...memory }, world) })),
  );
  const ends = followed(setting, moves);
  return {
    ...about,
    ends: [...(options.answers ? answered(ends, setting) : ends), ...parts.flatMap((part) => part.ended)],
  };
}

/** A packet after the handshake, where it begins. */
function later(state: State, world: World): State {
  return { ...withStep(placed(world, state), settled), midst: true };
}

/** The ways of a later packet of the other side, whom the first one came to. */
function replies(setting: Setting, opened: readonly Ended[], awaited: Awaited): readonly Ended[] {
  const moves: Move[] = [];
  const ended: Ended[] = [];
  for (const end of opened) {
    const { outcome, state } = end;
    const world = setting.cluster.world(state.place);
    if (world === undefined || (outcome.kind !== "delivered" && outcome.kind !== "forwarded")) {
      ended.push(failed(end, "first packet"));
      continue;
    }
    const reply = { ...later(answerState(state, awaited), world), probability: state.probability };
    if (outcome.kind === "delivered") {
      moves.push({ world, state: reply, as: "own" });
      continue;
    }
    // Somebody of whom there is no snapshot answers: that comes in where the first packet went out.
    const link = world.linkNamed(outcome.interface);
    if (link === undefined) ended.push({ state: reply, outcome: { kind: "unknown", why: "nobody knows who answers" } });
    else moves.push({ world, state: { ...reply, input: link.index }, as: link.kind === "bridge" ? "packet" : "frame" });
  }
  return [...followed(setting, moves), ...ended];
}

/** Follows packets until all have ended. Those that come to one place alike go on as one. */
function followed(setting: Setting, start: readonly Move[]): readonly Ended[] {
  const ended: Ended[] = [];
  let moves = start;
  for (let [first] = moves; first !== undefined; [first] = moves) {
    const { world, as } = first;
    const together = moves.filter((each) => each.world === world && each.as === as);
    const rest = moves.filter((each) => each.world !== world || each.as !== as);
    const onward = step(setting, world, as, join(together.map(({ state }) => placed(world, state))));
    for (const each of onward.ended) if (!each.again) ended.push(each);
    const anew = onward.ended
      .filter(({ again }) => again)
      .map(({ state }): Move => ({ world, state: reopened(state), as: "own" }));
    const further = [...onward.moves, ...anew].map((each) => ({
      ...each,
      state: { ...each.state, moves: each.state.moves + 1 },
    }));
    for (const { state } of further) if (state.moves > mostMoves) ended.push({ state, outcome: circle });
    moves = [...rest, ...further.filter(({ state }) => state.moves <= mostMoves)];
  }
  return joinStates(
    ended,
    (each) => each.state,
    (each, joined) => ({ ...each, state: joined }),
    ({ outcome }) => JSON.stringify(outcome),
  );
}

/** Says that a packet has come to another place. */
function placed(world: World, state: State): State {
  const { place, role } = world;
  for (let at = state.trail; at !== undefined; at = at.before) {
    if (at.step.kind === "place")
      return at.step.place === place ? state : withStep(state, { kind: "place", place, role });
  }
  return withStep(state, { kind: "place", place, role });
}

function step(setting: Setting, world: World, as: Move["as"], states: readonly State[]): Onward {
  switch (as) {
    case "frame":
      return eachOnward(states, (state) => arrived(setting, world, state));
    case "packet":
    case "looked":
      return received(setting, world, states, as === "looked");
    case "own":
      return sent(setting, world, states);
  }
}

/** The way back of what somebody took. */
function withAnswers(setting: Setting, end: Ended, awaited: Awaited): Ended {
  const { state, outcome } = end;
  const world = setting.cluster.world(state.place);
  if (outcome.kind !== "delivered" || world === undefined) return end;
  return { ...end, answers: followed(setting, [{ world, state: answerState(state, awaited), as: "own" }]) };
}

/** The answer to a packet that has arrived. */
function answerState(state: State, awaited: Awaited): State {
  const { frame: _f, narrow: _n, widest: _s, ...rest } = withoutPlace(state);
  return {
    ...rest,
    packet: answerTo(state.packet),
    awaited,
    routers: 0,
    moves: 0,
    touched: [],
    traced: false,
    probability: 1,
    trail: undefined,
  };
}

function begin(
  cluster: Cluster,
  { packet, place, input }: Question,
  apart: boolean,
): { readonly world: World; readonly state: State; readonly ended?: Ended } {
  const world = place === undefined ? cluster.worlds[0] : cluster.world(place);
  if (world === undefined) throw new RangeError(`there is no place ${place ?? ""} in the snapshot`);
  const link = input === undefined ? undefined : world.linkNamed(input);
  if (input !== undefined && link === undefined) throw new RangeError(`there is no interface ${input} in the snapshot`);
  const rest = {
    place: world.place,
    tracked: [],
    routers: 0,
    moves: 0,
    touched: [],
    traced: false,
    apart,
    probability: 1,
    assumptions: [],
    trail: undefined,
  } as const;
  const mark = packet.mark ?? 0;
  if (link !== undefined) {
    if (packet.source === undefined) throw new RangeError("a packet that comes in needs a source address");
    const full = { ...packet, source: packet.source, mark, priority: 0 };
    return { world, state: { packet: full, input: link.index, ...rest } };
  }
  if (packet.source !== undefined && !world.isOwn(packet.source) && !isLoopback(packet.source)) {
    throw new RangeError(`${packet.source} is no address of this node: name the interface that it comes in by`);
  }
  const destination = packet.destination;
  const answer = world.routing.find({ destination, mark, ...(packet.source && { source: packet.source }) });
  const source =
    packet.source ?? (answer.kind === "route" ? world.routing.sourceOf(answer.route, destination) : undefined);
  const any = world.snapshot.addresses.find(
    ({ address, scope }) => scope === 0 && familyOf(address) === packet.family,
  )?.address;
  const full = { ...packet, source: source ?? any ?? destination, mark, priority: 0 };
  const state = placed(world, { packet: full, ...rest });
  if (answer.kind === "none") return { world, state, ended: { state, outcome: { kind: "no route", why: answer.why } } };
  if (source === undefined) throw new RangeError(`this node has no address from which to reach ${destination}`);
  return { world, state };
}
