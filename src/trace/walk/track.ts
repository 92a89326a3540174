/** The connection tracker of a place: what it knows of a packet, and what it remembers once the packet has passed. */
import type { ConntrackEntry } from "../../kernel/conntrack/index.ts";
import { statusBit } from "../../kernel/conntrack/index.ts";
import { formatHostPort } from "../../net/protocol.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { hasPorts, type Packet, protocolNumber, samePacket } from "./packet.ts";
import {
  type Connection,
  type State,
  type Tracked,
  type TrackedFlow,
  type Tuple,
  withStep,
  type Zones,
} from "./state.ts";
import type { World } from "./world.ts";

/** What was found for a packet. */
interface Found extends TrackedFlow {
  readonly zones: Zones;
  readonly direction: Connection["direction"];
  readonly mark: number;
  /** An answer has been seen, or this is one. */
  readonly answered: boolean;
  /** It is in the snapshot, and not only a consequence of this walk. */
  readonly real: boolean;
}

/** The tracker sees the packet (`nf_conntrack_in`). */
export function track(world: World, state: State): State {
  if (state.connection !== undefined) return state;
  const { packet } = state;
  const found = inWalk(world, state) ?? inSnapshot(world, packet, state.zones ?? usual);
  const zones = found?.zones ?? state.zones ?? usual;
  const settled = found !== undefined;
  const connection: Connection = {
    state: found?.answered ? "established" : "new",
    direction: found?.direction ?? "original",
    mark: found?.mark ?? 0,
    original: found === undefined ? packet : packetOf(found.original, packet),
    destinationTranslated: found !== undefined && !mirrors(found, "destination"),
    sourceTranslated: found !== undefined && !mirrors(found, "source"),
    destinationSettled: settled,
    sourceSettled: settled,
    confirmed: settled,
    ...zonesOf(zones),
    ...(found !== undefined && { entry: { original: found.original, reply: found.reply } }),
  };
  if (found === undefined) return { ...state, connection };
  const { direction, original, reply, real } = found;
  const tracked = direction === "reply" ? withAnswer(world, state.tracked, found) : state.tracked;
  return withStep({ ...state, connection, tracked }, { kind: "tracked", direction, original, reply, real });
}

/** Remembers that an answer has passed (`IPS_SEEN_REPLY`). */
function withAnswer(world: World, tracked: readonly Tracked[], found: Found): Tracked[] {
  const { original, reply, mark, real, zones } = found;
  const { place } = world;
  const isIt = (each: Tracked) => each.place === place && sameEntry(each, found);
  const carries = tracked.some((each) => isIt(each) && each.carries);
  const entry: Tracked = {
    ...{ place, original, reply, mark, answered: true },
    ...(real && { real }),
    ...(carries && { carries }),
    ...zonesOf(zones),
  };
  return [...tracked.filter((each) => !isIt(each)), entry];
}

/** Translates a packet of a connection that is known, as its first one was (`nf_nat_packet`). */
export function translateKnown(side: "destination" | "source", world: World, state: State): State {
  const { packet, connection } = state;
  const { entry } = connection ?? {};
  if (connection === undefined || entry === undefined || connection.state === "untracked") return state;
  if (!world.translates(packet.family)) return state;
  const other = connection.direction === "original" ? entry.reply : entry.original;
  const translated = side === "destination" ? toSource(packet, other) : fromDestination(packet, other);
  if (samePacket(packet, translated)) return state;
  const [address, port] =
    side === "destination"
      ? [translated.destination, translated.destinationPort]
      : [translated.source, translated.sourcePort];
  const text = `connection tracking: the ${side} becomes ${formatHost(address, port, packet)}`;
  return withStep({ ...state, packet: translated }, { kind: "rewrite", text });
}

/** Remembers a new connection: its packet has passed the last hook of this place (`nf_conntrack_confirm`). */
export function confirm(world: World, state: State): State {
  const { connection, packet, tracked } = state;
  if (connection === undefined || connection.state !== "new" || connection.entry !== undefined) return state;
  const entry = {
    place: world.place,
    original: tupleOf(connection.original),
    reply: inverse(tupleOf(packet)),
    mark: connection.mark,
    ...zonesOf(connection.zones ?? usual),
    ...(state.inner !== undefined && { carries: true as const }),
  };
  const known = tracked.some((each) => each.place === entry.place && sameEntry(each, entry));
  return known ? state : { ...state, tracked: [...tracked, entry] };
}

/** The answer to a packet. */
export function answerTo(packet: Packet): Packet {
  const { source, destination, sourcePort, destinationPort, icmpType, ...rest } = packet;
  return {
    family: rest.family,
    protocol: rest.protocol,
    source: destination,
    destination: source,
    ...(destinationPort !== undefined && { sourcePort: destinationPort }),
    ...(sourcePort !== undefined && { destinationPort: sourcePort }),
    ...(icmpType !== undefined && { icmpType: icmpType === 128 ? 129 : 0 }),
    ...(rest.length !== undefined && { length: rest.length }),
    ...(rest.dontFragment !== undefined && { dontFragment: rest.dontFragment }),
    mark: 0,
    priority: 0,
  };
}

function inWalk(world: World, { packet, tracked, zones: wanted = usual }: State): Found | undefined {
  const tuple = tupleOf(packet);
  for (const { place, original, reply, mark, answered = false, real = false, zones = usual } of tracked) {
    if (place !== world.place) continue;
    const entry = { original, reply, mark, real, zones };
    // An answer is recognised first: where nothing is translated, a packet to oneself is like its answer.
    if (sameTuple(reply, tuple) && zones.reply === wanted.reply) {
      return { ...entry, direction: "reply", answered: true };
    }
    if (sameTuple(original, tuple) && zones.original === wanted.original) {
      return { ...entry, direction: "original", answered };
    }
  }
  return undefined;
}

