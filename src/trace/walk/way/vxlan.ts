/** VXLAN: a frame leaves in a packet of its own (RFC 7348), out of which another place takes it. */
import type { Link, LinkDetails, MacAddress } from "../../../kernel/route/index.ts";
import { type Address, familyOf } from "../../../net/address.ts";
import type { Cluster } from "../cluster.ts";
import { type Packet, protocolNumber } from "../packet.ts";
import type { State } from "../state.ts";
import type { End } from "../wiring.ts";
import type { World } from "../world.ts";
import { sourceTowards, wrap } from "../wrap.ts";
import { end, move, type Onward } from "./onward.ts";

type Vxlan = Extract<LinkDetails, { kind: "vxlan" }>;

/** Outer headers in bytes: IP, UDP, VXLAN and the frame's own. */
const overhead = { IPv4: 20 + 8 + 8 + 14, IPv6: 40 + 8 + 8 + 14 } as const;
const everybody = "00:00:00:00:00:00" as MacAddress;

/** A frame leaves by a VXLAN device. */
export function intoTunnel(cluster: Cluster, { world, link }: End, state: State, details: Vxlan): Onward {
  const to = state.frame?.to;
  const name = world.linkName(link.index);
  if (to === undefined) return end(state, { kind: "unknown", why: `for whom the frame on ${name} is, is not known` });
  const [own] = world.forwarding(link.index, to).filter(({ destination }) => destination !== undefined);
  const flooded = world.forwarding(link.index, everybody).flatMap(({ destination }) => destination ?? []);
  const remotes = own?.destination !== undefined ? [own.destination] : flooded;
  // Of all that a frame for somebody unknown is sent to, one at most takes it.
  const remote =
    remotes.find((each) => cluster.owners(each).some((at) => hasTunnelEnd(at.world, to))) ??
    remotes[0] ??
    details.group;
  if (remote === undefined) {
    const why = `${world.linkTitle(link.index)} knows no remote for ${to}: its forwarding database has no entry`;
    const remedy = `bridge fdb show dev ${name}; have the network's agent write it again`;
    return end(state, { kind: "no neighbour", why, remedy });
  }
  const outer = outerPacket(world, details, state.packet, remote, own?.port ?? details.port);
  if (outer === undefined)
    return end(state, { kind: "no route", why: `${name} has no address to reach ${remote} from` });
  const vni = own?.vni ?? details.id;
  const text = `${name} puts it into a packet to ${remote} (VXLAN ${vni}), for ${to}`;
  return move(world, wrap(state, outer, { kind: "vxlan", vni }, overhead[outer.family], text), "own");
}

function hasTunnelEnd(world: World, mac: MacAddress): boolean {
  return world.snapshot.links.some((link) => link.mac === mac);
}

function outerPacket(
  world: World,
  { local, id }: Vxlan,
  inner: Packet,
  remote: Address,
  port: number,
): Packet | undefined {
  const family = familyOf(remote);
  const source = local ?? sourceTowards(world, remote, inner.mark);
  if (source === undefined || id < 0) return undefined;
  return {
    family,
    source,
    destination: remote,
    protocol: protocolNumber.udp,
    destinationPort: port,
    mark: inner.mark,
    priority: 0,
    ...(family === "IPv4" && { dontFragment: false }),
    ...(inner.length !== undefined && { length: inner.length + overhead[family] }),
  };
}

/** The device of a place that takes a tunnel's packet; undefined for packets that are none, or find none. */
export function takesVxlan({ snapshot }: World, { packet, inner }: State): Link | undefined {
  const { tunnel } = inner ?? {};
  if (tunnel?.kind !== "vxlan") return undefined;
  return snapshot.links.find(
    ({ details, up }) =>
      up &&
      details?.kind === "vxlan" &&
      details.id === tunnel.vni &&
      details.port === packet.destinationPort &&
      (details.local === undefined || details.local === packet.destination),
  );
}
