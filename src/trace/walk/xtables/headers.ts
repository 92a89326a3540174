/** Matches on the packet's headers (`linux/netfilter/xt_*.h`, `linux/netfilter_ipv4/`, `linux/netfilter_ipv6/`). */
import type { Bytes } from "../packet.ts";
import { protocolNumber } from "../packet.ts";
import {
  all,
  type Condition,
  depends,
  header,
  known,
  type Match,
  type Matches,
  numberIn,
  perhaps,
  type Seen,
  within,
} from "./match.ts";
import { u32 } from "./u32.ts";

type Range = readonly [number, number];
const everything: Range = [0, 65_535];

const range = (info: DataView, at: number): Range => [info.getUint16(at, true), info.getUint16(at + 2, true)];
const words = ([first, last]: Range) => (first === last ? String(first) : `${first} to ${last}`);

/** Source and destination ports in their ranges. Flag 1 inverts the source's range, flag 2 the destination's. */
function portsFit({ state: { packet } }: Seen, source: Range, destination: Range, inverted: number): Condition {
  const one = (name: string, port: number | undefined, asked: Range, flag: number): Condition => {
    const inverse = (inverted & flag) !== 0;
    if (asked[0] === 0 && asked[1] === 65_535 && !inverse) return known(true, "ports");
    return perhaps(within(port, asked, inverse), `${name} port is ${inverse ? "not " : ""}${words(asked)}`);
  };
  return all(one("source", packet.sourcePort, source, 1), one("destination", packet.destinationPort, destination, 2));
}

function isProtocol({ state: { packet } }: Seen, number: number, name: string): Condition {
  return known(packet.protocol === number, `it is ${name}`);
}

/** A byte in the bits of a mask; undefined where one of them is not known. */
function maskedByte({ data, known: sure }: Bytes, mask: number): number | undefined {
  return ((sure[0] ?? 0) & mask) === mask ? (data[0] ?? 0) & mask : undefined;
}

const tcp: Match = {
  length: 12,
  read(info, seen) {
    const protocol = isProtocol(seen, protocolNumber.tcp, "TCP");
    if (protocol.kind === "known" && !protocol.holds) return protocol;
    const inverted = info.getUint8(11);
    const [option, mask, wanted] = [info.getUint8(8), info.getUint8(9), info.getUint8(10)];
    const flags = mask === 0 ? 0 : maskedByte(header(seen, "transport", 13, 1), mask);
    const fit = flags === undefined ? undefined : (flags === wanted) !== ((inverted & 4) !== 0);
    return all(
      portsFit(seen, range(info, 0), range(info, 4), inverted),
      mask === 0 ? known(true, "flags") : perhaps(fit, "its TCP flags are as the rule wants them"),
      option === 0
        ? known(true, "options")
        : depends(`it has ${(inverted & 8) !== 0 ? "not " : ""}TCP option ${option}`),
    );
  },
};

/** UDP and UDP-Lite. */
const udp: Match = {
  length: 9,
  read(info, seen) {
    const { protocol } = seen.state.packet;
    return all(
      known(protocol === protocolNumber.udp || protocol === 136, "it is UDP"),
      portsFit(seen, range(info, 0), range(info, 4), info.getUint8(8)),
    );
  },
};

const sctp: Match = {
  length: 296,
  read(info, seen) {
    const flags = info.getUint32(288, true);
    const source = (flags & 1) !== 0 ? range(info, 4) : everything;
    const destination = (flags & 2) !== 0 ? range(info, 0) : everything;
    return all(
      isProtocol(seen, protocolNumber.sctp, "SCTP"),
      portsFit(seen, source, destination, info.getUint32(292, true) & 3),
      (flags & 4) === 0 ? known(true, "chunks") : depends("the packet's chunks are as the rule wants them"),
    );
  },
};

/** Protocols that a walk follows no packets of: the match does not hold for others. */
const foreign = (number: number, name: string): Match => ({
  length: 0,
  read: (_, seen) => all(isProtocol(seen, number, name), depends(`its ${name} header is as the rule wants it`)),
});

const multiport: Match = {
  length: 48,
  read(info, { state: { packet } }) {
    const which = info.getUint8(0);
    const asked = [...(which === 1 ? [] : [packet.sourcePort]), ...(which === 0 ? [] : [packet.destinationPort])];
    const text = "its port is one of the rule's";
    const ranges: Range[] = [];
    for (let i = 0; i < Math.min(15, info.getUint8(1)); i++) {
      const first = info.getUint16(2 + 2 * i, true);
      const isRange = i < 14 && info.getUint8(32 + i) !== 0;
      ranges.push([first, isRange ? info.getUint16(4 + 2 * i, true) : first]);
      if (isRange) i++;
    }
    const answers = asked.map((port) =>
      port === undefined ? undefined : ranges.some((each) => within(port, each) === true),
    );
    const found = answers.includes(true) ? true : answers.includes(undefined) ? undefined : false;
    return perhaps(found === undefined ? undefined : found !== (info.getUint8(47) !== 0), text);
  },
};

