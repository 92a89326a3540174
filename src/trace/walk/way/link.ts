/** Over a link: whom the frame is for, and to which place it comes. */
import type { MacAddress, Neighbour } from "../../../kernel/route/index.ts";
import { type Address, addressBytes, familyOf } from "../../../net/address.ts";
import type { Cluster } from "../cluster.ts";
import { type State, withStep } from "../state.ts";
import type { End, Segment } from "../wiring.ts";
import type { World } from "../world.ts";
import { bridgeSends, enterBridge } from "./bridge.ts";
import { intoIpip } from "./ipip.ts";
import { departed, end, move, type Onward, pastLink, type Setting } from "./onward.ts";
import { awaitedOutside, targetOf } from "./socket.ts";
import { apartFrom, bottomOf, downFrom, upFrom } from "./stacked.ts";
import { intoTunnel } from "./vxlan.ts";

/** `ARPHRD_ETHER`. */
const ethernet = 1;
/** What a receiver tolerates beyond its MTU: the tag of a VLAN (`is_skb_forwardable`). */
const tolerated = 4;

/** A packet of IP leaves by a link, for the next hop. */
export function outBy(setting: Setting, from: End, state: State, nextHop: Address): Onward {
  const { world, link } = from;
  const cast = manyOf(world, state);
  if (cast !== undefined) return end(state, { kind: "unknown", why: cast });
  if (!link.running && link.operState !== "unknown") {
    const why = `${world.linkTitle(link.index)} is up, but has no carrier: its other end is down or gone`;
    return end(state, { kind: "no neighbour", why, remedy: `ip link show ${link.name}` });
  }
  const { details } = link;
  if (details?.kind === "ipip") {
    return pastLink("egress", setting, from, state, (each) => intoIpip(from, each, details, nextHop));
  }
  if (link.noArp || link.hardware !== ethernet) {
    return pastLink("egress", setting, from, state, (each) => away(from, each));
  }
  const receiver = resolve(setting.cluster, from, nextHop);
  const widest = Math.min(state.widest ?? link.mtu, link.mtu, state.way?.mtu ?? link.mtu);
  switch (receiver.kind) {
    case "nobody":
      return end(state, { kind: "no neighbour", why: receiver.why, remedy: receiver.remedy });
    case "open":
      return pastLink("egress", setting, from, state, (each) => leaveOpen(setting, from, each, nextHop, undefined));
    case "mac": {
      const noted = receiver.note === undefined ? state : withStep(state, { kind: "note", text: receiver.note });
      return transmit(setting, from, { ...noted, widest, frame: { to: receiver.mac } }, nextHop);
    }
  }
}

/** A frame leaves by a link. */
export function transmit(setting: Setting, from: End, state: State, nextHop: Address): Onward {
  return pastLink("egress", setting, from, state, (each) => over(setting, from, each, nextHop));
}

function over(setting: Setting, from: End, state: State, nextHop: Address): Onward {
  const { world, link } = from;
  if (link.kind === "bridge") return bridgeSends(setting, from, state);
  if (link.details?.kind === "vxlan") return intoTunnel(setting.cluster, from, state, link.details);
  const lower = downFrom(setting, from, state, nextHop);
  if (lower !== undefined) return lower;
  const peer = setting.cluster.wiring.peer(from);
  if (peer !== undefined) return cross(from, peer, state);
  return leaveOpen(setting, { world, link }, state, nextHop, state.frame?.to);
}

