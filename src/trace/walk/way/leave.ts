/** The last hook, and out by a link; or back in by loopback. */
import { type State, withStep } from "../state.ts";
import { confirm } from "../track.ts";
import type { World } from "../world.ts";
import { outBy } from "./link.ts";
import { eachOnward, end, move, type Onward, pastLink, run, type Setting, together } from "./onward.ts";

/** Packets whose way is decided. */
export function leave(setting: Setting, world: World, states: readonly State[]): Onward {
  const out = run("postrouting", states, world, setting.recording);
  return together(
    { moves: [], ended: out.ended },
    eachOnward(out.states, (state) => leaveBy(setting, world, confirm(world, state))),
  );
}

/** What IPVS sends: it passes output as a packet of this place does, with its way decided. */
export function dispatched(setting: Setting, world: World, states: readonly State[]): Onward {
  const output = run("output", states, world, setting.recording);
  return together({ moves: [], ended: output.ended }, leave(setting, world, output.states));
}

function leaveBy(setting: Setting, world: World, state: State): Onward {
  const { way } = state;
  const link = world.link(way?.output);
  if (link?.loopback) {
    return pastLink("egress", setting, { world, link }, state, ({ way: _, connection, ...rest }) => {
      const confirmed = connection && { connection: { ...connection, confirmed: connection.state === "new" } };
      return move(world, { ...rest, ...confirmed, input: link.index }, "packet");
    });
  }
  if (link === undefined || !link.up) {
    return end(state, {
      kind: "no route",
      why: `${world.linkTitle(way?.output)} is down or not there`,
      remedy: `ip link set ${world.linkName(way?.output)} up`,
    });
  }
  const fitting = way?.kind === "output" ? fit(world, state, way.mtu ?? link.mtu) : state;
  if (fitting === undefined) {
    const why = `it has ${state.packet.length} bytes, may not be cut, and ${world.linkTitle(link.index)} takes ${way?.mtu ?? link.mtu}`;
    return end(state, { kind: "too long", why });
  }
  return outBy(setting, { world, link }, fitting, way?.gateway ?? state.packet.destination);
}

/** What this place sends itself is cut where it may be; undefined where it may not. */
function fit(world: World, state: State, mtu: number): State | undefined {
  const { length, dontFragment } = state.packet;
  if (length === undefined || length <= mtu) return state;
  if (dontFragment) return undefined;
  const text = `longer than the ${mtu} bytes that ${world.linkTitle(state.way?.output)} takes: it is cut into pieces`;
  return withStep({ ...state, packet: { ...state.packet, length: mtu } }, { kind: "note", text });
}
