/** Hooks: who looks at a packet there, in the kernel's order. */
import type { Chain, Hook } from "../../kernel/nftables/index.ts";
import type { Link } from "../../kernel/route/index.ts";
import { formatHostPort } from "../../net/protocol.ts";
import { join, type Passage, type Recording, runBaseChain } from "./chain.ts";
import { answerAsService, type Balanced, balance, hasIpvs, ipvsAnswerPriority, ipvsPriority } from "./ipvs.ts";
import { hasPorts, type Packet } from "./packet.ts";
import { type Ended, type State, withStep } from "./state.ts";
import { track, translateKnown } from "./track.ts";
import type { World } from "./world.ts";

/** The priorities of the kernel's own work (`NF_IP_PRI_CONNTRACK`, `..._NAT_DST`, `..._NAT_SRC`). */
const conntrackPriority = -200;
const natPriority = { prerouting: -100, output: -100, input: 100, postrouting: 100 } as const;

/** The hooks of IP packets. */
export type IpHook = "prerouting" | "input" | "forward" | "output" | "postrouting";

interface Visitor {
  readonly priority: number;
  visit(states: readonly State[]): Passage & Partial<Balanced>;
}

/** Runs all that is hooked in at an IP hook, for one family of packets. */
export function runHook(hook: IpHook, states: readonly State[], world: World, recording: Recording): Balanced {
  const [first] = states;
  if (first === undefined) return { states: [], ended: [], sent: [] };
  const family = first.packet.family === "IPv4" ? "ip" : "ip6";
  const chains = hooked(world, hook, [family, "inet"]);
  const where = { family, hook } as const;
  const visitors: Visitor[] = [];
  const tracks = world.tracks(family);
  if (tracks && (hook === "prerouting" || hook === "output")) {
    visitors.push({
      priority: conntrackPriority,
      visit: (all) => ({ states: all.map((state) => track(world, state)), ended: [] }),
    });
  }
  for (const chain of chains) {
    if (chain.base?.type === "nat") continue;
    visitors.push({
      priority: chain.base?.priority ?? 0,
      visit: (all) => runBaseChain(chain, all, where, world, recording),
    });
  }
  const nat = chains.filter(({ base }) => base?.type === "nat");
  if (tracks && hook !== "forward") {
    visitors.push({
      priority: natPriority[hook],
      visit: (all) =>
        translate(hook, nat, all, world, (chain, some) => runBaseChain(chain, some, where, world, recording)),
    });
  }
  if ((hook === "input" || hook === "output" || hook === "forward") && hasIpvs(world)) {
    const back = (all: readonly State[]) => all.map((state) => answerAsService(state, world));
    visitors.push({ priority: ipvsAnswerPriority[hook], visit: (all) => ({ states: back(all), ended: [] }) });
  }
  if ((hook === "input" || hook === "output") && hasIpvs(world)) {
    visitors.push({ priority: ipvsPriority[hook], visit: (all) => balance(hook, all, world) });
  }
  return visitAll(visitors, states);
}

/** The hooks of frames on a bridge. */
export type BridgeHook = "prerouting" | "input" | "forward" | "output" | "postrouting";

/** The priority at which frames with IP packets are shown to the hooks of IP (`NF_BR_PRI_BRNF`). */
const bridgedPriority = 0;

/**
 * Runs the chains of family bridge at a hook.
 *
 * @param bridged what happens between them where bridged packets are shown to the hooks of IP, too.
 */
export function runBridgeHook(
  hook: BridgeHook,
  states: readonly State[],
  world: World,
  recording: Recording,
  bridged?: (states: readonly State[]) => Passage,
): Passage {
  const where = { family: "bridge", hook } as const;
  const visitors = hooked(world, hook, ["bridge"]).map((chain): Visitor => {
    return {
      priority: chain.base?.priority ?? 0,
      visit: (all) => runBaseChain(chain, all, where, world, recording),
    };
  });
  if (bridged !== undefined) visitors.push({ priority: bridgedPriority, visit: bridged });
  return visitAll(visitors, states);
}

/** The chains that look at what a link receives, or sends. */
export function linkChains(hook: "ingress" | "egress", link: Link, world: World): readonly Chain[] {
  return hooked(world, hook, ["netdev", "inet"]).filter(({ base }) => base?.devices?.includes(link.name));
}

