/**
 * Bridges: which port a frame leaves by, and what the rules of bridges and of IP see of it (`net/bridge/br_input.c`,
 * `br_forward.c`, `br_netfilter_hooks.c`).
 */
import type { Link, MacAddress } from "../../../kernel/route/index.ts";
import type { Passage } from "../chain.ts";
import { atHook, type BridgeHook, formatPacket, runBridgeHook } from "../hooks.ts";
import { assuming, type Outcome, type State, withStep } from "../state.ts";
import { confirm } from "../track.ts";
import type { End } from "../wiring.ts";
import type { World } from "../world.ts";
import { resolve, transmit } from "./link.ts";
import { eachOnward, end, move, type Onward, run, type Setting, together } from "./onward.ts";
import { routeIncoming } from "./route.ts";

/** `BR_STATE_FORWARDING`. */
const forwarding = 3;
const portStates = ["disabled", "listening", "learning", "forwarding", "blocking"];

/** Whether bridged packets pass the rules of IP (`br_netfilter`). */
function showsToIp(world: World, { packet }: State): boolean {
  return world.sysctl(`net/bridge/bridge-nf-call-${packet.family === "IPv4" ? "iptables" : "ip6tables"}`) === "1";
}

/** A frame comes in by a port of a bridge. */
export function enterBridge(setting: Setting, from: End, bridge: Link, state: State): Onward {
  const { world, link: port } = from;
  const entered: State = { ...state, input: bridge.index, port: port.index };
  const closed = closedPort(world, bridge, port);
  if (closed !== undefined) return end(entered, closed);
  const start = withVlan(bridge, entered);
  const shown = showsToIp(world, start);
  const before = bridgeHook("prerouting", setting, world, [start], shown ? prerouting(setting, world) : undefined);
  const asked = start.packet.destination;
  return together(
    { moves: [], ended: before.ended },
    eachOnward(before.states, (seen) =>
      shown && seen.packet.destination !== asked
        ? redirected(setting, world, bridge, seen)
        : towards(setting, world, bridge, seen, shown),
    ),
  );
}

/** IP's hook prerouting, as frames come to it. */
function prerouting({ recording }: Setting, world: World): (states: readonly State[]) => Passage {
  return (states) => {
    const entering = states.map((state) => {
      const [port, bridge] = [world.linkName(state.port), world.linkName(state.input)];
      return atHook(state, `comes in by ${port}, a port of bridge ${bridge}: ${formatPacket(state.packet)}`);
    });
    return run("prerouting", entering, world, recording);
  };
}

/** Rules have changed the destination of a bridged packet: it is routed, and stays on the bridge where that leads there. */
function redirected(setting: Setting, world: World, bridge: Link, state: State): Onward {
  const routed = routeIncoming(world, state);
  const isOnBridge = ({ way }: State) => way?.output === bridge.index && way.kind !== "local";
  const onBridge = routed.states.filter(isOnBridge);
  const elsewhere = routed.states.filter((each) => !isOnBridge(each));
  return together(
    { moves: [], ended: routed.ended },
    eachOnward(elsewhere, (each) => passUp(setting, world, bridge, each, true)),
    eachOnward(onBridge, (each) => {
      const receiver = resolve(setting.cluster, { world, link: bridge }, each.way?.gateway ?? each.packet.destination);
      if (receiver.kind === "nobody") {
        return end(each, { kind: "no neighbour", why: receiver.why, remedy: receiver.remedy });
      }
      const frame = receiver.kind === "mac" ? { to: receiver.mac } : {};
      return through(setting, world, bridge, { ...each, frame }, true);
    }),
  );
}

/** Up to the bridge's own place, or on to another port. */
function towards(setting: Setting, world: World, bridge: Link, state: State, shown: boolean): Onward {
  const to = state.frame?.to ?? guessedReceiver(setting, world, bridge, state);
  if (to === undefined) return through(setting, world, bridge, { ...state, frame: {} }, shown);
  const own = to === bridge.mac || world.forwarding(bridge.index, to).some((entry) => isOwnEntry(world, entry));
  if (own) return passUp(setting, world, bridge, state, shown);
  return through(setting, world, bridge, { ...state, frame: { to } }, shown);
}

