/** Targets of iptables (`linux/netfilter/xt_*.h`, `linux/netfilter/nf_nat.h`). */
import type { XtTarget } from "../../../kernel/nftables/index.ts";
import { type Address, addressFromBytes } from "../../../net/address.ts";
import type { NatRange } from "../nat.ts";
import type { QueueRange } from "../rule/queue.ts";
import { setName } from "./ipset.ts";
import { type Seen, textAt } from "./match.ts";

/** What a target does, as far as it is followed. */
export type Action =
  | { readonly kind: "mark"; readonly mark: number }
  | { readonly kind: "connection mark"; readonly mark: number }
  | { readonly kind: "priority"; readonly priority: number }
  /** The byte of service, of which the bits of the mask are set. */
  | { readonly kind: "service"; readonly mask: number; readonly value: number }
  | { readonly kind: "hops"; readonly how: "set" | "add"; readonly value: number }
  | { readonly kind: "notrack" }
  | { readonly kind: "zone"; readonly zone: number; readonly direction?: "original" | "reply" }
  | { readonly kind: "trace" }
  | { readonly kind: "synproxy" }
  | { readonly kind: "reject"; readonly how: string }
  | { readonly kind: "queue"; readonly range: QueueRange }
  | { readonly kind: "proxy"; readonly address?: Address; readonly port: number; readonly mark: number }
  | {
      readonly kind: "nat";
      readonly type: "dnat" | "snat" | "masq" | "redir";
      readonly range: NatRange;
      readonly random: boolean;
      readonly netmap: boolean;
      readonly persistent: boolean;
    }
  /** A set that it adds to or takes from. */
  | { readonly kind: "set"; readonly sets: readonly string[] }
  /** The packet goes on as it was, for what is told here; with something worth saying. */
  | { readonly kind: "nothing"; readonly effect?: string }
  | { readonly kind: "unknown" };

const unknown: Action = { kind: "unknown" };

/** Targets after which the packet goes on as it was. */
const harmless: Readonly<Record<string, string | undefined>> = {
  LOG: undefined,
  NFLOG: undefined,
  ULOG: undefined,
  AUDIT: undefined,
  TCPMSS: undefined,
  TCPOPTSTRIP: undefined,
  CHECKSUM: undefined,
  SECMARK: undefined,
  CONNSECMARK: undefined,
  IDLETIMER: undefined,
  RATEEST: undefined,
  LED: undefined,
  TEE: "sends a copy elsewhere",
};

interface Target {
  /** The least bytes of its structure. */
  readonly length: number;
  readonly read: (info: DataView, seen: Seen) => Action;
}

const mark: Target = {
  length: 8,
  read: (info, { state: { packet } }) => ({
    kind: "mark",
    mark: ((packet.mark & ~info.getUint32(4, true)) ^ info.getUint32(0, true)) >>> 0,
  }),
};

/** Sets the connection's mark, or copies it from or to the packet's; with bits shifted from revision 2 on. */
const connmark = (revision: 1 | 2): Target => ({
  length: revision === 1 ? 13 : 15,
  read(info, { state: { packet, connection } }) {
    if (connection === undefined || connection.state === "untracked") return { kind: "nothing" };
    const [value, connectionMask, packetMask] = [0, 4, 8].map((at) => info.getUint32(at, true)) as [
      number,
      number,
      number,
    ];
    const mode = info.getUint8(revision === 1 ? 12 : 14);
    const shift = (number: number) => {
      if (revision === 1) return number;
      const bits = info.getUint8(13);
      return info.getUint8(12) === 0 ? (number << bits) >>> 0 : number >>> bits;
    };
    switch (mode) {
      case 0:
        return { kind: "connection mark", mark: shift(((connection.mark & ~connectionMask) ^ value) >>> 0) };
      case 1: {
        const kept = connection.mark & ~connectionMask;
        return { kind: "connection mark", mark: (kept ^ shift((packet.mark & packetMask) >>> 0)) >>> 0 };
      }
      default: {
        const restored = shift((connection.mark & connectionMask) >>> 0);
        return { kind: "mark", mark: ((packet.mark & ~packetMask) ^ restored) >>> 0 };
      }
    }
  },
});

