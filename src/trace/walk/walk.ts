/** The way of a packet through a node: hooks, routing decisions, delivery. */
import { type Address, isLoopback } from "../../net/address.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { join, type Passage, type Recording } from "./chain.ts";
import { atHook, formatPacket, type IpHook, runHook } from "./hooks.ts";
import type { Balanced } from "./ipvs.ts";
import { type Packet, protocolNumber } from "./packet.ts";
import { routeIncoming, routeOutgoing } from "./route.ts";
import { usableHops } from "./routing.ts";
import { type Ended, joinStates, type Outcome, type State, type Target } from "./state.ts";
import { World } from "./world.ts";

/** What is asked: a connection's first packet. */
export interface Question {
  readonly packet: Omit<Packet, "source" | "mark" | "priority"> & { readonly source?: Address; readonly mark?: number };
  /** The name of the interface that it comes in by; absent: a program of this node sends it. */
  readonly input?: string;
}

/** Settings of a walk. */
export interface WalkOptions {
  /** Record the rules that did not match, too. */
  readonly everyRule?: boolean;
  /** Keep branches apart that lead to the same end by other rules; there may be very many. */
  readonly everyBranch?: boolean;
  /** How many rules, and choices at random, are looked at before the rest is said to be unknown: 5,000,000 if not given. */
  readonly steps?: number;
}

/** All ways that the packet may go. Their probabilities add up to 1 where none of them assumes anything. */
export interface Walk {
  readonly packet: Packet;
  readonly ends: readonly Ended[];
}

/**
 * Follows the first packet of a connection. Nothing is sent, and nothing is looked up but in the snapshot.
 *
 * @throws {RangeError} if the snapshot has no interface of the name, or no source address for the packet.
 */
export function walk(snapshot: Snapshot, question: Question, options: WalkOptions = {}): Walk {
  const world = new World(snapshot, options.steps ?? 5_000_000);
  const recording: Recording = { everyRule: options.everyRule ?? false };
  const { state, ended } = begin(world, question, options.everyBranch ?? false);
  if (ended !== undefined) return { packet: state.packet, ends: [ended] };
  const ends = question.input === undefined ? sent(world, state, recording) : received(world, [state], recording);
  return {
    packet: state.packet,
    ends: joinStates(
      ends,
      (each) => each.state,
      (each, joined) => ({ ...each, state: joined }),
      ({ outcome }) => JSON.stringify(outcome),
    ),
  };
}

function begin(
  world: World,
  { packet, input }: Question,
  apart: boolean,
): { readonly state: State; readonly ended?: Ended } {
  const link = input === undefined ? undefined : world.linkNamed(input);
  if (input !== undefined && link === undefined) throw new RangeError(`there is no interface ${input} in the snapshot`);
  const rest = { touched: [], traced: false, apart, probability: 1, assumptions: [], trail: undefined } as const;
  const mark = packet.mark ?? 0;
  if (link === undefined) {
    if (packet.source !== undefined && !world.isOwn(packet.source) && !isLoopback(packet.source)) {
      throw new RangeError(`${packet.source} is no address of this node: name the interface that it comes in by`);
    }
    const destination = packet.destination;
    const answer = world.routing.find({ destination, mark, ...(packet.source && { source: packet.source }) });
    const source = packet.source ?? sourceOf(world, answer.kind === "route" ? answer.route : undefined, destination);
    const full = { ...packet, source: source ?? destination, mark, priority: 0 };
    const state = { packet: full, ...rest };
    if (answer.kind === "none") return { state, ended: { state, outcome: { kind: "no route", why: answer.why } } };
    if (source === undefined) throw new RangeError(`this node has no address from which to reach ${destination}`);
    return { state };
  }
  if (packet.source === undefined) throw new RangeError("a packet that comes in needs a source address");
  const full = { ...packet, source: packet.source, mark, priority: 0 };
  const master = world.link(link.master);
  const bridged = master?.kind === "bridge";
  const state: State = {
    packet: full,
    input: bridged ? master.index : link.index,
    ...(bridged && { port: link.index }),
    ...rest,
  };
  return { state };
}

/** The source that the kernel chooses for a connection of this node. */
function sourceOf(
  world: World,
  route: Parameters<typeof usableHops>[0] | undefined,
  destination: Address,
): Address | undefined {
  if (route === undefined) return undefined;
  if (route.preferredSource !== undefined) return route.preferredSource;
  if (route.type === "local") return destination;
  const [hop] = usableHops(route);
  return hop?.interface === undefined ? undefined : world.routing.sourceFor(hop.interface, hop.gateway ?? destination);
}

/** A packet comes in by an interface. */
function received(world: World, states: readonly State[], recording: Recording): readonly Ended[] {
  const [first] = states;
  if (first === undefined) return [];
  const problem = unfollowed(world, first);
  if (problem !== undefined) return states.map((state) => ({ state, outcome: { kind: "unknown", why: problem } }));
  const name = world.linkName(first.port ?? first.input);
  const bridge = first.port === undefined ? "" : `, a port of bridge ${world.linkName(first.input)}`;
  const entering = states.map((state) => atHook(state, `comes in by ${name}${bridge}: ${formatPacket(state.packet)}`));
  const before = run(world, "prerouting", entering, recording);
  const routed = each(before.states, (state) => routeIncoming(world, state));
  const delivered = local(
    world,
    routed.states.filter(({ way }) => way?.kind === "local"),
    recording,
  );
  const forwarded = forward(
    world,
    routed.states.filter(({ way }) => way?.kind === "forward"),
    recording,
  );
  return [...before.ended, ...routed.ended, ...delivered, ...forwarded];
}

