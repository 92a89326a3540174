/** A packet is handed to IP: the hook prerouting, the routing decision, and delivery or forwarding. */
import type { Link } from "../../../kernel/route/index.ts";
import { atHook, formatPacket, linkChains } from "../hooks.ts";
import { type State, withStep } from "../state.ts";
import { confirm } from "../track.ts";
import type { World } from "../world.ts";
import { dispatched, leave } from "./leave.ts";
import { each, eachOnward, nothing, type Onward, pastLink, run, type Setting, together } from "./onward.ts";
import { routeIncoming } from "./route.ts";
import { deliver } from "./socket.ts";

/** The most routers that a packet passes before it is said to go in a circle. */
const mostRouters = 64;

/**
 * Packets that came in by `state.input`.
 *
 * @param looked the hook prerouting has seen them already, as frames on a bridge.
 */
export function received(setting: Setting, world: World, states: readonly State[], looked: boolean): Onward {
  const link = world.link(states[0]?.input);
  // What comes from outside has passed the chains of its link. Bridges and loopback hand packets on to theirs here.
  const isInner = link !== undefined && (states[0]?.port !== undefined || link.loopback);
  const isWatched = (at: Link) =>
    linkChains("ingress", at, world).length > 0 ||
    (["xdp", "ingress"] as const).some((hook) => world.programs(hook, at.index).length > 0);
  if (!isInner || !isWatched(link)) return handed(setting, world, states, looked);
  return eachOnward(states, (state) =>
    pastLink("ingress", setting, { world, link }, state, (each) => handed(setting, world, [each], looked)),
  );
}

function handed(setting: Setting, world: World, states: readonly State[], looked: boolean): Onward {
  if (states.length === 0) return nothing;
  const { recording } = setting;
  const before = looked
    ? { states, ended: [] }
    : run(
        "prerouting",
        states.map((state) => entering(world, state)),
        world,
        recording,
      );
  const routed = each(before.states, (state) => (state.way === undefined ? routeIncoming(world, state) : stays(state)));
  const local = routed.states.filter(({ way }) => way?.kind === "local");
  const passing = routed.states.filter(({ way }) => way?.kind === "forward");
  return together(
    { moves: [], ended: [...before.ended, ...routed.ended] },
    delivered(setting, world, local),
    forward(setting, world, passing),
  );
}

const stays = (state: State) => ({ states: [state], ended: [] });

function entering(world: World, state: State): State {
  const name = world.linkName(state.port ?? state.input);
  const bridge = state.port === undefined ? "" : `, a port of bridge ${world.linkName(state.input)}`;
  return atHook(state, `comes in by ${name}${bridge}: ${formatPacket(state.packet)}`);
}

function delivered(setting: Setting, world: World, states: readonly State[]): Onward {
  const input = run("input", states, world, setting.recording);
  return together(
    { moves: [], ended: input.ended },
    eachOnward(input.states, (state) => deliver(setting.cluster, world, confirm(world, state))),
    dispatched(setting, world, input.sent),
  );
}

function forward(setting: Setting, world: World, states: readonly State[]): Onward {
  const aged = each(states, (state) => age(world, state));
  const forwarded = run("forward", aged.states, world, setting.recording);
  return together({ moves: [], ended: [...aged.ended, ...forwarded.ended] }, leave(setting, world, forwarded.states));
}

/** The router takes one from the time to live, and looks whether the packet fits (`ip_forward`). */
function age(world: World, state: State): ReturnType<typeof stays> | { states: State[]; ended: Onward["ended"] } {
  const { packet, way } = state;
  const routers = state.routers + 1;
  if (packet.ttl !== undefined && packet.ttl <= 1) {
    const why = `its time to live was ${packet.ttl} when it came to ${world.place}, which may pass it on no more`;
    return { states: [], ended: [{ state, outcome: { kind: "loop", why } }] };
  }
  if (routers > mostRouters) {
    const why = `it has passed ${mostRouters} routers, the last of them ${world.place}: it goes in a circle`;
    return { states: [], ended: [{ state, outcome: { kind: "loop", why } }] };
  }
  const aged = { ...state, routers, packet: packet.ttl === undefined ? packet : { ...packet, ttl: packet.ttl - 1 } };
  const mtu = way?.mtu ?? world.link(way?.output)?.mtu;
  if (packet.length === undefined || mtu === undefined || packet.length <= mtu) return stays(aged);
  const where = `${world.place} forwards no more than ${mtu} bytes by ${world.linkName(way?.output)}`;
  if (packet.family === "IPv4" && packet.dontFragment === false) {
    return stays(withStep(aged, { kind: "note", text: `${where}: it is cut into pieces` }));
  }
  const message = packet.family === "IPv4" ? "fragmentation needed" : "packet too big";
  const why = `it has ${packet.length} bytes and ${where}; the sender is told (ICMP, ${message})`;
  const remedy = "see that ICMP gets back to the sender, or give its link the smaller MTU";
  return { states: [], ended: [{ state: aged, outcome: { kind: "too long", why, remedy } }] };
}
