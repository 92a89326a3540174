/** Matches on connections, marks, sockets and their owners (`linux/netfilter/xt_*.h`). */
import type { CtKey } from "../../../kernel/nftables/index.ts";
import { addressFromBytes } from "../../../net/address.ts";
import { loadCt } from "../load/connection.ts";
import type { Connection, State } from "../state.ts";
import {
  all,
  type Condition,
  depends,
  known,
  type Match,
  type Matches,
  numberIn,
  perhaps,
  type Seen,
  sameMasked,
  within,
} from "./match.ts";

/** `XT_CONNTRACK_STATE_*`. */
const stateBit = { invalid: 1, established: 2, new: 8, sourceNat: 64, destinationNat: 128, untracked: 256 } as const;

function stateBits(connection: Connection | undefined): number {
  if (connection === undefined) return stateBit.invalid;
  return (
    stateBit[connection.state] |
    (connection.sourceTranslated ? stateBit.sourceNat : 0) |
    (connection.destinationTranslated ? stateBit.destinationNat : 0)
  );
}

/** True if the tracker has a connection for the packet. */
const isTracked = ({ connection }: State) => connection !== undefined && connection.state !== "untracked";

/** Part of a connection's tuples, as far as it is known. */
function tuplePart(key: CtKey, direction: "original" | "reply", { state }: Seen): Uint8Array | undefined {
  const loaded = loadCt({ key, direction }, state);
  if ("absent" in loaded || !loaded.value.known.every((byte) => byte === 255)) return undefined;
  return loaded.value.data;
}

/** Bits of `match_flags` (`XT_CONNTRACK_*`). */
const asks = {
  state: 1,
  protocol: 2,
  address: 4,
  status: 0x40,
  expires: 0x80,
  port: 0x100,
  direction: 0x1000,
} as const;

/** Original source, original destination, reply source, reply destination: the bits follow each other. */
const tupleParts = [
  ["original", "saddr", "proto-src"],
  ["original", "daddr", "proto-dst"],
  ["reply", "saddr", "proto-src"],
  ["reply", "daddr", "proto-dst"],
] as const;

const conntrack: Match = {
  length: 154,
  read(info, seen) {
    const { connection, packet } = seen.state;
    const flags = info.getUint16(146, true);
    const inverted = info.getUint16(148, true);
    const not = (bit: number) => (inverted & bit) !== 0;
    const conditions: Condition[] = [];
    if ((flags & asks.state) !== 0) {
      const holds = (info.getUint16(150, true) & stateBits(connection)) !== 0;
      const text = `the connection's state is ${not(asks.state) ? "none" : "one"} of the rule's`;
      conditions.push(known(holds !== not(asks.state), text));
    }
    const rest = flags & ~asks.state & ~0x2000;
    if (rest === 0) return all(...conditions);
    if (!isTracked(seen.state)) {
      // Without a connection all other conditions are passed over, if there is one about the state.
      return all(...conditions, known((flags & asks.state) !== 0, "the connection is tracked"));
    }
    if ((rest & asks.protocol) !== 0) {
      const holds = packet.protocol === info.getUint16(136, true);
      conditions.push(known(holds !== not(asks.protocol), "the connection's protocol is the rule's"));
    }
    for (const [i, [direction, addressKey, portKey]] of tupleParts.entries()) {
      conditions.push(addressFits(info, i, rest, inverted, direction, addressKey, seen));
      const bit = asks.port << i;
      if ((rest & bit) === 0) continue;
      const number = tuplePart(portKey, direction, seen);
      const port = number === undefined ? undefined : ((number[0] ?? 0) << 8) | (number[1] ?? 0);
      const low = info.getUint16(138 + 2 * i, true);
      const high = info.byteLength >= 162 ? info.getUint16(154 + 2 * i, true) : low;
      const text = `${direction} ${portKey} of the connection is ${not(bit) ? "not " : ""}the rule's`;
      conditions.push(perhaps(within(port, [low, Math.max(low, high)], not(bit)), text));
    }
    if ((rest & asks.status) !== 0) {
      const loaded = loadCt({ key: "status" }, seen.state);
      const bits = "absent" in loaded ? undefined : littleNumber(loaded.value);
      const holds = bits === undefined ? undefined : ((info.getUint16(152, true) & bits) !== 0) !== not(asks.status);
      conditions.push(perhaps(holds, "the connection's status is as the rule wants it"));
    }
    if ((rest & asks.expires) !== 0) conditions.push(depends("the connection expires when the rule wants it"));
    if ((rest & asks.direction) !== 0) {
      const loaded = loadCt({ key: "direction" }, seen.state);
      const number = "absent" in loaded ? undefined : numberIn(loaded.value);
      const holds = number === undefined ? undefined : (number === 0) !== not(asks.direction);
      conditions.push(perhaps(holds, "the packet's direction is the rule's"));
    }
    return all(...conditions);
  },
};

