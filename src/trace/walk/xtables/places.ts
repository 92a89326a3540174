/** Matches on addresses, interfaces and routes, and on IP sets (`linux/netfilter/xt_*.h`). */
import { type Address, addressBytes, compareBytes, familyOf } from "../../../net/address.ts";
import { loadMeta } from "../load/meta.ts";
import { addressType, typeNumbers } from "../load/route.ts";
import { usableHops } from "../routing.ts";
import { findInSet } from "./ipset.ts";
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
} from "./match.ts";

/** Bits of address types, by number; IPv6 knows fewer. */
function hasType(mask: number, address: Address, bound: number | undefined, { world }: Seen): boolean | undefined {
  const type = addressType(address, bound, world);
  if (familyOf(address) === "IPv4") return (mask & (1 << typeNumbers[type])) !== 0;
  if (mask === 1 << 2) return type === "local";
  if (mask === 1 << 5) return type === "multicast";
  if (mask === 1 << 1) return type !== "multicast";
  return undefined;
}

function addressTypes(
  info: DataView,
  seen: Seen,
  inverted: readonly [boolean, boolean],
  bound: number | undefined,
): Condition {
  const { source, destination } = seen.state.packet;
  return all(
    ...[source, destination].map((address, i) => {
      const mask = info.getUint16(2 * i, true);
      if (mask === 0) return known(true, "address type");
      const holds = hasType(mask, address, bound, seen);
      const text = `the type of ${address} is as the rule wants it`;
      return perhaps(holds === undefined ? undefined : holds !== inverted[i], text);
    }),
  );
}

const addrtype: Match = {
  length: 8,
  read(info, seen) {
    const flags = info.getUint32(4, true);
    const bound = (flags & 4) !== 0 ? seen.state.input : (flags & 8) !== 0 ? seen.state.way?.output : undefined;
    return addressTypes(info, seen, [(flags & 1) !== 0, (flags & 2) !== 0], bound);
  },
};

const oldAddrtype: Match = {
  length: 12,
  read: (info, seen) =>
    addressTypes(info, seen, [info.getUint32(4, true) !== 0, info.getUint32(8, true) !== 0], undefined),
};

const iprange: Match = {
  length: 65,
  read(info, { state: { packet } }) {
    const flags = info.getUint8(64);
    const one = (address: Address, at: number, flag: number): Condition => {
      if ((flags & flag) === 0) return known(true, "range");
      const bytes = addressBytes(address);
      const bound = (start: number) => Uint8Array.from(bytes, (_, i) => info.getUint8(start + i));
      const inside = compareBytes(bytes, bound(at)) >= 0 && compareBytes(bytes, bound(at + 16)) <= 0;
      const inverted = (flags & (flag << 4)) !== 0;
      return known(inside !== inverted, `${address} is ${inverted ? "not " : ""}in the rule's range`);
    };
    return all(one(packet.source, 0, 1), one(packet.destination, 32, 2));
  },
};

const mac: Match = {
  length: 12,
  read: (_, { state }) =>
    state.input === undefined
      ? known(false, "it has a hardware address")
      : depends("its hardware address is as the rule wants it"),
};

const pkttype: Match = {
  length: 8,
  read(info, { state, world, where }) {
    const loaded = loadMeta({ key: "pkttype" }, state, world, where);
    const type = "absent" in loaded ? undefined : numberIn(loaded.value);
    const inverted = info.getInt32(4, true) !== 0;
    const holds = type === undefined ? undefined : (type === info.getInt32(0, true)) !== inverted;
    return perhaps(holds, "its packet type is as the rule wants it");
  },
};

/** `XT_PHYSDEV_OP_*`. */
const op = { input: 1, output: 2, bridged: 4, isInput: 8, isOutput: 16 } as const;

/** Whether an interface's name is the one at an offset, in the bits of the mask behind it. */
function isNamed(info: DataView, at: number, name: string): boolean {
  const bytes = new Uint8Array(16);
  new TextEncoder().encodeInto(name, bytes.subarray(0, 15));
  return bytes.every((byte, i) => ((byte ^ info.getUint8(at + i)) & info.getUint8(at + 16 + i)) === 0);
}

