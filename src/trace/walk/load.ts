/** What expressions load into registers, as far as it is known. */
import {
  type Ct,
  type Exthdr,
  type Fib,
  hostU32Bytes,
  type Meta,
  type Payload,
  type Rt,
  type Socket,
  type TableFamily,
  u16Bytes,
} from "../../kernel/nftables/index.ts";
import { type Address, addressBytes, familyOf } from "../../net/address.ts";
import {
  type Bytes,
  knownBytes,
  networkHeader,
  type Packet,
  tcpFlags,
  transportHeader,
  unknownBytes,
} from "./packet.ts";
import { usableHops } from "./routing.ts";
import type { State, Tuple } from "./state.ts";
import type { World } from "./world.ts";

/** Where a packet is: the family and hook of the chains that it passes. */
export interface Where {
  readonly family: TableFamily;
  readonly hook: string;
}

/** A value with its name; or that the kernel does not have it here, so that the rule does not match. */
export type Loaded = { readonly value: Bytes; readonly name: string } | { readonly absent: string };

const load = (name: string, value: Bytes): Loaded => ({ name, value });
const u8 = (value: number) => knownBytes(Uint8Array.of(value));
const u16 = (value: number) => knownBytes(u16Bytes(value));
const hostU16 = (value: number) => knownBytes(Uint8Array.of(value, value >> 8));
const hostU32 = (value: number) => knownBytes(hostU32Bytes(value));
const text16 = (text: string) => {
  const bytes = new Uint8Array(16);
  new TextEncoder().encodeInto(text, bytes.subarray(0, 15));
  return knownBytes(bytes);
};

const etherType = { IPv4: 0x0800, IPv6: 0x86dd } as const;
const familyNumber = { IPv4: 2, IPv6: 10 } as const;

/** Bytes of the packet's headers. */
export function loadPayload(expression: Payload, state: State, { family }: Where): Loaded {
  const { base, offset, length } = expression;
  const { packet } = state;
  const name = payloadName(expression, packet);
  if (base === "network") return load(name, slice(networkHeader(packet), offset, length));
  if (base === "transport") {
    return load(name, slice(transportHeader(packet, flagsOf(state)), offset, length));
  }
  if (base !== "link") return load(name, unknownBytes(length));
  // Rules of bridges and of interfaces see frames, which have link headers in any case.
  if (state.input === undefined && family !== "bridge" && family !== "netdev") {
    return { absent: "a packet of this machine has no link header yet" };
  }
  return load(name, slice(linkHeader(state), offset, length));
}

/** Where the packet is bound for, if that is known, and what it carries. */
function linkHeader({ packet, frame }: State): Bytes {
  const header = unknownBytes(14);
  const put = (at: number, bytes: readonly number[]) => {
    header.data.set(bytes, at);
    header.known.fill(255, at, at + bytes.length);
  };
  if (frame?.to !== undefined) {
    put(
      0,
      frame.to.split(":").map((part) => Number.parseInt(part, 16)),
    );
  }
  const type = etherType[packet.family];
  put(12, [type >> 8, type & 255]);
  return header;
}

function slice({ data, known }: Bytes, offset: number, length: number): Bytes {
  const value = unknownBytes(length);
  value.data.set(data.subarray(offset, offset + length));
  value.known.set(known.subarray(offset, offset + length));
  return value;
}

function payloadName({ base, offset, length }: Payload, { family, protocol }: Packet): string {
  const ip =
    family === "IPv4"
      ? { 8: "time to live", 12: "source address", 16: "destination address", 2: "length", 4: "identification" }
      : { 7: "hop limit", 8: "source address", 24: "destination address", 4: "length" };
  const fields: Readonly<Record<string, Readonly<Record<number, string>>>> = {
    network: ip,
    transport:
      protocol === 6
        ? { 0: "source port", 2: "destination port", 13: "TCP flags" }
        : { 0: "source port", 2: "destination port" },
  };
  return fields[base]?.[offset] ?? `bytes ${offset} to ${offset + length - 1} of the ${base} header`;
}

/** The flags that a packet has if it is one of TCP; undefined where they are not known. */
export function flagsOf({ connection, awaited }: State): number | undefined {
  if (awaited !== undefined) return tcpFlags.synAck;
  return connection?.state === "established" ? undefined : tcpFlags.syn;
}