/** `XT_CT_NOTRACK`, `XT_CT_NOTRACK_ALIAS`. */
const notrackFlags = 3;

/** `XT_CT_ZONE_DIR_ORIG`, `XT_CT_ZONE_DIR_REPL`, `XT_CT_ZONE_MARK`. */
const zoneFlag = { original: 4, reply: 8, mark: 16 } as const;

const ct: Target = {
  length: 28,
  read(info, { state: { packet } }) {
    const flags = info.getUint16(0, true);
    if ((flags & notrackFlags) !== 0) return { kind: "notrack" };
    const [number, helper] = [info.getUint16(2, true), textAt(info, 12, 16)];
    const zone = (flags & zoneFlag.mark) === 0 ? number : packet.mark & 0xffff;
    if (zone !== 0) {
      // Both together are the same as none.
      const [original, reply] = [flags & zoneFlag.original, flags & zoneFlag.reply];
      const one = original !== 0 && reply === 0 ? "original" : reply !== 0 && original === 0 ? "reply" : undefined;
      return { kind: "zone", zone, ...(one !== undefined && { direction: one }) };
    }
    return helper === "" ? { kind: "nothing" } : { kind: "nothing", effect: `gives the connection helper ${helper}` };
  },
};

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

const reject: Target = {
  length: 4,
  read(info, { state: { packet } }) {
    const how = rejections[packet.family][info.getUint32(0, true)];
    if (how === undefined) return unknown;
    return { kind: "reject", how: how === "TCP reset" ? how : `ICMP error ${how}` };
  },
};

/** `NF_NAT_RANGE_*`. */
const rangeFlag = { addresses: 1, ports: 2, random: 4, persistent: 8, fullyRandom: 16, offset: 32 } as const;

/** IPv4's first revisions have `struct nf_nat_ipv4_multi_range_compat`, all others `struct nf_nat_range`. */
const nat = (type: "dnat" | "snat" | "masq" | "redir" | "netmap", revision: number): Target => ({
  length: 20,
  read(info, { state: { packet }, where }) {
    const old = packet.family === "IPv4" && revision === 0;
    if (info.byteLength < (old ? 20 : 40)) return unknown;
    const flags = info.getUint32(old ? 4 : 0, true);
    if ((flags & rangeFlag.offset) !== 0) return unknown;
    const length = packet.family === "IPv4" ? 4 : 16;
    const address = (at: number) => addressFromBytes(Uint8Array.from({ length }, (_, i) => info.getUint8(at + i)));
    const [first, last, ports] = old ? ([8, 12, 16] as const) : ([4, 20, 36] as const);
    const isDestination = where.hook === "prerouting" || where.hook === "output";
    return {
      kind: "nat",
      type: type === "netmap" ? (isDestination ? "dnat" : "snat") : type,
      netmap: type === "netmap",
      persistent: (flags & rangeFlag.persistent) !== 0,
      random: (flags & (rangeFlag.random | rangeFlag.fullyRandom)) !== 0,
      range: {
        ...((flags & rangeFlag.addresses) !== 0 &&
          type !== "masq" &&
          type !== "redir" && { first: address(first), last: address(last) }),
        ...((flags & rangeFlag.ports) !== 0 && {
          firstPort: info.getUint16(ports),
          lastPort: info.getUint16(ports + 2),
        }),
      },
    };
  },
});

/** TTL and HL: set, increase, decrease. */
const hops: Target = {
  length: 2,
  read(info) {
    const [mode, value] = [info.getUint8(0), info.getUint8(1)];
    return mode === 0
      ? { kind: "hops", how: "set", value }
      : { kind: "hops", how: "add", value: mode === 1 ? value : -value };
  },
};

