/** Expressions that change the packet, its mark or its connection. */
import type { CtSet, Expression, MetaSet, PayloadSet } from "../../../kernel/nftables/index.ts";
import { addressFromBytes } from "../../../net/address.ts";
import { hostNumber, show } from "../compute.ts";
import { type Bytes, hasPorts, networkHeader, type Packet, transportHeader } from "../packet.ts";
import { isKnown } from "../registers.ts";
import { change, go, lost, type Next, type Thread } from "./thread.ts";

/** An expression that changes something. */
export type Changing = Extract<Expression, { kind: "meta set" | "ct set" | "notrack" | "payload set" }>;

/** Changes the packet. */
export function runChanging(expression: Changing, thread: Thread): readonly Next[] {
  switch (expression.kind) {
    case "meta set":
      return setMeta(expression, thread);
    case "ct set": {
      const { connection } = thread.state;
      if (expression.key === "zone") return setZone(expression, thread);
      const value = thread.registers.get(expression.sreg, 4);
      if (connection === undefined || expression.key !== "mark") return touch(thread, `ct ${expression.key}`);
      if (!isKnown(value)) return lost(thread, "the connection's mark that it sets is not known");
      const mark = hostNumber(value.data);
      const effect = `sets the connection's mark to 0x${mark.toString(16)}`;
      return change(thread, { connection: { ...connection, mark } }, effect);
    }
    case "notrack":
      return untracked(thread);
    case "payload set":
      return setPayload(expression, thread);
  }
}

function setZone({ sreg, direction }: CtSet, thread: Thread): readonly Next[] {
  const value = thread.registers.get(sreg, 2);
  if (!isKnown(value)) return lost(thread, "the zone of connection tracking that it sets is not known");
  const [low = 0, high = 0] = value.data;
  return inZone(low | (high << 8), direction, thread);
}

/** The tracker is to keep the connection apart from those of other zones; too late once it has seen the packet. */
export function inZone(zone: number, direction: "original" | "reply" | undefined, thread: Thread): readonly Next[] {
  const { connection, zones } = thread.state;
  if (connection !== undefined || zones !== undefined) return go(thread);
  const wanted = {
    original: direction === "reply" ? 0 : zone,
    reply: direction === "original" ? 0 : zone,
  };
  const effect = `puts the connection${direction === undefined ? "" : `'s ${direction} direction`} into zone ${zone}`;
  return change(thread, { zones: wanted }, effect);
}

function setMeta({ key, sreg }: MetaSet, thread: Thread): readonly Next[] {
  const { registers, state } = thread;
  const value = registers.get(sreg, 4);
  if (key === "nftrace") return change(thread, { traced: (value.data[0] ?? 0) !== 0 }, "traces the packet");
  if (key !== "mark" && key !== "priority") return touch(thread, `meta ${key}`);
  if (!isKnown(value)) return lost(thread, `the ${key} that it sets is not known`);
  const number = hostNumber(value.data);
  return change(thread, { packet: { ...state.packet, [key]: number } }, `sets the ${key} to 0x${number.toString(16)}`);
}

/** Sets something of which a walk keeps no account: what it is from here on is not known. */
function touch(thread: Thread, what: string): readonly Next[] {
  const { touched } = thread.state;
  return change(thread, { touched: touched.includes(what) ? touched : [...touched, what] }, `sets ${what}`);
}

/** The connection tracker is to leave the packet alone; too late once it has seen it. */
export function untracked(thread: Thread): readonly Next[] {
  const { state } = thread;
  if (state.connection !== undefined || state.zones !== undefined) return go(thread);
  const connection = {
    state: "untracked",
    direction: "original",
    mark: 0,
    original: state.packet,
    destinationTranslated: false,
    sourceTranslated: false,
    destinationSettled: true,
    sourceSettled: true,
    confirmed: false,
  } as const;
  return change(thread, { connection }, "leaves it out of connection tracking");
}

/** Rewrites bytes of a header. Link headers are made anew wherever a packet is sent, checksums are not followed. */
function setPayload({ base, offset, length, sreg }: PayloadSet, thread: Thread): readonly Next[] {
  const { packet } = thread.state;
  const value = thread.registers.get(sreg, length);
  if (base === "link") return change(thread, {}, "rewrites the link header");
  if (base !== "network" && base !== "transport") return lost(thread, `it rewrites bytes of the ${base} header`);
  const changed =
    base === "network" ? withNetworkBytes(packet, offset, value) : withTransportBytes(packet, offset, value);
  if (changed === undefined) return lost(thread, `it rewrites the ${base} header in a way that is not followed`);
  return change(thread, { packet: changed }, `writes ${show(value.data)} at byte ${offset} of the ${base} header`);
}

/** Bytes over others, at an offset. */
function overlay({ data, known }: Bytes, offset: number, value: Bytes): Bytes {
  const result = { data: data.slice(), known: known.slice() };
  for (let i = 0; i < value.data.length && offset + i < data.length; i++) {
    result.data[offset + i] = value.data[i] ?? 0;
    result.known[offset + i] = value.known[i] ?? 0;
  }
  return result;
}

const slice = ({ data, known }: Bytes, start: number, length: number): Bytes => ({
  data: data.slice(start, start + length),
  known: known.slice(start, start + length),
});

/** A packet with other bytes in its network header; undefined where it is then another kind of packet. */
function withNetworkBytes(packet: Packet, offset: number, value: Bytes): Packet | undefined {
  const isIPv4 = packet.family === "IPv4";
  const header = overlay(networkHeader(packet), offset, value);
  const size = isIPv4 ? 4 : 16;
  const [source, destination] = [12, 16].map((at, i) => slice(header, isIPv4 ? at : 8 + 16 * i, size));
  const first = slice(header, 0, 2);
  if (source === undefined || destination === undefined) return undefined;
  if (!isKnown(source) || !isKnown(destination) || !isKnown(first)) return undefined;
  const [high = 0, low = 0] = first.data;
  const ttlAt = isIPv4 ? 8 : 7;
  if (high >> 4 !== (isIPv4 ? 4 : 6) || header.data[isIPv4 ? 9 : 6] !== packet.protocol) return undefined;
  const { ttl: _, ...rest } = packet;
  return {
    ...rest,
    source: addressFromBytes(source.data),
    destination: addressFromBytes(destination.data),
    service: isIPv4 ? low : ((high << 4) | (low >> 4)) & 255,
    ...(header.known[ttlAt] === 255 && { ttl: header.data[ttlAt] ?? 0 }),
  };
}

/** A packet with other bytes in its transport header; undefined where TCP's flags or the ICMP type change. */
function withTransportBytes(packet: Packet, offset: number, value: Bytes): Packet | undefined {
  const end = offset + value.data.length;
  if (!hasPorts(packet.protocol)) return offset >= 2 ? packet : undefined;
  if (packet.protocol === 6 && offset <= 13 && end > 13) return undefined;
  const header = overlay(transportHeader(packet, undefined), offset, value);
  const port = (at: number) => {
    const bytes = slice(header, at, 2);
    return isKnown(bytes) ? ((bytes.data[0] ?? 0) << 8) | (bytes.data[1] ?? 0) : undefined;
  };
  const { sourcePort: _, destinationPort: __, ...rest } = packet;
  const [sourcePort, destinationPort] = [port(0), port(2)];
  return {
    ...rest,
    ...(sourcePort !== undefined && { sourcePort }),
    ...(destinationPort !== undefined && { destinationPort }),
  };
}