function inSnapshot(world: World, packet: Packet, wanted: Zones): Found | undefined {
  const tuple = tupleOf(packet);
  if (!hasPorts(packet.protocol) || tuple.sourcePort === undefined || tuple.destinationPort === undefined) {
    return undefined;
  }
  const entries = entriesOf(world.snapshot);
  const entry =
    entries.get(keyOf(tuple, wanted.original, "original")) ?? entries.get(keyOf(tuple, wanted.reply, "reply"));
  if (entry === undefined || isOver(entry)) return undefined;
  const { original, reply, mark, status } = entry;
  const direction = sameTuple(original, tuple) ? "original" : "reply";
  const answered = direction === "reply" || (status & statusBit.seenReply) !== 0;
  return { original, reply, mark, direction, answered, real: true, zones: zonesOfEntry(entry) };
}

const usual: Zones = { original: 0, reply: 0 };

const zonesOf = (zones: Zones) => (zones.original === 0 && zones.reply === 0 ? {} : { zones });

/** An entry has a zone for both directions, or for one of them. */
function zonesOfEntry({ zone, original, reply }: ConntrackEntry): Zones {
  return { original: original.zone ?? zone, reply: reply.zone ?? zone };
}

/** The tracked connections of a snapshot by the tuples of both of their directions; made when they are first asked for. */
function entriesOf(snapshot: Snapshot): ReadonlyMap<string, ConntrackEntry> {
  const known = entries.get(snapshot);
  if (known !== undefined) return known;
  const made = new Map<string, ConntrackEntry>();
  for (const entry of snapshot.conntrack) {
    const zones = zonesOfEntry(entry);
    made.set(keyOf(entry.original, zones.original, "original"), entry);
    made.set(keyOf(entry.reply, zones.reply, "reply"), entry);
  }
  entries.set(snapshot, made);
  return made;
}

const entries = new WeakMap<Snapshot, ReadonlyMap<string, ConntrackEntry>>();

function keyOf(
  { source, destination, protocol, sourcePort, destinationPort }: Tuple,
  zone: number,
  direction: "original" | "reply",
): string {
  return `${direction} ${zone} ${protocol} ${source} ${sourcePort} ${destination} ${destinationPort}`;
}

/** A TCP connection that is over gives way to a new one of the same addresses and ports. */
function isOver({ original, tcpState }: ConntrackEntry): boolean {
  if (original.protocol !== protocolNumber.tcp) return false;
  return tcpState === "timeWait" || tcpState === "close" || tcpState === "lastAck" || tcpState === "none";
}

/** The tuple of a packet. */
export function tupleOf({ source, destination, protocol, sourcePort, destinationPort }: Packet): Tuple {
  return {
    source,
    destination,
    protocol,
    ...(sourcePort !== undefined && { sourcePort }),
    ...(destinationPort !== undefined && { destinationPort }),
  };
}

function inverse({ source, destination, protocol, sourcePort, destinationPort }: Tuple): Tuple {
  return {
    source: destination,
    destination: source,
    protocol,
    ...(destinationPort !== undefined && { sourcePort: destinationPort }),
    ...(sourcePort !== undefined && { destinationPort: sourcePort }),
  };
}

/** Whether two tuples are of the same packets. */
export function sameTuple(a: Tuple, b: Tuple): boolean {
  return (
    a.source === b.source &&
    a.destination === b.destination &&
    a.protocol === b.protocol &&
    a.sourcePort === b.sourcePort &&
    a.destinationPort === b.destinationPort
  );
}

type Zoned = Pick<Tracked, "original" | "reply" | "zones">;

function sameEntry(a: Zoned, b: Zoned): boolean {
  const [{ zones: here = usual }, { zones: there = usual }] = [a, b];
  const sameZones = here.original === there.original && here.reply === there.reply;
  return sameZones && sameTuple(a.original, b.original) && sameTuple(a.reply, b.reply);
}

/** Whether one side of a connection is not translated. */
function mirrors({ original, reply }: TrackedFlow, side: "source" | "destination"): boolean {
  return side === "destination"
    ? original.destination === reply.source && original.destinationPort === reply.sourcePort
    : original.source === reply.destination && original.sourcePort === reply.destinationPort;
}

function packetOf({ source, destination, sourcePort, destinationPort }: Tuple, packet: Packet): Packet {
  const { sourcePort: _s, destinationPort: _d, ...rest } = packet;
  return {
    ...rest,
    source,
    destination,
    ...(sourcePort !== undefined && { sourcePort }),
    ...(destinationPort !== undefined && { destinationPort }),
  };
}

function toSource(packet: Packet, { source, sourcePort }: Tuple): Packet {
  const { destinationPort: _, ...rest } = packet;
  return { ...rest, destination: source, ...(sourcePort !== undefined && { destinationPort: sourcePort }) };
}

function fromDestination(packet: Packet, { destination, destinationPort }: Tuple): Packet {
  const { sourcePort: _, ...rest } = packet;
  return { ...rest, source: destination, ...(destinationPort !== undefined && { sourcePort: destinationPort }) };
}

function formatHost(
  address: Packet["source"],
  port: number | undefined,
  { protocol }: { readonly protocol: number },
): string {
  return port === undefined || !hasPorts(protocol) ? address : formatHostPort(address, port);
}