/** Revision 0 has the queue alone, 1 how many there are, 2 and 3 whether packets pass where nobody listens. */
const queue = (revision: 0 | 1 | 2): Target => ({
  length: 2 + 2 * revision,
  read: (info) => ({
    kind: "queue",
    range: {
      first: info.getUint16(0, true),
      total: revision === 0 ? 1 : Math.max(1, info.getUint16(2, true)),
      bypass: revision === 2 && (info.getUint16(4, true) & 1) !== 0,
    },
  }),
});

const set: Target = {
  length: 8,
  read(info, { world }) {
    const none = 65_535;
    const names = [info.getUint16(0, true), info.getUint16(4, true)].filter((index) => index !== none);
    return { kind: "set", sets: names.map((index) => setName(index, world)) };
  },
};

/** Hands the packet to a socket of this node, and marks it. */
const proxy = (revision: 0 | 1): Target => ({
  length: revision === 0 ? 14 : 26,
  read(info, { state: { packet } }) {
    const length = revision === 0 || packet.family === "IPv4" ? 4 : 16;
    const bytes = Uint8Array.from({ length }, (_, i) => info.getUint8(8 + i));
    const mask = info.getUint32(0, true);
    return {
      kind: "proxy",
      ...(bytes.some((byte) => byte !== 0) && { address: addressFromBytes(bytes) }),
      port: info.getUint16(revision === 0 ? 12 : 24),
      mark: ((packet.mark & ~mask) ^ info.getUint32(4, true)) >>> 0,
    };
  },
});

const targets: Readonly<Record<string, Target>> = {
  "MARK 2": mark,
  "CONNMARK 1": connmark(1),
  "CONNMARK 2": connmark(2),
  "CT 0": ct,
  "CT 1": ct,
  "CT 2": ct,
  "NOTRACK 0": { length: 0, read: () => ({ kind: "notrack" }) },
  "TRACE 0": { length: 0, read: () => ({ kind: "trace" }) },
  "REJECT 0": reject,
  "SYNPROXY 0": { length: 4, read: () => ({ kind: "synproxy" }) },
  "CLASSIFY 0": { length: 4, read: (info) => ({ kind: "priority", priority: info.getUint32(0, true) }) },
  "DSCP 0": { length: 1, read: (info) => ({ kind: "service", mask: 0xfc, value: info.getUint8(0) << 2 }) },
  "TOS 1": { length: 2, read: (info) => ({ kind: "service", mask: info.getUint8(1), value: info.getUint8(0) }) },
  "TTL 0": hops,
  "HL 0": hops,
  "NFQUEUE 0": queue(0),
  "NFQUEUE 1": queue(1),
  "NFQUEUE 2": queue(2),
  "NFQUEUE 3": queue(2),
  "SET 1": set,
  "SET 2": set,
  "SET 3": set,
  "TPROXY 0": proxy(0),
  "TPROXY 1": proxy(1),
  ...Object.fromEntries(
    [0, 1, 2].flatMap((revision) => [
      [`DNAT ${revision}`, nat("dnat", revision)],
      [`SNAT ${revision}`, nat("snat", revision)],
      [`MASQUERADE ${revision}`, nat("masq", revision)],
      [`REDIRECT ${revision}`, nat("redir", revision)],
      [`NETMAP ${revision}`, nat("netmap", revision)],
    ]),
  ),
};

/** Reads a target. */
export function readTarget({ name, revision, info }: XtTarget, seen: Seen): Action {
  if (name in harmless) {
    const effect = harmless[name];
    return { kind: "nothing", ...(effect !== undefined && { effect }) };
  }
  const target = targets[`${name} ${revision}`];
  if (target === undefined || info.length < target.length) return unknown;
  return target.read(new DataView(info.buffer, info.byteOffset, info.length), seen);
}
