/** Facts about a packet that are not in it, as far as they are known. */
import type { Meta, Socket } from "../../../kernel/nftables/index.ts";
import { type Address, addressBytes, familyOf } from "../../../net/address.ts";
import { unknownBytes } from "../packet.ts";
import type { State } from "../state.ts";
import type { World } from "../world.ts";
import { etherType, familyNumber, hostU16, hostU32, type Loaded, load, text16, u8, u16, type Where } from "./values.ts";

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