/** ICMP, and ICMPv6, of which only the first has a number for any type. */
const icmp = (isIPv6: boolean): Match => ({
  length: 4,
  read(info, seen) {
    const [wanted, least, most, inverted] = [0, 1, 2, 3].map((at) => info.getUint8(at)) as [
      number,
      number,
      number,
      number,
    ];
    const inverse = (inverted & 1) !== 0;
    const text = `its ICMP type is ${inverse ? "not " : ""}${wanted}`;
    if (!isIPv6 && wanted === 255) return known(!inverse, "it is ICMP");
    const type = numberIn(header(seen, "transport", 0, 1));
    if (type !== undefined && type !== wanted) return known(inverse, text);
    const code = within(numberIn(header(seen, "transport", 1, 1)), [least, most]);
    if (type === undefined) return code === false ? known(inverse, text) : depends(text);
    return perhaps(code === undefined ? undefined : code !== inverse, text);
  },
});

/** Time to live, or hop limit: equal, not equal, less, greater. */
const hops = (offset: number): Match => ({
  length: 2,
  read(info, seen) {
    const value = numberIn(header(seen, "network", offset, 1));
    const [mode, wanted] = [info.getUint8(0), info.getUint8(1)];
    const text = `its time to live is ${["", "not ", "less than ", "greater than "][mode] ?? "? "}${wanted}`;
    if (value === undefined) return depends(text);
    return known([value === wanted, value !== wanted, value < wanted, value > wanted][mode] ?? false, text);
  },
});

/** The byte of service and congestion: second of IPv4, across the first two of IPv6. */
function serviceByte(seen: Seen): number | undefined {
  if (seen.state.packet.family === "IPv4") return numberIn(header(seen, "network", 1, 1));
  const both = numberIn(header(seen, "network", 0, 2));
  return both === undefined ? undefined : (both >> 4) & 255;
}

const dscp: Match = {
  length: 2,
  read(info, seen) {
    const byte = serviceByte(seen);
    const [wanted, inverted] = [info.getUint8(0), info.getUint8(1) !== 0];
    const holds = byte === undefined ? undefined : (byte >> 2 === wanted) !== inverted;
    return perhaps(holds, `its DSCP is ${inverted ? "not " : ""}${wanted}`);
  },
};

const tos: Match = {
  length: 3,
  read(info, seen) {
    const byte = serviceByte(seen);
    const [mask, wanted, inverted] = [info.getUint8(0), info.getUint8(1), info.getUint8(2) !== 0];
    const holds = byte === undefined ? undefined : ((byte & mask) === wanted) !== inverted;
    return perhaps(holds, `its TOS is ${inverted ? "not " : ""}0x${wanted.toString(16)}`);
  },
};

const ecn: Match = {
  length: 4,
  read(info, seen) {
    const [operation, inverted, wanted] = [info.getUint8(0), info.getUint8(1), info.getUint8(2)];
    const byte = serviceByte(seen);
    const congestion = byte === undefined ? undefined : ((byte & 3) === wanted) !== ((inverted & 1) !== 0);
    const flag = (operationBit: number, bit: number) => {
      if ((operation & operationBit) === 0) return known(true, "congestion");
      const value = maskedByte(header(seen, "transport", 13, 1), bit);
      return perhaps(
        value === undefined ? undefined : (value !== 0) !== ((inverted & operationBit) !== 0),
        "its ECN flags fit",
      );
    };
    return all(
      (operation & 1) === 0
        ? known(true, "congestion")
        : perhaps(congestion, "its ECN bits are as the rule wants them"),
      flag(0x10, 0x40),
      flag(0x20, 0x80),
    );
  },
};

const length: Match = {
  length: 5,
  read(info, seen) {
    const isIPv4 = seen.state.packet.family === "IPv4";
    const value = numberIn(header(seen, "network", isIPv4 ? 2 : 4, 2));
    const whole = value === undefined || isIPv4 ? value : value + 40;
    const inverted = info.getUint8(4) !== 0;
    const asked = range(info, 0);
    return perhaps(within(whole, asked, inverted), `its length is ${inverted ? "not " : ""}${words(asked)}`);
  },
};

/** What a walk's packets do not have: extension headers of IPv6. */
const absent = (name: string): Match => ({ length: 0, read: () => known(false, `it has ${name}`) });

/** These matches. */
export const headerMatches: Matches = {
  "tcp 0": tcp,
  "udp 0": udp,
  "udplite 0": udp,
  "sctp 0": sctp,
  "dccp 0": foreign(33, "DCCP"),
  "esp 0": foreign(50, "ESP"),
  "ah 0": foreign(51, "AH"),
  "mh 0": foreign(135, "mobility"),
  "l2tp 0": foreign(115, "L2TP"),
  "ipcomp 0": foreign(108, "IPComp"),
  "multiport 1": multiport,
  "icmp 0": icmp(false),
  "icmp6 0": icmp(true),
  "ttl 0": hops(8),
  "hl 0": hops(7),
  "dscp 0": dscp,
  "tos 1": tos,
  "ecn 0": ecn,
  "length 0": length,
  "frag 0": absent("a fragment header"),
  "rt 0": absent("a routing header"),
  "srh 0": absent("a segment routing header"),
  "srh 1": absent("a segment routing header"),
  "hbh 0": absent("a hop-by-hop header"),
  "dst 0": absent("destination options"),
  "u32 0": u32,
};