const physdev: Match = {
  length: 66,
  read(info, { state, world }) {
    const [inverted, asked] = [info.getUint8(64), info.getUint8(65)];
    const wants = (flag: number, holds: boolean) => (asked & flag) === 0 || holds !== ((inverted & flag) !== 0);
    const text = "the bridge's ports are as the rule wants them";
    const family = state.packet.family === "IPv4" ? "iptables" : "ip6tables";
    const seen = state.port !== undefined && world.sysctl(`net/bridge/bridge-nf-call-${family}`) === "1";
    // A packet that the bridge does not hand to iptables has no ports, so that only inverted conditions hold.
    if (!seen) {
      return known(
        Object.values(op).every((flag) => wants(flag, false)),
        text,
      );
    }
    const isIn = isNamed(info, 0, world.linkName(state.port));
    const out = world.link(state.way?.port);
    return known(
      wants(op.input, isIn) &&
        wants(op.isInput, true) &&
        wants(op.output, out !== undefined && isNamed(info, 32, out.name)) &&
        wants(op.isOutput, out !== undefined) &&
        wants(op.bridged, out !== undefined),
      text,
    );
  },
};

/** `XT_RPFILTER_*`. */
const reverse = { loose: 1, validMark: 2, acceptLocal: 4, invert: 8 } as const;

const rpfilter: Match = {
  length: 1,
  read(info, { state, world }) {
    const flags = info.getUint8(0);
    const inverted = (flags & reverse.invert) !== 0;
    const text = `the way back to ${state.packet.source} is ${inverted ? "not " : ""}by ${world.linkName(state.input)}`;
    if (state.input === undefined || world.link(state.input)?.loopback) return known(!inverted, text);
    const { source, destination, mark } = state.packet;
    const answer = world.routing.find({
      destination: source,
      source: destination,
      mark: (flags & reverse.validMark) !== 0 ? mark : 0,
      packet: state.packet,
    });
    if (answer.kind === "none") return known(inverted, text);
    if (answer.why !== undefined) return depends(text);
    const { route } = answer;
    if (route.type === "local") return known(((flags & reverse.acceptLocal) !== 0) !== inverted, text);
    if (route.type !== "unicast") return known(inverted, text);
    const back = usableHops(route).some((hop) => hop.interface === state.input);
    return known((back || (flags & reverse.loose) !== 0) !== inverted, text);
  },
};

/** `struct xt_set_info` and, from revision 3 on, counters to compare, which are not followed. */
const set = (revision: number): Match => ({
  length: 4,
  read(info, seen) {
    const [index, dimensions, flags] = [info.getUint16(0, true), info.getUint8(2), info.getUint8(3)];
    const inverted = (flags & 1) !== 0;
    // `IPSET_FLAG_RETURN_NOMATCH` stands among the flags of its own that later revisions have.
    const nomatch = revision >= 3 && info.byteLength >= 44 ? info.getUint32(40, true) & 0x80 : 0;
    const found = findInSet({ index }, dimensions, flags | nomatch, seen);
    const not = inverted ? "not " : "";
    const text = `${found.what} is ${not}in set ${found.name}`;
    const comparesCounters = revision >= 3 && info.byteLength >= 33 && countersCompared(info, revision);
    if (comparesCounters && found.holds !== false)
      return depends(`${text}, and its counters are as the rule wants them`);
    return perhaps(found.holds === undefined ? undefined : found.holds !== inverted, text);
  },
});

/** Whether an operator of the two counters is anything but "none": `ip_set_counter_match0` has it first, its successor last. */
function countersCompared(info: DataView, revision: number): boolean {
  return revision === 3
    ? info.getUint8(8) !== 0 || info.getUint8(24) !== 0
    : info.byteLength >= 40 && (info.getUint8(16) !== 0 || info.getUint8(32) !== 0);
}

/** These matches. */
export const placeMatches: Matches = {
  "addrtype 0": oldAddrtype,
  "addrtype 1": addrtype,
  "iprange 1": iprange,
  "mac 0": mac,
  "pkttype 0": pkttype,
  "physdev 0": physdev,
  "rpfilter 0": rpfilter,
  "set 1": set(1),
  "set 2": set(2),
  "set 3": set(3),
  "set 4": set(4),
};
