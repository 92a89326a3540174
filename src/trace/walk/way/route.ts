/** Routing decisions on a packet's way. */
import { addressBytes, isLoopback } from "../../../net/address.ts";
import type { Passage } from "../chain.ts";
import { usableHops } from "../routing.ts";
import { assuming, type Outcome, type State, withStep } from "../state.ts";
import type { World } from "../world.ts";

const end = (state: State, outcome: Outcome): Passage => ({ states: [], ended: [{ state, outcome }] });

/** The route of a packet that came in; with what keeps the kernel from believing its addresses. */
export function routeIncoming(world: World, state: State): Passage {
  const { packet, input } = state;
  const { destination, source, mark, family } = packet;
  const device = world.linkName(input);
  // Loopback's packets keep the route that they were sent by.
  if (world.link(input)?.loopback) return { states: [{ ...state, way: { kind: "local" } }], ended: [] };
  const localnet =
    truthy(world, `net/ipv4/conf/all/route_localnet`) || truthy(world, `net/ipv4/conf/${device}/route_localnet`);
  if (isLoopback(source) && !(family === "IPv4" && localnet)) {
    return end(state, { kind: "martian", why: `${source} is a loopback address, and comes in by ${device}` });
  }
  if (isLoopback(destination) && !(family === "IPv4" && localnet)) {
    return end(state, {
      kind: "martian",
      why: `${destination} is a loopback address, and the packet comes in by ${device}`,
    });
  }
  const [first = 0] = addressBytes(source);
  if (family === "IPv4" && (first >= 224 || (first === 0 && destination !== "255.255.255.255"))) {
    return end(state, { kind: "martian", why: `${source} cannot be a source` });
  }
  const answer = world.routing.find({ destination, source, mark, input: device, packet });
  if (answer.kind === "none") return end(state, { kind: "no route", why: answer.why });
  const known = answer.why === undefined ? state : assuming(state, `not: ${answer.why}`);
  const { route } = answer;
  const martian = family === "IPv4" ? reversePath(world, state) : undefined;
  if (martian !== undefined) return end(known, { kind: "martian", why: martian });
  if (route.type === "local" || route.type === "broadcast" || route.type === "anycast") {
    const step = withStep(known, { kind: "route", text: `${destination} is an address of its own` });
    return { states: [{ ...step, way: { kind: "local" } }], ended: [] };
  }
  if (route.type !== "unicast")
    return end(known, { kind: "no route", why: `the route to ${route.destination} says ${route.type}` });
  const forwarding = family === "IPv4" ? `net/ipv4/conf/${device}/forwarding` : "net/ipv6/conf/all/forwarding";
  if (!truthy(world, forwarding)) return end(known, { kind: "forwarding off", why: `sysctl ${forwarding} is 0` });
  return hops(world, known, route, "forward");
}

/** Why a source is not to be believed (`rp_filter`, addresses of this node); undefined if it is. */
function reversePath(world: World, { packet, input }: State): string | undefined {
  const { source, destination, mark } = packet;
  const device = world.linkName(input);
  const modes = ["all", device].map((name) => Number(world.sysctl(`net/ipv4/conf/${name}/rp_filter`) ?? 0));
  const mode = Math.max(...modes);
  const acceptLocal = ["all", device].some((name) => truthy(world, `net/ipv4/conf/${name}/accept_local`));
  if (world.isOwn(source) || world.routing.local(source)?.type === "local") {
    return acceptLocal ? undefined : `${source} is an address of this node, and comes in by ${device}`;
  }
  if (mode === 0) return undefined;
  const answer = world.routing.find({
    destination: source,
    source: destination,
    mark: truthy(world, `net/ipv4/conf/${device}/src_valid_mark`) ? mark : 0,
  });
  if (answer.kind === "none") return `rp_filter: no route leads back to ${source}`;
  if (mode === 1 && !usableHops(answer.route).some((hop) => hop.interface === input)) {
    const back = world.linkName(usableHops(answer.route)[0]?.interface);
    return `rp_filter is 1, and the way back to ${source} is by ${back}, not by ${device}`;
  }
  return undefined;
}

function truthy(world: World, sysctl: string): boolean {
  return Number(world.sysctl(sysctl) ?? 0) > 0;
}

/** The route of a packet of this node. */
export function routeOutgoing(world: World, state: State): Passage {
  const { packet } = state;
  const { destination, source, mark } = packet;
  const answer = world.routing.find({ destination, source, mark, packet });
  if (answer.kind === "none") return end(state, { kind: "no route", why: answer.why });
  const known = answer.why === undefined ? state : assuming(state, `not: ${answer.why}`);
  const { route } = answer;
  if (route.type === "local") {
    const loopback = world.snapshot.links.find((link) => link.loopback)?.index;
    const step = withStep(known, { kind: "route", text: `${destination} is an address of its own` });
    return {
      states: [{ ...step, way: { kind: "output", ...(loopback !== undefined && { output: loopback }) } }],
      ended: [],
    };
  }
  if (route.type !== "unicast")
    return end(known, { kind: "no route", why: `the route to ${route.destination} says ${route.type}` });
  return hops(world, known, route, "output");
}

/** One branch for each next hop. */
function hops(
  world: World,
  state: State,
  route: Parameters<typeof usableHops>[0],
  kind: "forward" | "output",
): Passage {
  const usable = usableHops(route);
  const weights = usable.reduce((sum, { weight }) => sum + weight, 0);
  if (usable.length === 0)
    return end(state, { kind: "no route", why: `all next hops of ${route.destination} are down` });
  return {
    ended: [],
    states: usable.map(({ interface: output, gateway, weight }) => {
      const via = gateway === undefined ? "directly" : `through ${gateway}`;
      const text = `${state.packet.destination} is reached by ${world.linkName(output)}, ${via} (route ${route.destination})`;
      const way = {
        kind,
        route: route.destination,
        ...(route.mtu !== undefined && { mtu: route.mtu }),
        ...(output !== undefined && { output }),
        ...(gateway !== undefined && { gateway }),
      };
      return { ...withStep(state, { kind: "route", text }), way, probability: (state.probability * weight) / weights };
    }),
  };
}