/** Facts about the packet. */
export function loadMeta({ key }: Pick<Meta, "key">, state: State, world: World, where: Where): Loaded {
  const { packet } = state;
  const { input, output } = interfacesAt(where, state, world);
  if (state.touched.includes(`meta ${key}`)) return load(`meta ${key}`, unknownBytes(16));
  switch (key) {
    case "len":
      return load("length", packet.length === undefined ? unknownBytes(4) : hostU32(packet.length));
    case "protocol":
      return load(key, u16(etherType[packet.family]));
    case "nfproto":
      return load(key, u8(frameFamilies[where.family] ?? familyNumber[packet.family]));
    case "l4proto":
      return load(key, u8(packet.protocol));
    case "mark":
      return load(key, hostU32(packet.mark));
    case "priority":
      return load(key, hostU32(packet.priority));
    case "iif":
      return load(key, hostU32(input?.index ?? 0));
    case "oif":
      return load(key, hostU32(output?.index ?? 0));
    case "iifname":
      return load(key, text16(input?.name ?? ""));
    case "oifname":
      return load(key, text16(output?.name ?? ""));
    case "iiftype":
      return input === undefined ? { absent: "no input interface" } : load(key, hostU16(input.hardware));
    case "oiftype":
      return output === undefined ? { absent: "no output interface" } : load(key, hostU16(output.hardware));
    case "iifkind":
      return input?.kind === undefined ? { absent: "the input interface has no kind" } : load(key, text16(input.kind));
    case "oifkind":
      return output?.kind === undefined
        ? { absent: "the output interface has no kind" }
        : load(key, text16(output.kind));
    case "iifgroup":
    case "oifgroup":
      return (key === "iifgroup" ? input : output) === undefined
        ? { absent: "no such interface" }
        : load(`meta ${key}`, unknownBytes(4));
    case "ibrname":
    case "obrname": {
      const bridge = world.link((key === "ibrname" ? input : output)?.master);
      return bridge?.kind === "bridge" ? load(key, text16(bridge.name)) : { absent: "the interface is in no bridge" };
    }
    case "nftrace":
      return load(key, u8(state.traced ? 1 : 0));
    case "pkttype":
      // Packets of this node, too, count as addressed to this host. A bridge's may be for others.
      return load(key, where.family === "bridge" || !isUnicast(packet.destination) ? unknownBytes(1) : u8(0));
    case "skuid":
    case "skgid":
    case "cgroup":
      if (state.input !== undefined) return { absent: "a packet from elsewhere has no socket yet" };
      return load(`meta ${key}`, unknownBytes(4));
    case "sdif":
    case "sdifname":
      // Only interfaces of a VRF have one behind them.
      if (world.link(input?.master)?.kind === "vrf") return load(`meta ${key}`, unknownBytes(16));
      return load(key, key === "sdif" ? hostU32(0) : text16(""));
    default:
      return load(`meta ${key}`, unknownBytes(16));
  }
}

/** The type of the answer to an echo request, which stands where other protocols have a port. */
const echoReply = { IPv4: 0, IPv6: 129 } as const;

function isUnicast(address: Address): boolean {
  const [first = 0] = addressBytes(address);
  return familyOf(address) === "IPv4" ? first < 224 : first !== 255;
}

/** What rules on frames take for the family (`NFPROTO_*`). */
const frameFamilies: Readonly<Record<string, number>> = { bridge: 7, netdev: 5 };

/** The interfaces that a packet comes in and leaves by. */
function interfacesAt({ hook }: Where, { input, way }: State, world: World) {
  // At hook output packets have come in by nothing, not even those that IPVS forwards.
  const comes = hook === "output" ? undefined : input;
  return { input: world.link(comes), output: world.link(way?.kind === "local" ? undefined : way?.output) };
}

const stateBits = { invalid: 1, established: 2, new: 8, untracked: 64 } as const;
const statusBits = {
  seenReply: 2,
  assured: 4,
  confirmed: 8,
  source: 0x10,
  destination: 0x20,
  sourceDone: 0x80,
  destinationDone: 0x100,
};

