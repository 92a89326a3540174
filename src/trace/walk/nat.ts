/** What a translation does to a packet and its connection. */
import type { Masq, Nat, Redir, Register } from "../../kernel/nftables/index.ts";
import { type Address, addressBytes, addressFromBytes, compareBytes } from "../../net/address.ts";
import { formatHostPort } from "../../net/protocol.ts";
import type { Where } from "./load/values.ts";
import { hasPorts, type Packet, samePacket } from "./packet.ts";
import { isKnown, type Registers } from "./registers.ts";
import { jhash, scale } from "./rule/jhash.ts";
import type { State } from "./state.ts";
import type { World } from "./world.ts";

/** Among which addresses and ports a translation chooses. */
export interface NatRange {
  readonly first?: Address;
  readonly last?: Address;
  readonly firstPort?: number;
  readonly lastPort?: number;
}

/** A translation made. */
export interface Translated {
  readonly state: State;
  /** In words. */
  readonly effect: string;
}

/**
 * Translates.
 *
 * @returns undefined where it cannot be told.
 */
export function applyNat(
  expression: Nat | Masq | Redir,
  range: NatRange,
  state: State,
  where: Where,
  world: World,
): Translated | undefined {
  const { packet, connection } = state;
  if (connection === undefined) return undefined;
  const isSource = expression.kind === "masq" || (expression.kind === "nat" && expression.type === "snat");
  const address = chosenAddress(expression, range, state, where, world);
  if (address === undefined) return undefined;
  const randomPort = expression.flags?.some((flag) => flag === "random" || flag === "fully-random") === true;
  const translated = isSource
    ? translateSource(packet, address, range, randomPort)
    : translateDestination(packet, address, range, randomPort);
  const changed = !samePacket(translated, packet);
  const effect = isSource
    ? `source becomes ${shown(translated.source, translated.sourcePort, packet)}`
    : `destination becomes ${shown(translated.destination, translated.destinationPort, packet)}`;
  return {
    effect,
    state: {
      ...state,
      packet: translated,
      connection: isSource
        ? { ...connection, sourceTranslated: changed, sourceSettled: true }
        : { ...connection, destinationTranslated: changed, destinationSettled: true },
    },
  };
}

function chosenAddress(
  expression: Nat | Masq | Redir,
  { first, last }: NatRange,
  { packet, input, way }: State,
  where: Where,
  world: World,
): Address | undefined {
  if (expression.kind === "masq") {
    if (way?.output === undefined) return undefined;
    return world.routing.sourceFor(way.output, way.gateway ?? packet.destination);
  }
  if (expression.kind === "redir") {
    if (where.hook === "output") return (packet.family === "IPv4" ? "127.0.0.1" : "::1") as Address;
    const own = world.snapshot.addresses.find(
      (each) => each.interface === input && each.address.includes(":") === (packet.family === "IPv6"),
    );
    return own?.address;
  }
  const present = expression.type === "snat" ? packet.source : packet.destination;
  if (first === undefined || last === undefined) return present;
  if (first === last) return first;
  const [low, high] = [addressBytes(first), addressBytes(last)];
  if (expression.flags?.includes("netmap")) {
    const own = addressBytes(present);
    return addressFromBytes(
      low.map((byte, i) => {
        const host = byte ^ (high[i] ?? 0);
        return (byte & ~host) | ((own[i] ?? 0) & host);
      }),
    );
  }
  // A source that is in the range stays.
  const own = addressBytes(present);
  const stays = expression.type === "snat" && compareBytes(low, own) <= 0 && compareBytes(own, high) <= 0;
  if (stays && !expression.flags?.some((flag) => /random/.test(flag))) return present;
  return addressIn(low, high, packet, expression.type === "dnat", expression.flags?.includes("persistent") === true);
}

