/** eBPF programs, and filters of tc: that they are there is known, and not what they do. */
import type { Link } from "../../../kernel/route/index.ts";
import type { PacketProgram } from "../../snapshot/programs.ts";
import type { Passage } from "../chain.ts";
import { protocolNumber } from "../packet.ts";
import { assuming, type Ended, type State } from "../state.ts";
import type { World } from "../world.ts";

/** The hooks of a link. */
export type LinkProgramHook = "xdp" | "ingress" | "egress";

/** Shows a packet to the programs of a link's hook: with each, it goes on as it was, or nobody knows how. */
export function pastPrograms(hook: LinkProgramHook, world: World, link: Link, state: State): Passage {
  const where = hook === "xdp" ? `at the driver of ${link.name} (XDP)` : `at ${hook} of ${link.name} (tc)`;
  const remedy =
    hook === "xdp" ? `bpftool net show dev ${link.name}` : `tc filter show dev ${link.name} ${hook}; bpftool net show`;
  return pastAll(world, state, world.programs(hook, link.index), where, remedy);
}

/** Shows what a program of a place sends to the eBPF programs that may change where its sockets lead. */
export function pastSocketPrograms(world: World, state: State): Passage {
  const { packet, moves, inner, awaited, midst } = state;
  const isFirst = moves === 0 && inner === undefined && awaited === undefined && !midst;
  const six = packet.family === "IPv6";
  const connects = packet.protocol === protocolNumber.tcp || packet.protocol === protocolNumber.udp;
  if (!isFirst || !connects) return { states: [state], ended: [] };
  const programs = [
    ...world.programs(six ? "connect6" : "connect4"),
    ...(packet.protocol === protocolNumber.udp ? world.programs(six ? "sendmsg6" : "sendmsg4") : []),
  ];
  return pastAll(world, state, programs, "at sockets", "bpftool cgroup tree");
}

function pastAll(
  world: World,
  state: State,
  programs: readonly PacketProgram[],
  where: string,
  remedy: string,
): Passage {
  const ended: Ended[] = [];
  let passed = state;
  for (const { kind, name } of programs) {
    const what = `${kind === "bpf" ? "eBPF program" : `filter ${kind}`}${name === undefined ? "" : ` ${name}`}`;
    const text = `${what} ${where} lets it pass unchanged`;
    const why = `${what} ${where} may drop it, change it or send it elsewhere, which is not followed`;
    ended.push({
      state: assuming(passed, `not: ${text}`),
      outcome: { kind: "unknown", why, remedy: `${remedy}, on ${world.place}` },
    });
    passed = assuming(passed, text);
  }
  return { states: [passed], ended };
}