/** Facts about the connection. */
export function loadCt({ key, direction }: Pick<Ct, "key" | "direction">, state: State): Loaded {
  const { connection, packet } = state;
  const name = `ct ${direction ?? ""}${direction ? " " : ""}${key}`;
  if (key === "state") return load(name, hostU32(stateBits[connection?.state ?? "invalid"]));
  if (connection === undefined || connection.state === "untracked") return { absent: "the connection is not tracked" };
  if (state.touched.includes(`ct ${key}`)) return load(name, unknownBytes(16));
  const { original } = connection;
  // Before there is an answer, it is what the packet as translated so far would be answered with.
  const reply = connection.entry?.reply ?? tupleOfAnswer(packet);
  switch (key) {
    case "direction":
      return load(name, u8(connection.direction === "reply" ? 1 : 0));
    case "status": {
      if (connection.state === "established") return load(name, unknownBytes(4));
      const bits =
        (connection.confirmed ? statusBits.confirmed : 0) |
        (connection.sourceTranslated ? statusBits.source : 0) |
        (connection.destinationTranslated ? statusBits.destination : 0) |
        (connection.sourceSettled ? statusBits.sourceDone : 0) |
        (connection.destinationSettled ? statusBits.destinationDone : 0);
      return load(name, hostU32(bits));
    }
    case "mark":
      return load(name, hostU32(connection.mark));
    case "zone":
      return load(name, hostU16(0));
    case "l3proto":
      return load(name, u8(familyNumber[packet.family]));
    case "protocol":
      return load(name, u8(packet.protocol));
    case "saddr":
    case "saddr ip":
    case "saddr ip6":
      return load(name, knownBytes(addressBytes(direction === "reply" ? reply.source : original.source)));
    case "daddr":
    case "daddr ip":
    case "daddr ip6":
      return load(name, knownBytes(addressBytes(direction === "reply" ? reply.destination : original.destination)));
    case "proto-src":
      return load(name, port(direction === "reply" ? reply.sourcePort : original.sourcePort));
    case "proto-dst":
      if (original.icmpType !== undefined) {
        return load(
          name,
          knownBytes(
            Uint8Array.of(direction === "reply" ? echoReply[familyOf(original.source)] : original.icmpType, 0),
          ),
        );
      }
      return load(name, port(direction === "reply" ? reply.destinationPort : original.destinationPort));
    case "helper":
      return { absent: "the connection has no helper" };
    default:
      return load(name, unknownBytes(16));
  }
}

function tupleOfAnswer({ protocol, source, destination, sourcePort, destinationPort }: Packet): Tuple {
  return {
    protocol,
    source: destination,
    destination: source,
    ...(destinationPort !== undefined && { sourcePort: destinationPort }),
    ...(sourcePort !== undefined && { destinationPort: sourcePort }),
  };
}

function port(number: number | undefined): Bytes {
  return number === undefined ? unknownBytes(2) : u16(number);
}

const typeNumbers = {
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

/** The protocols that options and chunks belong to. */
const optionProtocols = { "tcp option": 6, "sctp chunk": 132, "dccp option": 33 } as const;

/** Extension headers and options: the packets of a walk have none of IP's; what options those of TCP have is not known. */
export function loadExthdr(
  { op, type, length, present }: Pick<Exthdr, "op" | "type" | "length" | "present">,
  { packet }: State,
): Loaded {
  const name = `${op} ${type}`;
  const missing = op === "ipv6" || op === "ipv4 option" || packet.protocol !== optionProtocols[op];
  if (!missing) return load(name, unknownBytes(present ? 1 : length));
  return present ? load(name, u8(0)) : { absent: `the packet has no ${name}` };
}

/** The socket of this node that would take the packet: one of a connection, or one that listens. */
export function loadSocket({ key }: Pick<Socket, "key">, { packet, connection, input }: State, world: World): Loaded {
  const name = `socket ${key}`;
  const { destination, destinationPort, protocol } = packet;
  if (connection?.state === "established" || destinationPort === undefined) return load(name, unknownBytes(8));
  const wanted = protocol === 6 ? "TCP" : protocol === 17 ? "UDP" : undefined;
  const fits = world.snapshot.sockets.filter(
    (socket) =>
      socket.protocol === wanted &&
      socket.port === destinationPort &&
      (socket.address === destination || isAny(socket.address)),
  );
  // A packet of this node has the socket that sent it.
  if (input === undefined) return load(name, unknownBytes(8));
  if (fits.length === 0) return { absent: `no socket takes packets to ${destination}` };
  if (key !== "wildcard") return load(name, unknownBytes(8));
  return load(name, u8(fits.every(({ address }) => isAny(address)) ? 1 : 0));
}

const isAny = (address: Address) => address === "0.0.0.0" || address === "::";