/** Over a pair of links, or a wire, to the other end. */
function cross(from: End, to: End, state: State): Onward {
  const { world, link } = to;
  const title = world.linkTitle(link.index);
  const { length } = state.packet;
  const fits = length === undefined || length <= link.mtu + tolerated;
  const longest = Math.min(state.widest ?? from.link.mtu, from.link.mtu);
  const narrow = link.mtu < longest ? { narrow: { mtu: link.mtu, longest, link: title, place: world.place } } : {};
  if (!link.up) {
    const why = `${title}, at the other end of ${from.world.linkTitle(from.link.index)}, is down`;
    return end(state, { kind: "no neighbour", why, remedy: `ip link set ${link.name} up` });
  }
  if (!fits) {
    const why = `it has ${length} bytes; ${from.world.linkTitle(from.link.index)} sends up to ${from.link.mtu}, and ${title} takes ${link.mtu}: it is dropped there, and nobody is told`;
    const remedy = "give both ends of the wire the same MTU, or the smaller one to all, pods included";
    return end(state, { kind: "too long", why, remedy });
  }
  const text = from.world === world ? `over ${from.link.name} to ${link.name}` : `over ${from.link.name} to ${title}`;
  return move(
    world,
    {
      ...withStep(departed(state), { kind: "link", text }),
      widest: Math.min(longest, link.mtu),
      ...narrow,
      place: world.place,
      input: link.index,
    },
    "frame",
  );
}

/** A frame has come in by `state.input`. */
export function arrived(setting: Setting, world: World, state: State): Onward {
  const link = world.link(state.input);
  if (link === undefined) return end(state, { kind: "unknown", why: "the interface is not in the snapshot" });
  return pastLink("ingress", setting, { world, link }, state, (each) => taken(setting, { world, link }, each));
}

/** The link's own chains let a frame pass: a bridge takes it, or IP. */
function taken(setting: Setting, { world, link }: End, state: State): Onward {
  const title = world.linkTitle(link.index);
  const upper = upFrom(setting, { world, link }, state);
  if (upper !== undefined) return upper;
  const master = world.link(link.master);
  if (master?.kind === "bridge") return enterBridge(setting, { world, link }, master, state);
  if (master !== undefined && master.kind !== "vrf") {
    const why = `${title} is a port of ${master.name} (${master.kind ?? "no kind"}), which is not followed`;
    return end(state, { kind: "unknown", why });
  }
  const to = state.frame?.to;
  if (to !== undefined && link.mac !== undefined && to !== link.mac && !link.promiscuous) {
    const why = `the frame is for ${to}, and comes to ${title}, which is ${link.mac}: it is not taken`;
    return end(state, { kind: "no neighbour", why, remedy: "look for the stale entry: ip neigh, bridge fdb" });
  }
  const { frame: _, ...rest } = state;
  return move(world, rest, "packet");
}

/** What links lead to that are in no snapshot: another machine's that has the address, or the unknown. */
function leaveOpen(
  { cluster }: Setting,
  from: End,
  state: State,
  nextHop: Address,
  mac: MacAddress | undefined,
): Onward {
  const there = cluster.acrossTheWire(from.world, nextHop);
  if (there === undefined) return away(from, state);
  const written = from.world.neighbour(from.link.index, nextHop);
  if (written?.state === "permanent" && there.link.mac !== undefined && mac !== there.link.mac) {
    return end(state, {
      kind: "no neighbour",
      why: wrongEntry(from, written, there),
      remedy: `ip neigh del ${nextHop} dev ${from.link.name}`,
    });
  }
  const { mac: to } = there.link;
  // Switches on the wire may change tags.
  const { end: bottom, tag } = bottomOf(cluster.wiring, there);
  return cross(from, bottom, { ...state, frame: { ...tag, ...(to !== undefined && { to }) } });
}

/** It leaves all places that are known. */
function away({ world, link }: End, state: State): Onward {
  const outside = state.awaited === undefined ? undefined : awaitedOutside(state, state.awaited);
  if (outside !== undefined) return end(state, outside);
  const { output, gateway } = state.way ?? {};
  return end(state, {
    kind: "forwarded",
    to: targetOf(state.packet),
    // What is routed leaves by the interface of the route, whichever port of a bridge that is.
    interface: world.link(output)?.name ?? link.name,
    ...(gateway !== undefined && { gateway }),
  });
}

