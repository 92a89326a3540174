/** What the routing tables say about a packet. */
import type { Fib, Rt } from "../../../kernel/nftables/index.ts";
import { type Address, addressBytes, familyOf } from "../../../net/address.ts";
import { knownBytes, unknownBytes } from "../packet.ts";
import { usableHops } from "../routing.ts";
import type { State } from "../state.ts";
import type { World } from "../world.ts";
import { hostU32, type Loaded, load, text16, u8 } from "./values.ts";

/** Types of addresses (`RTN_*` of `linux/rtnetlink.h`). */
export const typeNumbers = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
} as const;

/** Asks the routing tables about an address of the packet. */
export function loadFib({ result, flags }: Pick<Fib, "result" | "flags">, state: State, world: World): Loaded {
  const { packet } = state;
  const asked = flags.includes("saddr") ? "saddr" : "daddr";
  const name = `fib ${asked} ${result}`;
  const address = asked === "saddr" ? packet.source : packet.destination;
  const bound = flags.includes("iif") ? state.input : flags.includes("oif") ? state.way?.output : undefined;
  if (result === "type") {
    return load(name, hostU32(typeNumbers[addressType(address, bound, world)]));
  }
  const store = (index: number): Loaded => {
    if (flags.includes("present")) return load(name, u8(index === 0 ? 0 : 1));
    return result === "oif" ? load(name, hostU32(index)) : load(name, text16(world.link(index)?.name ?? ""));
  };
  // What comes in by loopback was routed already.
  if (state.input !== undefined && world.link(state.input)?.loopback) return store(state.input);
  const answer = world.routing.find({
    destination: address,
    source: asked === "saddr" ? packet.destination : packet.source,
    mark: flags.includes("mark") ? packet.mark : 0,
    ...(bound !== undefined && { output: bound }),
    packet,
  });
  if (answer.kind === "none" || answer.route.type !== "unicast") return store(0);
  if (answer.why !== undefined) return load(name, unknownBytes(16));
  return store(usableHops(answer.route, bound)[0]?.interface ?? 0);
}

/** The type of an address as rules see it: what the local table says, else unicast (IPv4), or what its route is (IPv6). */
export function addressType(address: Address, bound: number | undefined, world: World): keyof typeof typeNumbers {
  const bytes = addressBytes(address);
  if (familyOf(address) === "IPv4") {
    if ((bytes[0] ?? 0) >= 224 && (bytes[0] ?? 0) < 240) return "multicast";
    if (bytes[0] === 0 || bytes.every((byte) => byte === 255)) return "broadcast";
    const route = world.routing.local(address);
    if (route === undefined || route.type === "throw") return "unicast";
    return bound === undefined || route.nextHops.some((hop) => hop.interface === bound) ? route.type : "unicast";
  }
  if (bytes[0] === 255) return "multicast";
  const own = world.snapshot.addresses.filter((each) => each.address === address);
  if (own.some((each) => bound === undefined || each.interface === bound)) return "local";
  const answer = world.routing.find({ destination: address, mark: 0, ...(bound !== undefined && { output: bound }) });
  if (answer.kind === "none" || answer.route.type === "throw") return "unreachable";
  if (answer.route.type === "local" && bound !== undefined) return "unicast";
  return answer.route.type;
}

/** Facts about the route. */
export function loadRt({ key }: Pick<Rt, "key">, state: State): Loaded {
  if (state.way === undefined) return { absent: "the packet is not routed yet" };
  if (key === "nexthop ip" || key === "nexthop ip6") {
    return load(`rt ${key}`, knownBytes(addressBytes(state.way.gateway ?? state.packet.destination)));
  }
  return load(`rt ${key}`, unknownBytes(4));
}
