/** Packets in packets: what a tunnel sends, and what comes out of it. Pure. */
import type { Link } from "../../kernel/route/index.ts";
import { type Address, familyOf } from "../../net/address.ts";
import { type Packet, protocolNumber } from "./packet.ts";
import { type Inner, type State, withoutPlace, withStep } from "./state.ts";
import type { World } from "./world.ts";

/** A packet goes on in another one, which this place sends. */
export function wrap(state: State, outer: Packet, tunnel: Inner["tunnel"], overhead: number, text: string): State {
  const { frame: _f, awaited: _a, ...rest } = withoutPlace(withStep(state, { kind: "link", text }));
  const widest = state.widest === undefined ? {} : { widest: state.widest + overhead };
  return { ...rest, ...widest, packet: outer, inner: { tunnel, state } };
}

/** What a tunnel's packet carried, as it comes out of a device of the place. */
export function unwrap(world: World, outer: State, { state: inner }: Inner, device: Link): State {
  const unpacked: State = {
    ...withoutPlace(inner),
    // What the outer packet was marked as stays (`skb_scrub_packet`).
    packet: { ...inner.packet, mark: outer.packet.mark, priority: 0 },
    place: world.place,
    moves: outer.moves,
    input: device.index,
    tracked: outer.tracked,
    probability: outer.probability,
    assumptions: outer.assumptions,
    trail: outer.trail,
    touched: [],
    traced: false,
    ...(outer.narrow !== undefined && { narrow: outer.narrow }),
  };
  return withStep(unpacked, { kind: "link", text: `${device.name} unpacks it` });
}

/** The source that a place's own packets to an address have; undefined where no route leads there. */
export function sourceTowards(world: World, remote: Address, mark: number): Address | undefined {
  const answer = world.routing.find({ destination: remote, mark });
  return answer.kind === "none" ? undefined : world.routing.sourceOf(answer.route, remote);
}

/** Bytes of the header that IP in IP puts in front. */
export const ipipOverhead = 20;

/** The outer packet of IP in IP (RFC 2003), which may not be cut, as long as nobody has changed that on the device. */
export function ipipPacket(inner: Packet, source: Address, remote: Address): Packet {
  return {
    family: familyOf(remote),
    source,
    destination: remote,
    protocol: protocolNumber.ipip,
    mark: inner.mark,
    priority: 0,
    dontFragment: true,
    ...(inner.ttl !== undefined && { ttl: inner.ttl }),
    ...(inner.length !== undefined && { length: inner.length + ipipOverhead }),
  };
}