/** The address of a range that a connection gets: a hash of its ends says so (`find_best_ips_proto`). */
function addressIn(
  low: Uint8Array,
  high: Uint8Array,
  { source, destination }: Packet,
  isDestination: boolean,
  persistent: boolean,
): Address {
  const words = low.length / 4;
  const key = new Uint8Array(16);
  key.set(addressBytes(source));
  const to = addressBytes(destination);
  const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const seed = (i: number) => (persistent ? 0 : view(to).getUint32(4 * i, true));
  let hash = jhash(key, seed(words - 1));
  const result = new Uint8Array(low.length);
  let free = false;
  for (let i = 0; i < words; i++) {
    const [least, most] = [view(low).getUint32(4 * i), view(high).getUint32(4 * i)];
    const [start, count] = free ? [0, 0xffff_ffff] : [least, most - least + 1];
    const word = start + scale(hash, count);
    view(result).setUint32(4 * i, word);
    if (word !== most) free = true;
    // The destination is in its new place by now.
    if (!persistent) hash = (hash ^ (isDestination ? view(result).getUint32(4 * i, true) : seed(i))) >>> 0;
  }
  return addressFromBytes(result);
}

function translateSource(packet: Packet, source: Address, range: NatRange, random: boolean): Packet {
  const { sourcePort, ...rest } = packet;
  const moved = { ...rest, source };
  if (!hasPorts(packet.protocol)) return moved;
  // The port stays if nobody else has it: what this packet is told to have is taken to be free.
  const port = range.firstPort === undefined ? (random ? undefined : sourcePort) : portIn(range, sourcePort, random);
  return port === undefined ? moved : { ...moved, sourcePort: port };
}

function translateDestination(packet: Packet, destination: Address, range: NatRange, random: boolean): Packet {
  const { destinationPort, ...rest } = packet;
  const moved = { ...rest, destination };
  if (!hasPorts(packet.protocol)) return moved;
  const port = range.firstPort === undefined ? destinationPort : portIn(range, destinationPort, random);
  return port === undefined ? moved : { ...moved, destinationPort: port };
}

/** The port of a range that a connection gets: its own where that is in the range; undefined where the kernel draws one. */
function portIn(
  { firstPort = 0, lastPort = 0 }: NatRange,
  own: number | undefined,
  random: boolean,
): number | undefined {
  if (firstPort === lastPort) return firstPort;
  return !random && own !== undefined && own >= firstPort && own <= lastPort ? own : undefined;
}

function shown(address: Address, port: number | undefined, { protocol }: Packet): string {
  if (!hasPorts(protocol)) return address;
  return port === undefined ? `${address}, port chosen by the kernel` : formatHostPort(address, port);
}

/** The addresses and ports in a translation's registers; undefined if one is not known. */
export function natRange(
  expression: Nat | Masq | Redir,
  registers: Registers,
  { packet }: State,
): NatRange | undefined {
  const bytes = packet.family === "IPv4" ? 4 : 16;
  const address = (register: Register | undefined) => {
    if (register === undefined) return undefined;
    const value = registers.get(register, bytes);
    return isKnown(value) ? addressFromBytes(value.data) : "unknown";
  };
  const port = (register: Register | undefined) => {
    if (register === undefined) return undefined;
    const value = registers.get(register, 2);
    return isKnown(value) ? ((value.data[0] ?? 0) << 8) | (value.data[1] ?? 0) : "unknown";
  };
  const first = expression.kind === "nat" ? address(expression.addressMin) : undefined;
  const last = expression.kind === "nat" ? (address(expression.addressMax) ?? first) : undefined;
  const firstPort = port(expression.portMin);
  const lastPort = port(expression.portMax) ?? firstPort;
  if (first === "unknown" || last === "unknown" || firstPort === "unknown" || lastPort === "unknown") return undefined;
  return {
    ...(first !== undefined && last !== undefined && { first, last }),
    ...(firstPort !== undefined && lastPort !== undefined && { firstPort, lastPort }),
  };
}