/** Broadcasts and multicasts, which go to many, as a sentence. */
function manyOf(world: World, { packet }: State): string | undefined {
  const { destination, family } = packet;
  const [first = 0] = addressBytes(destination);
  const many =
    family === "IPv6"
      ? first === 0xff
      : (first >= 224 && first < 240) || world.routing.local(destination)?.type === "broadcast";
  return many ? `${destination} is a multicast or broadcast address, which is not followed` : undefined;
}

type Receiver =
  | { readonly kind: "mac"; readonly mac: MacAddress; readonly note?: string }
  /** It is asked for where no snapshot was taken. */
  | { readonly kind: "open" }
  | { readonly kind: "nobody"; readonly why: string; readonly remedy: string };

/** The hardware address of the next hop: as the neighbour entry says, or as whoever answers would say. */
export function resolve(cluster: Cluster, from: End, nextHop: Address): Receiver {
  const { world, link } = from;
  const entry = world.neighbour(link.index, nextHop);
  const segment = cluster.wiring.segment(from);
  const answering = segment.stations.filter((station) => answers(station, nextHop));
  const owner = answering.find(({ link: { mac } }) => mac !== undefined);
  if (entry?.mac !== undefined && (entry.state === "permanent" || entry.state === "noArp")) {
    if (segment.open || hears(segment, entry.mac)) return { kind: "mac", mac: entry.mac };
    return {
      kind: "nobody",
      why: wrongEntry(from, entry, owner),
      remedy: `ip neigh del ${nextHop} dev ${link.name}`,
    };
  }
  if (entry?.mac !== undefined && entry.state !== "failed" && entry.state !== "incomplete") {
    if (owner === undefined || answering.some((station) => station.link.mac === entry.mac)) {
      return { kind: "mac", mac: entry.mac };
    }
    const note = `${world.place} takes ${entry.mac} for ${nextHop}, until it asks again: that is ${owner.link.mac} now`;
    return { kind: "mac", mac: owner.link.mac ?? entry.mac, note };
  }
  if (owner?.link.mac !== undefined) return { kind: "mac", mac: owner.link.mac };
  const apart = apartFrom(cluster.wiring, from, nextHop);
  if (apart !== undefined) return { kind: "nobody", ...apart };
  const failed = entry?.state === "failed" || entry?.state === "incomplete";
  if (segment.open && (!failed || cluster.acrossTheWire(world, nextHop) !== undefined)) return { kind: "open" };
  const asks = familyOf(nextHop) === "IPv4" ? "ARP" : "neighbour discovery";
  return {
    kind: "nobody",
    why: failed
      ? `nobody answered for ${nextHop} on ${world.linkTitle(link.index)} (${asks}: ${entry.state.toUpperCase()})`
      : `nobody on the link of ${world.linkTitle(link.index)} has ${nextHop}, so that ${asks} gets no answer`,
    remedy: `ip neigh show ${nextHop}; is the address in the route that of a machine that runs?`,
  };
}

function wrongEntry(from: End, { address, mac }: Neighbour, owner: End | undefined): string {
  const place = from.world.place;
  const real =
    owner === undefined
      ? "which nobody has"
      : `which nobody has: ${owner.world.linkTitle(owner.link.index)} is ${owner.link.mac}`;
  return `${place} has a permanent neighbour entry for ${address} on ${from.link.name} with hardware address ${mac}, ${real}`;
}

function hears(segment: Segment, mac: MacAddress): boolean {
  return segment.stations.some(({ link }) => link.mac === mac || link.promiscuous === true);
}

/** Whether somebody answers who is asked for an address: it has it, or speaks for others (`proxy_arp`). */
function answers({ world, link }: End, address: Address): boolean {
  if (!link.up) return false;
  if (world.isOwn(address)) return true;
  if (familyOf(address) !== "IPv4") return false;
  if (!["all", link.name].some((name) => world.sysctl(`net/ipv4/conf/${name}/proxy_arp`) === "1")) return false;
  const answer = world.routing.find({ destination: address, mark: 0 });
  if (answer.kind === "none" || answer.route.type !== "unicast") return false;
  return !answer.route.nextHops.some((hop) => hop.interface === link.index);
}
