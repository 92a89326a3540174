/**
 * IPVS, the kernel's own load balancer: it looks at packets for this node (hook input) and of this node (hook output),
 * after the chains that translate destinations, and sends those for a virtual service to one of its destinations
 * (`net/netfilter/ipvs/ip_vs_core.c`).
 */
import { type CountedDestination, formatService } from "../../kernel/ipvs/index.ts";
import { type Address, familyOf, isLoopback } from "../../net/address.ts";
import { formatHostPort } from "../../net/protocol.ts";
import type { BalancedService } from "../snapshot/types.ts";
import type { Passage } from "./chain.ts";
import { ftpPort, portAt, schedule, serviceFor } from "./ipvs/choice.ts";
import { hasPorts, type Packet } from "./packet.ts";
import { usableHops } from "./routing.ts";
import { assuming, type BalancedFlow, type State, type Way, withStep } from "./state.ts";
import { sameTuple } from "./track.ts";
import type { World } from "./world.ts";
import { ipipOverhead, ipipPacket, wrap } from "./wrap.ts";

/** The hooks at which packets meet virtual services, and the priorities there (`NF_IP_PRI_NAT_*`). */
export const ipvsPriority = { input: 99, output: -98 } as const;

/** The priorities at which it translates answers back. */
export const ipvsAnswerPriority = { input: 98, output: -99, forward: 100 } as const;

/** Gives an answer of a destination the address of its service (`ip_vs_out_hook`). */
export function answerAsService(state: State, world: World): State {
  const { packet, balancedFlows = [] } = state;
  const flow = balancedFlows.find(
    ({ place, asked, answering }) =>
      place === world.place &&
      asked.protocol === packet.protocol &&
      answering.address === packet.source &&
      answering.port === packet.sourcePort &&
      asked.source === packet.destination &&
      asked.sourcePort === packet.destinationPort,
  );
  if (flow === undefined || state.awaited === undefined) return state;
  const { destination: source, destinationPort: sourcePort } = flow.asked;
  const { sourcePort: _, ...rest } = packet;
  const name = sourcePort === undefined ? source : formatHostPort(source, sourcePort);
  return {
    ...withStep(state, { kind: "rewrite", text: `IPVS: the source of the answer becomes ${name}` }),
    packet: { ...rest, source, ...(sourcePort !== undefined && { sourcePort }) },
  };
}

/** What becomes of packets at IPVS: those of `states` go on in the hook. */
export interface Balanced extends Passage {
  /** Taken out of the hook: they are sent as packets of this node are, with their way decided. */
  readonly sent: readonly State[];
}

/** True if IPVS looks at packets of a family: once there is a service of it, or none can tell. */
export function hasIpvs(world: World): boolean {
  return (world.snapshot.ipvs?.services.length ?? 0) > 0 || ipvsMissing(world);
}

function ipvsMissing(world: World): boolean {
  return world.snapshot.missing.some((text) => text.startsWith("IPVS:"));
}

/** Shows packets to IPVS. */
export function balance(hook: keyof typeof ipvsPriority, states: readonly State[], world: World): Balanced {
  const parts = states.map((state) => balanceOne(hook, state, world));
  return {
    states: parts.flatMap((part) => part.states),
    ended: parts.flatMap((part) => part.ended),
    sent: parts.flatMap((part) => part.sent),
  };
}

const pass = (state: State): Balanced => ({ states: [state], ended: [], sent: [] });
const unknown = (state: State, why: string): Balanced => ({
  states: [],
  ended: [{ state, outcome: { kind: "unknown", why } }],
  sent: [],
});

function balanceOne(hook: keyof typeof ipvsPriority, state: State, world: World): Balanced {
  // A packet that IPVS has seen already is marked so.
  if (state.balanced !== undefined || state.awaited !== undefined || !hasPorts(state.packet.protocol))
    return pass(state);
  if (ipvsMissing(world)) return unknown(state, "the services of IPVS are not in the snapshot");
  const service = serviceFor(world.snapshot.ipvs, state.packet);
  if (service === undefined) return pass(state);
  if (service === "open") return unknown(state, "the port that an IPVS service is found by is not known");
  const name = `IPVS ${formatService(service.key)}`;
  const before = knownTo(state, world);
  if (before !== undefined || state.midst) return continued(hook, name, service, before, state, world);
  const { choices, how, none } = schedule(service, state.packet, world);
  const parts = choices.map(({ destination, share, choice }) => {
    const text = `${name} (${how})`;
    const chosen = { ...state, probability: state.probability * share };
    return dispatch(hook, text, choice, service, destination, chosen, world);
  });
  if (none !== undefined || choices.length === 0) {
    parts.push(leave(name, service, none === undefined ? state : assuming(state, none)));
  }
  return {
    states: parts.flatMap((part) => part.states),
    ended: parts.flatMap((part) => part.ended),
    sent: parts.flatMap((part) => part.sent),
  };
}

/** No destination takes new connections (`ip_vs_leave`). */
function leave(name: string, { key }: BalancedService, state: State): Balanced {
  const port = state.packet.destinationPort;
  if (key.kind === "address" && key.port === ftpPort && port !== ftpPort) return pass(state);
  const step = withStep(state, { kind: "note", text: `${name} has no destination that takes new connections` });
  return {
    states: [],
    ended: [{ state: step, outcome: { kind: "rejected", by: name, how: "ICMP error port unreachable" } }],
    sent: [],
  };
}

type Answering = BalancedFlow["answering"];