/** Ways into a node that are not followed (yet), as a sentence. */
function unfollowed(world: World, { input, port, packet }: State): string | undefined {
  const inputName = world.linkName(port ?? input);
  const early = world
    .baseChains()
    .find(
      ({ base, family }) =>
        base?.hook === "ingress" && (family === "netdev" || family === "inet") && base.devices?.includes(inputName),
    );
  if (early !== undefined)
    return `${early.family} table ${early.table} looks at what ${inputName} receives, which is not followed`;
  if (port === undefined) return undefined;
  const bridging = world.baseChains().find(({ family }) => family === "bridge");
  if (bridging !== undefined)
    return `bridge table ${bridging.table} looks at what the bridge's ports receive, which is not followed`;
  const answer = world.routing.find({ destination: packet.destination, source: packet.source, mark: 0 });
  if (answer.kind === "route" && answer.route.type === "unicast") {
    const [hop] = usableHops(answer.route);
    if (hop?.interface === input && hop?.gateway === undefined) {
      return `${packet.destination} is on the same bridge as the sender, which reaches it without this node's routing; that is not followed`;
    }
  }
  return undefined;
}

/** A program of this node sends the packet. */
function sent(world: World, state: State, recording: Recording): readonly Ended[] {
  const start = atHook(state, `a program of this node sends: ${formatPacket(state.packet)}`);
  const routed = each([start], (each) => routeOutgoing(world, each));
  const output = run(world, "output", routed.states, recording);
  const again = each(output.states, (each) => {
    const before = routed.states[0];
    const { packet } = each;
    const same = before?.packet.destination === packet.destination && before.packet.mark === packet.mark;
    return same ? { states: [each], ended: [] } : routeOutgoing(world, { ...each });
  });
  return [
    ...routed.ended,
    ...output.ended,
    ...again.ended,
    ...leave(world, again.states, recording),
    ...dispatched(world, output.sent, recording),
  ];
}

/** What IPVS sends: it passes output as a packet of this node does, with its way decided. */
function dispatched(world: World, states: readonly State[], recording: Recording): readonly Ended[] {
  const output = run(world, "output", states, recording);
  return [...output.ended, ...leave(world, output.states, recording)];
}

function run(world: World, hook: IpHook, states: readonly State[], recording: Recording): Balanced {
  return runHook(
    hook,
    states.map((state) => atHook(state, hook)),
    world,
    recording,
  );
}

function each(states: readonly State[], work: (state: State) => Passage): Passage {
  const parts = states.map(work);
  return { states: join(parts.flatMap((part) => part.states)), ended: parts.flatMap((part) => part.ended) };
}

function forward(world: World, states: readonly State[], recording: Recording): readonly Ended[] {
  const forwarded = run(world, "forward", states, recording);
  return [...forwarded.ended, ...leave(world, forwarded.states, recording)];
}

/** The last hook, and out; or back in by loopback. */
function leave(world: World, states: readonly State[], recording: Recording): readonly Ended[] {
  const out = run(world, "postrouting", states, recording);
  const loops: State[] = [];
  const ended: Ended[] = [];
  for (const state of out.states) {
    const { output, gateway } = state.way ?? {};
    const link = world.link(output);
    if (link?.loopback) {
      const { way: _, connection, ...rest } = state;
      const confirmed = connection && { connection: { ...connection, confirmed: connection.state === "new" } };
      loops.push({ ...rest, ...confirmed, input: link.index });
      continue;
    }
    if (link === undefined || !link.up) {
      ended.push({ state, outcome: { kind: "no route", why: `${world.linkName(output)} is down or not there` } });
      continue;
    }
    ended.push({
      state,
      outcome: {
        kind: "forwarded",
        to: target(state.packet),
        interface: link.name,
        ...(gateway !== undefined && { gateway }),
      },
    });
  }
  return [...out.ended, ...ended, ...received(world, loops, recording)];
}

function local(world: World, states: readonly State[], recording: Recording): readonly Ended[] {
  const input = run(world, "input", states, recording);
  return [
    ...input.ended,
    ...input.states.map((state): Ended => ({ state, outcome: deliver(world, state) })),
    ...dispatched(world, input.sent, recording),
  ];
}

/** Looks for somebody who listens. */
function deliver(world: World, { packet, input }: State): Outcome {
  const { destination, destinationPort, protocol, family } = packet;
  const to = target(packet);
  if (protocol === protocolNumber.icmp || protocol === protocolNumber.icmpv6) return { kind: "delivered", to };
  const name = protocol === protocolNumber.tcp ? "TCP" : protocol === protocolNumber.udp ? "UDP" : undefined;
  if (name === undefined)
    return { kind: "unknown", why: `who takes protocol ${protocol} on this node is not in the snapshot` };
  if (world.snapshot.missing.some((text) => text.startsWith("sockets:")))
    return { kind: "unknown", why: "the listening sockets are not in the snapshot" };
  const any = family === "IPv4" ? "0.0.0.0" : "::";
  if (destinationPort === undefined) return { kind: "unknown", why: "the port that it is delivered to is not known" };
  const found = world.snapshot.sockets.some(
    (socket) =>
      socket.protocol === name &&
      socket.port === destinationPort &&
      (socket.interface === undefined || socket.interface === input) &&
      (socket.address === destination ||
        socket.address === any ||
        (family === "IPv4" && socket.address === "::" && socket.onlyIPv6 === false) ||
        socket.address === `::ffff:${destination}`),
  );
  return found ? { kind: "delivered", to } : { kind: "no socket", to };
}

function target({ destination, destinationPort, protocol, source }: Packet): Target {
  return { address: destination, ...(destinationPort !== undefined && { port: destinationPort }), protocol, source };
}