function isOwnEntry(
  world: World,
  entry: { readonly interface: number; readonly mac: MacAddress; readonly state: string },
) {
  return entry.state === "permanent" && world.link(entry.interface)?.mac === entry.mac;
}

/** Whom a sender that is not in any snapshot means: whoever has the address on this bridge, else the bridge itself. */
function guessedReceiver({ cluster }: Setting, world: World, bridge: Link, { packet }: State): MacAddress | undefined {
  const { destination, source } = packet;
  const answer = world.routing.find({ destination, source, mark: 0 });
  const hop = answer.kind === "route" && answer.route.type === "unicast" ? answer.route.nextHops[0] : undefined;
  if (hop?.interface !== bridge.index || hop.gateway !== undefined) return bridge.mac;
  const receiver = resolve(cluster, { world, link: bridge }, destination);
  return receiver.kind === "mac" ? receiver.mac : undefined;
}

/** The frame is for the bridge's own place. */
function passUp(setting: Setting, world: World, bridge: Link, state: State, shown: boolean): Onward {
  const before = bridgeHook("input", setting, world, [state]);
  return together(
    { moves: [], ended: before.ended },
    eachOnward(before.states, ({ frame: _, ...rest }) =>
      move(world, { ...rest, input: bridge.index }, shown ? "looked" : "packet"),
    ),
  );
}

/** From one port to another. */
function through(setting: Setting, world: World, bridge: Link, state: State, shown: boolean): Onward {
  const choice = portFor(setting, world, bridge, state);
  if ("outcome" in choice) return end(state, choice.outcome);
  const { port: out, note } = choice;
  const input = world.link(state.port);
  const names = `from ${input?.name} to ${out.name}`;
  const text = `bridge ${bridge.name} passes the frame ${names}${shown ? "" : ", past the rules of IP"}${note}`;
  const { route: _, ...way } = state.way ?? { kind: "forward" as const };
  const bridged: State = {
    ...withStep(state, { kind: "link", text }),
    way: { ...way, kind: "forward", output: bridge.index, port: out.index },
  };
  const { recording } = setting;
  const show = (hook: "forward" | "postrouting") =>
    shown ? (states: readonly State[]) => run(hook, states, world, recording) : undefined;
  const forwarded = bridgeHook("forward", setting, world, [bridged], show("forward"));
  const last = bridgeHook("postrouting", setting, world, forwarded.states, show("postrouting"));
  return together(
    { moves: [], ended: [...forwarded.ended, ...last.ended] },
    eachOnward(last.states, (each) => outOfPort(setting, world, out, shown ? confirm(world, each) : each)),
  );
}

/** A packet of this place leaves by a bridge. */
export function bridgeSends(setting: Setting, { world, link: bridge }: End, state: State): Onward {
  const { port: _, ...sending } = state;
  const choice = portFor(setting, world, bridge, sending);
  if ("outcome" in choice) return end(state, choice.outcome);
  const { port: out, note } = choice;
  const text = `bridge ${bridge.name} sends the frame out by ${out.name}${note}`;
  const way = { ...(state.way ?? { kind: "output" as const }), port: out.index };
  const start = { ...withStep(sending, { kind: "link", text }), way };
  const output = bridgeHook("output", setting, world, [start]);
  const last = bridgeHook("postrouting", setting, world, output.states);
  return together(
    { moves: [], ended: [...output.ended, ...last.ended] },
    eachOnward(last.states, (each) => outOfPort(setting, world, out, each)),
  );
}

function outOfPort(setting: Setting, world: World, port: Link, state: State): Onward {
  const { length } = state.packet;
  if (length !== undefined && length > port.mtu + 4) {
    const why = `it has ${length} bytes, and port ${world.linkTitle(port.index)} takes ${port.mtu}: the bridge drops it, and nobody is told`;
    return end(state, {
      kind: "too long",
      why,
      remedy: "give all ports of the bridge, and what is behind them, one MTU",
    });
  }
  return transmit(setting, { world, link: port }, state, state.way?.gateway ?? state.packet.destination);
}

type Choice = { readonly port: Link; readonly note: string } | { readonly outcome: Outcome };