/** Who answers a connection that IPVS knows: the tracker remembers, or this walk's first packet went there. */
function knownTo({ connection, balancedFlows = [], packet, midst }: State, { place }: World): Answering | undefined {
  if (connection?.entry !== undefined) {
    const { source, sourcePort } = connection.entry.reply;
    return { address: source, ...(sourcePort !== undefined && { port: sourcePort }) };
  }
  if (!midst) return undefined;
  return balancedFlows.find((flow) => flow.place === place && sameTuple(flow.asked, packet))?.answering;
}

/** A packet of a connection that IPVS knows: it goes where the first one went. */
function continued(
  hook: keyof typeof ipvsPriority,
  name: string,
  service: BalancedService,
  before: Answering | undefined,
  state: State,
  world: World,
): Balanced {
  const destination = service.destinations.find(
    ({ address, port }) => address === before?.address && port === before.port,
  );
  if (destination === undefined) return unknown(state, `to whom ${name} sends this connection is not in the snapshot`);
  return dispatch(hook, `${name} (as before)`, undefined, service, destination, state, world);
}

/** Sends a packet to a destination, by the destination's method (`ip_vs_xmit.c`). */
function dispatch(
  hook: keyof typeof ipvsPriority,
  name: string,
  choice: string | undefined,
  service: BalancedService,
  destination: CountedDestination,
  state: State,
  world: World,
): Balanced {
  const { packet } = state;
  const { address, forwarding } = destination;
  const port = portAt(service, destination, packet);
  const translated: Packet =
    forwarding === "masquerade"
      ? { ...packet, destination: address, ...(port !== undefined && { destinationPort: port }) }
      : packet;
  const target = port === undefined ? address : formatHostPort(address, port);
  const does = {
    masquerade: `destination becomes ${target}`,
    local: "stays on this node",
    tunnel: `goes to ${address} in a tunnel`,
    route: `goes to ${address}, as it is`,
    bypass: "goes where it was bound for",
  }[forwarding];
  const suffix = choice === undefined ? "" : ` [${choice}]`;
  const balanced = { address: packet.destination, port: packet.destinationPort ?? 0, forwarding } as const;
  const next: State = {
    ...withStep(state, { kind: "rewrite", text: `${name} → ${does}${suffix}` }),
    packet: translated,
    balanced,
    ...(forwarding === "masquerade" && {
      balancedFlows: [
        ...(state.balancedFlows ?? []),
        { place: world.place, asked: packet, answering: { address, ...(port !== undefined && { port }) } },
      ],
    }),
    ...untrackedUnless(world, state),
  };
  if (forwarding === "local") return pass(next);
  const to = forwarding === "bypass" ? packet.destination : address;
  const tracks = next.connection?.state !== "untracked";
  const answer = world.routing.find({
    destination: to,
    mark: tracks ? packet.mark : 0,
    ...(tracks && { source: packet.source }),
    packet: translated,
  });
  if (answer.kind === "none") return { ...pass(next), states: [], ended: [noRoute(next, answer.why)] };
  const { route } = answer;
  if (route.type === "local") {
    if (hook === "input" && isLoopback(to) && world.link(state.input)?.loopback !== true) {
      return drop(next, `${name}: ${to} is a loopback address`);
    }
    return pass(next);
  }
  if (route.type !== "unicast") {
    return { ...pass(next), states: [], ended: [noRoute(next, `the route to ${to} says ${route.type}`)] };
  }
  if (isLoopback(packet.source)) return drop(next, `${name}: ${packet.source} is a loopback address`);
  if (forwarding !== "tunnel") {
    return { states: [], ended: [], sent: waysOf(next, route, to, forwarding, world) };
  }
  if (destination.tunnel !== undefined || familyOf(to) !== packet.family || packet.family !== "IPv4") {
    return unknown(
      next,
      `${name} sends it to ${to} in a tunnel (${destination.tunnel ?? "IPv6"}), which is not followed`,
    );
  }
  const source = world.routing.sourceOf(route, to);
  if (source === undefined) return { ...pass(next), states: [], ended: [noRoute(next, `nobody here reaches ${to}`)] };
  const text = `IPVS puts it into a packet to ${to} (IP in IP)`;
  const outer = wrap(next, ipipPacket(packet, source, to), { kind: "ipip" }, ipipOverhead, text);
  return { states: [], ended: [], sent: waysOf(outer, route, to, forwarding, world) };
}

const noRoute = (state: State, why: string) => ({ state, outcome: { kind: "no route", why } }) as const;
const drop = (state: State, by: string): Balanced => ({
  states: [],
  ended: [{ state, outcome: { kind: "dropped", by } }],
  sent: [],
});

function waysOf(
  state: State,
  route: Parameters<typeof usableHops>[0],
  to: Address,
  forwarding: CountedDestination["forwarding"],
  world: World,
): readonly State[] {
  const hops = usableHops(route);
  const weights = hops.reduce((sum, { weight }) => sum + weight, 0);
  return hops.map(({ interface: output, gateway, weight }) => {
    // A packet that stays as it is must be told whom to go to.
    const router = gateway ?? (forwarding === "route" ? to : undefined);
    const via = gateway === undefined ? "directly" : `through ${gateway}`;
    const text = `${to} is reached by ${world.linkName(output)}, ${via} (route ${route.destination})`;
    const way: Way = {
      kind: "output",
      ...(output !== undefined && { output }),
      ...(router !== undefined && { gateway: router }),
    };
    return { ...withStep(state, { kind: "route", text }), way, probability: (state.probability * weight) / weights };
  });
}

/** IPVS leaves its packets out of connection tracking unless it is told to use it (`net.ipv4.vs.conntrack`). */
function untrackedUnless(world: World, { connection }: State): Partial<State> {
  if (connection === undefined || world.sysctl("net/ipv4/vs/conntrack") === "1") return {};
  return { connection: { ...connection, state: "untracked" } };
}
