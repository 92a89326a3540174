/** What a translation does to a packet and its connection. */
import type { Masq, Nat, Redir, Register } from "../../kernel/nftables/index.ts";
import { type Address, addressBytes, addressFromBytes } from "../../net/address.ts";
import { formatHostPort } from "../../net/protocol.ts";
import type { Where } from "./load.ts";
import { hasPorts, type Packet, samePacket } from "./packet.ts";
import { isKnown, type Registers } from "./registers.ts";
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
  /** The part of all connections that gets this one. */
  readonly share: number;
}

/** The most addresses of a range that are followed. */
const mostAddresses = 64;

/**
 * Translates.
 *
 * @returns every translation that the kernel may choose; undefined where it cannot be told.
 */
export function applyNat(
  expression: Nat | Masq | Redir,
  range: NatRange,
  state: State,
  where: Where,
  world: World,
): readonly Translated[] | undefined {
  const { packet, connection } = state;
  if (connection === undefined) return undefined;
  const isSource = expression.kind === "masq" || (expression.kind === "nat" && expression.type === "snat");
  const addresses = chosenAddresses(expression, range, state, where, world);
  if (addresses === undefined) return undefined;
  const randomPort = expression.flags?.some((flag) => flag === "random" || flag === "fully-random") === true;
  return addresses.map((address) => {
    const translated = isSource
      ? translateSource(packet, address, range, randomPort)
      : translateDestination(packet, address, range);
    const changed = !samePacket(translated, packet);
    const effect = isSource
      ? `source becomes ${shown(translated.source, translated.sourcePort, packet)}`
      : `destination becomes ${shown(translated.destination, translated.destinationPort, packet)}`;
    return {
      effect,
      share: 1 / addresses.length,
      state: {
        ...state,
        packet: translated,
        connection: isSource
          ? { ...connection, sourceTranslated: changed, sourceSettled: true }
          : { ...connection, destinationTranslated: changed, destinationSettled: true },
      },
    };
  });
}

function chosenAddresses(
  expression: Nat | Masq | Redir,
  { first, last }: NatRange,
  { packet, input, way }: State,
  where: Where,
  world: World,
): readonly Address[] | undefined {
  if (expression.kind === "masq") {
    if (way?.output === undefined) return undefined;
    const source = world.routing.sourceFor(way.output, way.gateway ?? packet.destination);
    return source === undefined ? undefined : [source];
  }
  if (expression.kind === "redir") {
    if (where.hook === "output") return [(packet.family === "IPv4" ? "127.0.0.1" : "::1") as Address];
    const own = world.snapshot.addresses.find(
      (each) => each.interface === input && each.address.includes(":") === (packet.family === "IPv6"),
    );
    return own === undefined ? undefined : [own.address];
  }
  const present = expression.type === "snat" ? packet.source : packet.destination;
  if (first === undefined || last === undefined) return [present];
  if (first === last) return [first];
  const [low, high] = [addressBytes(first), addressBytes(last)];
  if (expression.flags?.includes("netmap")) {
    const own = addressBytes(present);
    return [
      addressFromBytes(
        low.map((byte, i) => {
          const host = byte ^ (high[i] ?? 0);
          return (byte & ~host) | ((own[i] ?? 0) & host);
        }),
      ),
    ];
  }
  const count = Number(numberOf(high) - numberOf(low)) + 1;
  if (count < 1 || count > mostAddresses) return undefined;
  return Array.from({ length: count }, (_, i) => addressOf(numberOf(low) + BigInt(i), low.length));
}

function translateSource(
  packet: Packet,
  source: Address,
  { firstPort, lastPort }: NatRange,
  randomPort: boolean,
): Packet {
  const { sourcePort, ...rest } = packet;
  const moved = { ...rest, source };
  if (!hasPorts(packet.protocol)) return moved;
  if (firstPort !== undefined)
    return firstPort === lastPort && !randomPort ? { ...moved, sourcePort: firstPort } : moved;
  // The port stays if nobody else has it: what this packet is told to have is taken to be free.
  return randomPort || sourcePort === undefined ? moved : { ...moved, sourcePort };
}

function translateDestination(packet: Packet, destination: Address, { firstPort, lastPort }: NatRange): Packet {
  const { destinationPort, ...rest } = packet;
  const moved = { ...rest, destination };
  if (!hasPorts(packet.protocol)) return moved;
  if (firstPort === undefined) return destinationPort === undefined ? moved : { ...moved, destinationPort };
  return firstPort === lastPort ? { ...moved, destinationPort: firstPort } : moved;
}

function shown(address: Address, port: number | undefined, { protocol }: Packet): string {
  if (!hasPorts(protocol)) return address;
  return port === undefined ? `${address}, port chosen by the kernel` : formatHostPort(address, port);
}

function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
}

function addressOf(number: bigint, length: number): Address {
  return addressFromBytes(
    Uint8Array.from({ length }, (_, i) => Number((number >> BigInt(8 * (length - 1 - i))) & 255n)),
  );
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