/**
 * Runs the chains that look at what a link receives (`ingress`), or sends (`egress`): those of family netdev, and of inet
 * for what comes in. They see the link alone, before anybody else has looked, or after.
 */
export function runLinkHook(
  hook: "ingress" | "egress",
  link: Link,
  state: State,
  world: World,
  recording: Recording,
): Passage {
  const chains = linkChains(hook, link, world);
  if (chains.length === 0) return { states: [state], ended: [] };
  const { input: _, port: __, way: ___, ...rest } = state;
  const own = hook === "ingress" ? { input: link.index } : { way: { kind: "output", output: link.index } as const };
  const seen = atHook({ ...rest, ...own }, `${hook} of ${link.name}`);
  const back = ({ input: _i, port: _p, way: _w, ...each }: State): State => ({
    ...each,
    ...(state.input !== undefined && { input: state.input }),
    ...(state.port !== undefined && { port: state.port }),
    ...(state.way !== undefined && { way: state.way }),
  });
  const ip = state.packet.family === "IPv4" ? "ip" : "ip6";
  const visitors = chains.map((chain): Visitor => {
    const where = { family: chain.family === "inet" ? ip : "netdev", hook } as const;
    return {
      priority: chain.base?.priority ?? 0,
      visit: (all) => runBaseChain(chain, all, where, world, recording),
    };
  });
  const passage = visitAll(visitors, [seen]);
  return {
    states: passage.states.map(back),
    ended: passage.ended.map((each) => ({ ...each, state: back(each.state) })),
  };
}

function visitAll(visitors: Visitor[], states: readonly State[]): Balanced {
  visitors.sort((a, b) => a.priority - b.priority);
  const ended: Ended[] = [];
  const sent: State[] = [];
  let current: readonly State[] = states;
  for (const { visit } of visitors) {
    const passage = visit(current);
    for (const each of passage.ended) ended.push(each);
    for (const each of passage.sent ?? []) sent.push(each);
    current = join(passage.states);
  }
  return { states: current, ended, sent: join(sent) };
}

/** Base chains of these families at a hook: lower priorities first, and of equal ones the one that was made last. */
export function hooked(world: World, hook: Hook, families: readonly string[]): readonly Chain[] {
  return world
    .baseChains()
    .filter(({ family, base }) => base?.hook === hook && families.includes(family))
    .toReversed()
    .toSorted((a, b) => (a.base?.priority ?? 0) - (b.base?.priority ?? 0));
}

/**
 * Address translation: each side of a connection is settled once, by the first chain of type nat that translates. What
 * no chain translates stays as it is, for good.
 */
function translate(
  hook: Exclude<IpHook, "forward">,
  chains: readonly Chain[],
  states: readonly State[],
  world: World,
  run: (chain: Chain, states: readonly State[]) => Passage,
): Passage {
  const what = hook === "prerouting" || hook === "output" ? "destination" : "source";
  const side = `${what}Settled` as const;
  const done: State[] = [];
  const ended: Ended[] = [];
  let open: State[] = [];
  const sort = (all: readonly State[]) => {
    open = [];
    for (const state of all) (state.connection?.state !== "new" || state.connection[side] ? done : open).push(state);
  };
  sort(states);
  for (const chain of chains) {
    if (open.length === 0) break;
    const passage = run(chain, open);
    for (const each of passage.ended) ended.push(each);
    sort(passage.states);
  }
  for (const state of open) {
    done.push(state.connection === undefined ? state : { ...state, connection: { ...state.connection, [side]: true } });
  }
  return { states: done.map((state) => translateKnown(what, world, state)), ended };
}

/** A packet's header in one line: `TCP 10.0.0.1:? > 10.0.0.2:80`. */
export function formatPacket(packet: Packet): string {
  const names: Readonly<Record<number, string>> = {
    1: "ICMP",
    4: "IP in IP",
    6: "TCP",
    17: "UDP",
    58: "ICMPv6",
    132: "SCTP",
  };
  const end = (address: string, port: number | undefined) =>
    hasPorts(packet.protocol) ? (port === undefined ? address : formatHostPort(address, port)) : address;
  const { source, destination, sourcePort, destinationPort } = packet;
  return `${names[packet.protocol] ?? `protocol ${packet.protocol}`} ${end(source, sourcePort)} to ${end(destination, destinationPort)}`;
}

/** Adds a step that names the hook. */
export function atHook(state: State, text: string): State {
  return withStep(state, { kind: "hook", text, packet: state.packet });
}
