/**
 * Matches and targets of iptables, from their structures in `linux/netfilter/xt_*.h`: those that Kubernetes rule sets
 * use. Numbers are in host order (little-endian) where nothing else is said.
 */
import type { XtMatch, XtTarget } from "../../kernel/nftables/index.ts";
import { type Address, addressFromBytes } from "../../net/address.ts";
import { addressType } from "./load.ts";
import type { NatRange } from "./nat.ts";
import { protocolNumber } from "./packet.ts";
import type { Connection, State } from "./state.ts";
import type { World } from "./world.ts";

/** Whether a match holds. */
export type Condition =
  | { readonly kind: "known"; readonly holds: boolean; readonly text: string }
  /** For this part of all packets, at random. */
  | { readonly kind: "random"; readonly probability: number; readonly text: string }
  | { readonly kind: "depends"; readonly text: string };

const known = (holds: boolean, text: string): Condition => ({ kind: "known", holds, text });

/** Evaluates a match. What is not known here depends. */
export function evaluateMatch({ name, revision, info }: XtMatch, state: State, world: World): Condition {
  const evaluate = matches[`${name} ${revision}`];
  const fields = new DataView(info.buffer, info.byteOffset, info.length);
  if (name === "comment") return known(true, "comment");
  if (evaluate === undefined || info.length < evaluate.length) {
    return { kind: "depends", text: `iptables' match ${name} holds` };
  }
  return evaluate.read(fields, state, world);
}

interface Match {
  /** The least bytes of its structure. */
  readonly length: number;
  readonly read: (info: DataView, state: State, world: World) => Condition;
}

const conntrackBit = {
  invalid: 1,
  established: 2,
  new: 8,
  sourceNat: 64,
  destinationNat: 128,
  untracked: 256,
} as const;