/** The port that leads to a hardware address: as the bridge has learned, or, sent out of all, the one that somebody hears. */
function portFor({ cluster }: Setting, world: World, bridge: Link, state: State): Choice {
  const to = state.frame?.to;
  const ports = world.ports(bridge.index);
  const learned =
    to && world.forwarding(bridge.index, to).find((entry) => ports.some((port) => port.index === entry.interface));
  const known = learned && world.link(learned.interface);
  const hearing = (port: Link) => {
    const peer = cluster.wiring.peer({ world, link: port });
    if (peer === undefined) return "open";
    if (to === undefined) return "deaf";
    if (peer.link.mac === to) return "hears";
    const master = peer.world.link(peer.link.master);
    if (master?.kind !== "bridge") return "deaf";
    const segment = cluster.wiring.segment({ world, link: port });
    if (segment.stations.some(({ link }) => link.mac === to)) return "hears";
    return segment.open ? "open" : "deaf";
  };
  const [heard, open] = ["hears", "open"].map((wanted) => ports.find((port) => hearing(port) === wanted));
  const port = known ?? heard ?? open;
  if (port === undefined) {
    const why = `nobody behind bridge ${world.linkTitle(bridge.index)} has hardware address ${to ?? "of the receiver"}`;
    return { outcome: { kind: "no neighbour", why, remedy: "ip neigh on the sender: an entry may be out of date" } };
  }
  const closed = closedPort(world, bridge, port);
  if (closed !== undefined) return { outcome: closed };
  if (port.index === state.port && port.port?.hairpin === false) {
    const why = `the packet must leave bridge ${world.linkTitle(bridge.index)} by ${port.name}, by which it came in, and that port's hairpin mode is off`;
    return { outcome: { kind: "not bridged", why, remedy: `bridge link set dev ${port.name} hairpin on` } };
  }
  const flooded = known === undefined && to !== undefined && heard !== undefined;
  return { port, note: flooded ? `, for it sends frames for ${to} out of all ports` : "" };
}

function closedPort(world: World, bridge: Link, port: Link): Outcome | undefined {
  const title = `port ${port.name} of bridge ${world.linkTitle(bridge.index)}`;
  if (!bridge.up) {
    const why = `bridge ${world.linkTitle(bridge.index)} is down`;
    return { kind: "not bridged", why, remedy: `ip link set ${bridge.name} up` };
  }
  if (!port.up) return { kind: "not bridged", why: `${title} is down`, remedy: `ip link set ${port.name} up` };
  const state = port.port?.state ?? forwarding;
  if (state === forwarding) return undefined;
  return {
    kind: "not bridged",
    why: `${title} is ${portStates[state] ?? `in state ${state}`}`,
    remedy: `bridge link show dev ${port.name}; spanning tree may have to settle`,
  };
}

/** Which VLANs a port takes part in is not in a snapshot. */
function withVlan(bridge: Link, state: State): State {
  const filtering = bridge.details?.kind === "bridge" && bridge.details.vlanFiltering;
  return filtering ? assuming(state, `the VLANs of the ports of ${bridge.name} let it pass`) : state;
}

/** Runs the chains of family bridge, which see ports where those of IP see the bridge. */
function bridgeHook(
  hook: BridgeHook,
  { recording }: Setting,
  world: World,
  states: readonly State[],
  shown?: (states: readonly State[]) => Passage,
): Passage {
  const [first] = states;
  if (first === undefined) return { states: [], ended: [] };
  const { input, port } = first;
  const toPorts = (state: State): State => {
    const { input: _, ...rest } = state;
    const out = state.way?.port;
    return {
      ...rest,
      ...(port !== undefined && { input: port }),
      ...(state.way !== undefined && out !== undefined && { way: { ...state.way, output: out } }),
    };
  };
  const toBridge = (state: State): State => {
    const { input: _, ...rest } = state;
    const output = first.way?.output;
    return {
      ...rest,
      ...(input !== undefined && { input }),
      ...(state.way !== undefined && output !== undefined && { way: { ...state.way, output } }),
    };
  };
  const between =
    shown &&
    ((seen: readonly State[]) => {
      const { states: passed, ended } = shown(seen.map(toBridge));
      return { states: passed.map(toPorts), ended };
    });
  const passage = runBridgeHook(hook, states.map(toPorts), world, recording, between);
  return {
    states: passage.states.map(toBridge),
    ended: passage.ended.map((each) => ({ ...each, state: toBridge(each.state) })),
  };
}
