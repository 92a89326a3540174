/** IP in IP: a packet leaves in another one (RFC 2003, `net/ipv4/ipip.c`), out of which another place takes it. */
import type { Link, LinkDetails } from "../../../kernel/route/index.ts";
import type { Address } from "../../../net/address.ts";
import { protocolNumber } from "../packet.ts";
import type { State } from "../state.ts";
import type { End } from "../wiring.ts";
import type { World } from "../world.ts";
import { ipipOverhead, ipipPacket, sourceTowards, wrap } from "../wrap.ts";
import { end, move, type Onward } from "./onward.ts";

type Ipip = Extract<LinkDetails, { kind: "ipip" }>;

/** A packet leaves by a device, for the next hop of its route. */
export function intoIpip({ world, link }: End, state: State, details: Ipip, nextHop: Address): Onward {
  const { packet } = state;
  if (packet.family !== "IPv4") return end(state, { kind: "unknown", why: `${link.name} carries ${packet.family}` });
  const remote = details.remote ?? nextHop;
  const source = details.local ?? sourceTowards(world, remote, packet.mark);
  if (source === undefined) {
    return end(state, { kind: "no route", why: `${link.name} has no address to reach ${remote} from` });
  }
  const text = `${link.name} puts it into a packet to ${remote} (IP in IP)`;
  const outer = ipipPacket(packet, source, remote);
  return move(world, wrap(state, outer, { kind: "ipip" }, ipipOverhead, text), "own");
}

/** The device of a place that takes a tunnel's packet: the one that is made for both ends before one that is for all. */
export function takesIpip({ snapshot }: World, { packet, inner }: State): Link | undefined {
  if (inner?.tunnel.kind !== "ipip" || packet.protocol !== protocolNumber.ipip) return undefined;
  const { source, destination } = packet;
  const fit = ({ up, details }: Link): number => {
    if (!up || details?.kind !== "ipip") return 0;
    const { local, remote } = details;
    if ((local ?? destination) !== destination || (remote ?? source) !== source) return 0;
    return 1 + (local === undefined ? 0 : 1) + (remote === undefined ? 0 : 2);
  };
  return snapshot.links.filter((link) => fit(link) > 0).toSorted((a, b) => fit(b) - fit(a))[0];
}
