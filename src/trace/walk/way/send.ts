/** A program of a place sends a packet. */
import { atHook, formatPacket } from "../hooks.ts";
import type { State } from "../state.ts";
import type { World } from "../world.ts";
import { dispatched, leave } from "./leave.ts";
import { each, eachOnward, type Onward, run, type Setting, together } from "./onward.ts";
import { pastSocketPrograms } from "./programs.ts";
import { routeOutgoing } from "./route.ts";

/** Packets of programs: routed, shown to the hook output, and routed again where that changed them. */
export function sent(setting: Setting, world: World, states: readonly State[]): Onward {
  return eachOnward(states, (state) => sendOne(setting, world, state));
}

function sendOne(setting: Setting, world: World, state: State): Onward {
  const who = state.inner !== undefined ? "the tunnel sends" : `a program here ${verb(state)}`;
  const started = pastSocketPrograms(world, atHook(state, `${who}: ${formatPacket(state.packet)}`));
  const routed = each(started.states, (one) => routeOutgoing(world, one));
  const output = run("output", routed.states, world, setting.recording);
  const again = each(output.states, (after) => {
    const same = state.packet.destination === after.packet.destination && state.packet.mark === after.packet.mark;
    return same ? { states: [after], ended: [] } : routeOutgoing(world, after);
  });
  return together(
    { moves: [], ended: [...started.ended, ...routed.ended, ...output.ended, ...again.ended] },
    leave(setting, world, again.states),
    dispatched(setting, world, output.sent),
  );
}

const verb = ({ awaited }: State) => (awaited === undefined ? "sends" : "answers");
