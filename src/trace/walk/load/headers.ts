/** Bytes of a packet's headers, as far as they are known. */
import type { Exthdr, Payload } from "../../../kernel/nftables/index.ts";
import { type Bytes, networkHeader, type Packet, tcpFlags, transportHeader, unknownBytes } from "../packet.ts";
import type { State } from "../state.ts";
import { etherType, type Loaded, load, u8, type Where } from "./values.ts";

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
export function flagsOf({ connection, awaited, midst }: State): number | undefined {
  if (midst) return tcpFlags.ack;
  if (awaited !== undefined) return tcpFlags.synAck;
  return connection?.state === "established" ? undefined : tcpFlags.syn;
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
