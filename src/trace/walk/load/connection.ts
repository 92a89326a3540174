/** Facts about a packet's connection, as far as they are known. */
import type { Ct } from "../../../kernel/nftables/index.ts";
import { addressBytes, familyOf } from "../../../net/address.ts";
import { type Bytes, knownBytes, type Packet, unknownBytes } from "../packet.ts";
import type { Connection, State, Tuple } from "../state.ts";
import { familyNumber, hostU16, hostU32, type Loaded, load, u8, u16 } from "./values.ts";

/** The type of the answer to an echo request, which stands where other protocols have a port. */
const echoReply = { IPv4: 0, IPv6: 129 } as const;

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
      return load(name, hostU16(zoneOf(connection, direction)));
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

/** Without a direction it is the one that a rule has named, for whichever direction. */
function zoneOf({ zones = { original: 0, reply: 0 } }: Connection, direction: Ct["direction"]): number {
  return direction === undefined ? Math.max(zones.original, zones.reply) : zones[direction];
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