function addressFits(
  info: DataView,
  i: number,
  flags: number,
  inverted: number,
  direction: "original" | "reply",
  key: "saddr" | "daddr",
  seen: Seen,
): Condition {
  const bit = asks.address << i;
  if ((flags & bit) === 0) return known(true, "address");
  const not = (inverted & bit) !== 0;
  const text = `${direction} ${key} of the connection is ${not ? "not " : ""}the rule's`;
  const bytes = tuplePart(key, direction, seen);
  if (bytes === undefined) return depends(text);
  const address = addressFromBytes(bytes.subarray(0, seen.state.packet.family === "IPv4" ? 4 : 16));
  return known(sameMasked(address, info, 32 * i, 32 * i + 16) !== not, text);
}

function littleNumber({ data, known: sure }: { readonly data: Uint8Array; readonly known: Uint8Array }) {
  if (sure.some((byte) => byte !== 255)) return undefined;
  return data.reduceRight((number, byte) => number * 256 + byte, 0);
}

/** The predecessor of `conntrack`: its bit for "untracked" is another one. */
const oldState: Match = {
  length: 4,
  read(info, { state: { connection } }) {
    const mask = info.getUint32(0, true);
    const bit = connection?.state === "untracked" ? 64 : stateBits(connection) & 15;
    return known((mask & bit) !== 0, "the connection's state is one of the rule's");
  },
};

const mark: Match = {
  length: 9,
  read(info, { state: { packet } }) {
    const equal = (packet.mark & info.getUint32(4, true)) >>> 0 === info.getUint32(0, true);
    return known(equal !== (info.getUint8(8) !== 0), `mark 0x${packet.mark.toString(16)} is as the rule wants it`);
  },
};

const connmark: Match = {
  length: 9,
  read(info, { state }) {
    const text = "the connection's mark is as the rule wants it";
    if (!isTracked(state)) return known(false, text);
    const equal = ((state.connection?.mark ?? 0) & info.getUint32(4, true)) >>> 0 === info.getUint32(0, true);
    return known(equal !== (info.getUint8(8) !== 0), text);
  },
};

/** Only connections that another one announced have a helper, and those are not followed. */
const helper: Match = {
  length: 34,
  read: (info, { state }) =>
    state.connection?.state === "established"
      ? depends("the connection was announced by a helper, as the rule wants it")
      : known(info.getInt32(0, true) !== 0, "the connection was announced by a helper"),
};

/** A match on the program that sends: a packet from elsewhere has none. */
function ofProgram(what: string, read: (info: DataView) => { readonly without: boolean }): Match["read"] {
  return (info, { state }) => {
    const text = `the sender's ${what} is as the rule wants it`;
    return state.input === undefined ? depends(text) : known(read(info).without, text);
  };
}