const matches: Readonly<Record<string, Match>> = {
  "conntrack 3": {
    length: 154,
    read(info, { connection }) {
      const flags = info.getUint16(146, true);
      const inverted = (info.getUint16(148, true) & 1) !== 0;
      // Other conditions than the state: XT_CONNTRACK_STATE is bit 0, _STATE_ALIAS bit 13.
      if ((flags & ~0x2001) !== 0) return { kind: "depends", text: "iptables' match conntrack holds" };
      const text = `the connection's state is ${inverted ? "none" : "one"} of the rule's`;
      return known(((info.getUint16(150, true) & conntrackState(connection)) !== 0) !== inverted, text);
    },
  },
  "mark 1": {
    length: 9,
    read(info, { packet }) {
      const [value, mask] = [info.getUint32(0, true), info.getUint32(4, true)];
      const equal = (packet.mark & mask) >>> 0 === value;
      return known(equal !== (info.getUint8(8) !== 0), `mark 0x${packet.mark.toString(16)} is as the rule wants it`);
    },
  },
  "addrtype 1": {
    length: 8,
    read(info, state, world) {
      const flags = info.getUint32(4, true);
      const bound = (flags & 4) !== 0 ? state.input : (flags & 8) !== 0 ? state.way?.output : undefined;
      for (const [i, address] of [state.packet.source, state.packet.destination].entries()) {
        const mask = info.getUint16(2 * i, true);
        if (mask === 0) continue;
        const holds = hasType(mask, address, bound, world);
        if (holds === undefined) return { kind: "depends", text: `the type of ${address} is as the rule wants it` };
        const inverted = (flags & (1 << i)) !== 0;
        if (holds === inverted) return known(false, `the type of ${address} is as the rule wants it`);
      }
      return known(true, "address type");
    },
  },
  "statistic 0": {
    length: 8,
    read(info) {
      const inverted = (info.getUint16(2, true) & 1) !== 0;
      const mode = info.getUint16(0, true);
      if (mode === 0) {
        const probability = info.getUint32(4, true) / 2 ** 31;
        return { kind: "random", probability: inverted ? 1 - probability : probability, text: "drawn at random" };
      }
      const every = info.getUint32(4, true) + 1;
      const share = inverted ? 1 - 1 / every : 1 / every;
      return { kind: "random", probability: share, text: `every ${every}th packet` };
    },
  },
  "tcp 0": {
    length: 12,
    read(info, { packet, connection }) {
      if (packet.protocol !== protocolNumber.tcp) return known(false, "it is TCP");
      const inverted = info.getUint8(11);
      const [mask, compared] = [info.getUint8(9), info.getUint8(10)];
      if (info.getUint8(8) !== 0 || (mask !== 0 && connection?.state === "established")) {
        return { kind: "depends", text: "the packet's TCP options and flags are as the rule wants them" };
      }
      // A connection's first packet has SYN alone.
      if (mask !== 0 && ((2 & mask) === compared) === ((inverted & 4) !== 0)) return known(false, "its TCP flags fit");
      return portsFit(
        packet,
        [info.getUint16(0, true), info.getUint16(2, true)],
        [info.getUint16(4, true), info.getUint16(6, true)],
        inverted,
      );
    },
  },
  "udp 0": {
    length: 9,
    read(info, { packet }) {
      if (packet.protocol !== protocolNumber.udp) return known(false, "it is UDP");
      return portsFit(
        packet,
        [info.getUint16(0, true), info.getUint16(2, true)],
        [info.getUint16(4, true), info.getUint16(6, true)],
        info.getUint8(8),
      );
    },
  },
  "sctp 0": {
    length: 296,
    read(info, { packet }) {
      if (packet.protocol !== protocolNumber.sctp) return known(false, "it is SCTP");
      const flags = info.getUint32(288, true);
      const inverted = info.getUint32(292, true);
      if ((flags & 4) !== 0) return { kind: "depends", text: "the packet's chunks are as the rule wants them" };
      const all = [0, 65_535] as const;
      const destination = [info.getUint16(0, true), info.getUint16(2, true)] as const;
      const source = [info.getUint16(4, true), info.getUint16(6, true)] as const;
      return portsFit(packet, (flags & 1) !== 0 ? source : all, (flags & 2) !== 0 ? destination : all, inverted & 3);
    },
  },
  "multiport 1": {
    length: 48,
    read(info, { packet }) {
      const which = info.getUint8(0);
      const inverted = info.getUint8(47) !== 0;
      const asked =
        which === 0
          ? [packet.sourcePort]
          : which === 1
            ? [packet.destinationPort]
            : [packet.sourcePort, packet.destinationPort];
      if (asked.some((port) => port === undefined)) return { kind: "depends", text: "its port is one of the rule's" };
      let found = false;
      for (let i = 0; i < Math.min(15, info.getUint8(1)); i++) {
        const first = info.getUint16(2 + 2 * i, true);
        const isRange = info.getUint8(32 + i) !== 0;
        const last = isRange ? info.getUint16(4 + 2 * i, true) : first;
        if (asked.some((port) => port !== undefined && port >= first && port <= last)) found = true;
        if (isRange) i++;
      }
      return known(found !== inverted, "its port is one of the rule's");
    },
  },
  "recent 1": {
    length: 10,
    read(info) {
      const [action, inverted] = [info.getUint8(8), info.getUint8(9) !== 0];
      if ((action & 2) !== 0) return known(!inverted, "the client is remembered");
      return { kind: "depends", text: `the client is ${inverted ? "not " : ""}remembered by list ${textAt(info, 10)}` };
    },
  },
};

function conntrackState(connection: Connection | undefined): number {
  if (connection === undefined) return conntrackBit.invalid;
  return (
    conntrackBit[connection.state] |
    (connection.sourceTranslated ? conntrackBit.sourceNat : 0) |
    (connection.destinationTranslated ? conntrackBit.destinationNat : 0)
  );
}

/** Bits of address types: 1 unicast, 2 local, 3 broadcast and so on; IPv6 knows fewer. */
function hasType(mask: number, address: Address, bound: number | undefined, world: World): boolean | undefined {
  const type = addressType(address, bound, world);
  const numbers: Readonly<Record<string, number>> = {
    unicast: 1,
    local: 2,
    broadcast: 3,
    anycast: 4,
    multicast: 5,
    blackhole: 6,
    unreachable: 7,
    prohibit: 8,
  };
  if (!address.includes(":")) return (mask & (1 << (numbers[type] ?? 0))) !== 0;
  if (mask === 1 << 2) return type === "local";
  if (mask === 1 << 5) return type === "multicast";
  if (mask === 1 << 1) return type !== "multicast";
  return undefined;
}

type Range = readonly [number, number];

