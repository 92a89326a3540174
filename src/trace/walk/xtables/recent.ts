/** Who is remembered: iptables' match `recent`, from the lists of the snapshot (`linux/netfilter/xt_recent.h`). */
import type { RecentEntry, RecentList } from "../../../kernel/xtables/recent.ts";
import { type Address, addressBytes, addressFromBytes } from "../../../net/address.ts";
import type { Snapshot } from "../../snapshot/types.ts";
import { type Condition, depends, known, type Match, type Matches, type Seen, textAt } from "./match.ts";

/** Bits of `check_set`. */
const asks = { check: 1, set: 2, update: 4, remove: 8, ttl: 16, reap: 32 } as const;

/** @param maskAt where the mask stands; the first revision has none. */
const recent = (length: number, maskAt: number | undefined): Match => ({
  length,
  read(info, seen) {
    const [action, inverted] = [info.getUint8(8), info.getUint8(9) !== 0];
    const name = textAt(info, 10, 200);
    const { state } = seen;
    const whose = info.getUint8(210) === 1 ? "destination" : "client";
    const address = masked(whose === "client" ? state.packet.source : state.packet.destination, info, maskAt);
    const changes = (condition: Condition): Condition =>
      condition.kind === "known" ? { ...condition, touches: touchedName(name) } : condition;
    const isLost = state.touched.includes(touchedName(name));
    const before = isLost ? undefined : listOf(seen, name)?.get(address);
    const isSet = state.touched.includes(setName(name, address));
    if ((action & asks.set) !== 0) {
      const condition = known(!inverted, `the ${whose} is remembered`);
      // One packet more is kept account of, where it is plain which entry it is for.
      const isPlain = before !== undefined && before.length < 2 && !isSet;
      return isPlain ? { ...condition, touches: setName(name, address) } : changes(condition);
    }
    const within = wantOf(info);
    const text = `the ${whose} is ${inverted ? "not " : ""}remembered by list ${name}${within.text}`;
    const list = isSet ? before && withOneMore(before, address, seen) : before;
    const entry = list === undefined ? undefined : theOne(list, action, seen);
    if (entry === undefined) return depends(text);
    const holds = entry !== "none" && ((action & asks.remove) !== 0 || within.holds(entry));
    const condition = known(holds !== inverted, text);
    // As the kernel has it: `update` writes where the whole match holds, and `reap` takes away what is too old.
    const writes =
      (action & asks.remove) !== 0
        ? holds
        : ((action & asks.update) !== 0 && holds !== inverted) || ((action & asks.reap) !== 0 && !holds);
    return writes && entry !== "none" ? changes(condition) : condition;
  },
});

const touchedName = (name: string) => `recent ${name}`;
const setName = (name: string, address: Address) => `recent set ${name} ${address}`;

/** The entry of an address once a rule has set it for the same packet: that is one of its packets, too. */
function withOneMore([entry]: readonly RecentEntry[], address: Address, { state }: Seen): readonly RecentEntry[] {
  // A time to live that is not known is none of those that are.
  return [{ address, ttl: state.packet.ttl ?? -1, ages: [0, ...(entry?.ages ?? [])] }];
}

/** How many packets must have been seen, and within which time. */
function wantOf(info: DataView): { readonly text: string; readonly holds: (entry: RecentEntry) => boolean } {
  const [seconds, hits] = [info.getUint32(0, true), info.getUint32(4, true)];
  const count = hits > 1 ? ` with ${hits} packets` : "";
  return {
    text: `${count}${seconds > 0 ? ` of the last ${seconds} s` : ""}`,
    holds: ({ ages }) => ages.filter((age) => seconds === 0 || age <= 1000 * seconds).length >= Math.max(1, hits),
  };
}

/** The entry that the kernel finds; undefined where it is not known which. */
function theOne(
  entries: readonly RecentEntry[],
  action: number,
  { state, where }: Seen,
): RecentEntry | "none" | undefined {
  if (entries.length === 0) return "none";
  if ((action & asks.ttl) === 0) return entries.length === 1 ? entries[0] : undefined;
  // What a router has taken away is added again for packets that are forwarded.
  const arrived = where.hook === "prerouting" || where.hook === "input" ? state.packet.ttl : undefined;
  if (entries.every(({ ttl }) => ttl === 0)) return entries[0];
  if (arrived === undefined) return undefined;
  const fitting = entries.filter(({ ttl }) => ttl === 0 || ttl === arrived);
  return fitting.length > 1 ? undefined : (fitting[0] ?? "none");
}

function masked(address: Address, info: DataView, maskAt: number | undefined): Address {
  if (maskAt === undefined) return address;
  return addressFromBytes(addressBytes(address).map((byte, i) => byte & info.getUint8(maskAt + i)));
}

/** The entries of a list by address; every address has some, if none. */
interface PreparedList {
  get(address: Address): readonly RecentEntry[];
}

const preparedLists = new WeakMap<NonNullable<Snapshot["recent"]>, ReadonlyMap<string, PreparedList>>();

function listOf({ world }: Seen, name: string): PreparedList | undefined {
  const { recent: lists } = world.snapshot;
  if (lists === undefined) return undefined;
  let prepared = preparedLists.get(lists);
  if (prepared === undefined) {
    prepared = new Map(lists.map((list) => [list.name, prepare(list)]));
    preparedLists.set(lists, prepared);
  }
  return prepared.get(name);
}

function prepare({ entries }: RecentList): PreparedList {
  const byAddress = Map.groupBy(entries, ({ address }) => address);
  return { get: (address) => byAddress.get(address) ?? [] };
}

/** The match, of both revisions (`struct xt_recent_mtinfo`, `struct xt_recent_mtinfo_v1`). */
export const recentMatches: Matches = { "recent 0": recent(211, undefined), "recent 1": recent(228, 212) };