const owner: Match = {
  length: 18,
  read(info, seen) {
    const [asked, inverted] = [info.getUint8(16), info.getUint8(17)];
    // A packet of this node: of a program's socket, but for the few that the kernel itself sends.
    if (asked === 4 && seen.state.input === undefined)
      return depends(`it is ${inverted === 0 ? "" : "not "}of a program`);
    return ofProgram("user or group", () => ({ without: (asked ^ inverted) === 0 }))(info, seen);
  },
};

/** `XT_SOCKET_*`. */
const socketFlag = { transparent: 1, noWildcard: 2 } as const;

/** A socket that takes the packet: one of a connection, or one that listens. */
const socket = (hasFlags: boolean): Match => ({
  length: hasFlags ? 1 : 0,
  read(info, { state, world }) {
    const flags = hasFlags ? info.getUint8(0) : 0;
    const { packet, connection } = state;
    const text = `a socket of this node takes packets to ${packet.destination}`;
    if (connection?.state === "established" || packet.destinationPort === undefined) return depends(text);
    const name = packet.protocol === 6 ? "TCP" : packet.protocol === 17 ? "UDP" : undefined;
    if (name === undefined) return known(false, text);
    const found = world.snapshot.sockets.filter(
      ({ protocol, port, address }) =>
        protocol === name &&
        port === packet.destinationPort &&
        (address === packet.destination ||
          (/^(0\.0\.0\.0|::)$/.test(address) && (flags & socketFlag.noWildcard) !== 0)),
    );
    if (found.length === 0) return known(false, text);
    return (flags & socketFlag.transparent) !== 0 ? depends(`${text}, and is transparent`) : known(true, text);
  },
});

/** `XT_IPVS_*`. */
const ipvsAsks = { property: 1, protocol: 2, address: 4, port: 8, direction: 16, method: 32, control: 64 } as const;
const methods = ["masquerade", "local", "tunnel", "route", "bypass"] as const;

/** Whether IPVS took the packet, and for which service. */
const ipvs: Match = {
  length: 40,
  read(info, { state }) {
    const { balanced, packet } = state;
    const [inverted, asked] = [info.getUint8(38), info.getUint8(39)];
    const not = (bit: number) => (inverted & bit) !== 0;
    const property = known((balanced !== undefined) !== not(ipvsAsks.property), "IPVS took the packet");
    if (asked === ipvsAsks.property) return property;
    if (balanced === undefined) return known(false, "IPVS took the packet");
    const one = (bit: number, holds: boolean | undefined, what: string): Condition =>
      (asked & bit) === 0
        ? known(true, what)
        : perhaps(holds === undefined ? undefined : holds !== not(bit), `the ${what} of IPVS is as the rule wants it`);
    return all(
      one(ipvsAsks.protocol, packet.protocol === info.getUint8(34), "protocol"),
      one(ipvsAsks.address, sameMasked(balanced.address, info, 0, 16), "address"),
      one(ipvsAsks.port, balanced.port === info.getUint16(32), "port"),
      one(ipvsAsks.method, balanced.forwarding === methods[info.getUint8(35)], "method"),
      one(ipvsAsks.direction, undefined, "direction"),
      one(ipvsAsks.control, undefined, "control port"),
    );
  },
};

/** These matches. */
export const connectionMatches: Matches = {
  "conntrack 3": conntrack,
  "state 0": oldState,
  "mark 1": mark,
  "connmark 1": connmark,
  "helper 0": helper,
  "owner 1": owner,
  "cgroup 0": { length: 8, read: ofProgram("control group", () => ({ without: false })) },
  "cgroup 1": { length: 8, read: ofProgram("control group", () => ({ without: false })) },
  "cgroup 2": { length: 8, read: ofProgram("control group", () => ({ without: false })) },
  "socket 0": socket(false),
  "socket 1": socket(true),
  "socket 2": socket(true),
  "socket 3": socket(true),
  "ipvs 0": ipvs,
};