/** Flag 1 inverts the source's range, flag 2 the destination's. */
function portsFit(
  { sourcePort, destinationPort }: State["packet"],
  source: Range,
  destination: Range,
  inverted: number,
): Condition {
  let open: string | undefined;
  for (const [name, port, [first, last], flag] of [
    ["source", sourcePort, source, 1],
    ["destination", destinationPort, destination, 2],
  ] as const) {
    if (first === 0 && last === 65_535 && (inverted & flag) === 0) continue;
    const text = `${name} port is ${(inverted & flag) !== 0 ? "not " : ""}${first === last ? first : `${first} to ${last}`}`;
    if (port === undefined) open = text;
    else if ((port >= first && port <= last) === ((inverted & flag) !== 0)) return known(false, text);
  }
  return open === undefined ? known(true, "ports") : { kind: "depends", text: open };
}

/** What a target does, as far as it is followed. */
export type Action =
  | { readonly kind: "mark"; readonly mark: number }
  | { readonly kind: "reject"; readonly how: string }
  | {
      readonly kind: "nat";
      readonly type: "dnat" | "snat" | "masq" | "redir";
      readonly range: NatRange;
      readonly random: boolean;
    }
  /** The packet goes on as it was, for what is told here. */
  | { readonly kind: "nothing" }
  | { readonly kind: "unknown" };

/** Targets after which the packet goes on as it was. */
const harmless = new Set([
  "LOG",
  "NFLOG",
  "TRACE",
  "AUDIT",
  "TCPMSS",
  "CHECKSUM",
  "CLASSIFY",
  "SECMARK",
  "CONNSECMARK",
]);

/** How REJECT answers, by number (`ipt_reject_with`, `ip6t_reject_with`). */
const rejections = {
  IPv4: [
    "network unreachable",
    "host unreachable",
    "protocol unreachable",
    "port unreachable",
    "echo reply",
    "network prohibited",
    "host prohibited",
    "TCP reset",
    "administratively prohibited",
  ],
  IPv6: [
    "no route",
    "administratively prohibited",
    "not neighbour",
    "address unreachable",
    "port unreachable",
    "echo reply",
    "TCP reset",
    "policy failed",
    "route rejected",
  ],
} as const;

/** Reads a target. */
export function readTarget({ name, revision, info }: XtTarget, { packet }: State): Action {
  const fields = new DataView(info.buffer, info.byteOffset, info.length);
  if (harmless.has(name)) return { kind: "nothing" };
  if (name === "MARK" && revision === 2 && info.length >= 8) {
    const mark = ((packet.mark & ~fields.getUint32(4, true)) ^ fields.getUint32(0, true)) >>> 0;
    return { kind: "mark", mark };
  }
  if (name === "REJECT" && revision === 0 && info.length >= 4) {
    const how = rejections[packet.family][fields.getUint32(0, true)];
    return how === undefined
      ? { kind: "unknown" }
      : { kind: "reject", how: how === "TCP reset" ? how : `ICMP error ${how}` };
  }
  const types: Readonly<Record<string, "dnat" | "snat" | "masq" | "redir">> = {
    DNAT: "dnat",
    SNAT: "snat",
    MASQUERADE: "masq",
    REDIRECT: "redir",
  };
  const type = types[name];
  if (type === undefined) return { kind: "unknown" };
  // IPv4's first revisions have struct nf_nat_ipv4_multi_range_compat, all others struct nf_nat_range.
  const old = packet.family === "IPv4" && revision === 0;
  if (info.length < (old ? 20 : 40)) return { kind: "unknown" };
  const flags = fields.getUint32(old ? 4 : 0, true);
  const length = packet.family === "IPv4" ? 4 : 16;
  const address = (at: number) => addressFromBytes(info.slice(at, at + length));
  const [first, last, ports] = old ? ([8, 12, 16] as const) : ([4, 20, 36] as const);
  return {
    kind: "nat",
    type,
    random: (flags & 0x14) !== 0,
    range: {
      ...((flags & 1) !== 0 && type !== "masq" && { first: address(first), last: address(last) }),
      ...((flags & 2) !== 0 && { firstPort: fields.getUint16(ports), lastPort: fields.getUint16(ports + 2) }),
    },
  };
}

function textAt(info: DataView, start: number): string {
  let text = "";
  for (let at = start; at < info.byteLength && info.getUint8(at) !== 0; at++)
    text += String.fromCharCode(info.getUint8(at));
  return text;
}
