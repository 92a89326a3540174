/** Look-ups of packets in IP sets, as the kernel makes them (`net/netfilter/ipset/`). */
import type { AnySet, SetElement } from "../../../kernel/ipset/index.ts";
import { type Address, familyOf } from "../../../net/address.ts";
import { type Prefix, prefixOf } from "../../../net/prefix.ts";
import type { Snapshot } from "../../snapshot/types.ts";
import { hasPorts, protocolNumber } from "../packet.ts";
import type { World } from "../world.ts";
import { header, numberIn, type Seen } from "./match.ts";

/** What a look-up found. */
export interface SetAnswer {
  /** The set's name, or its number where there is no set of it. */
  readonly name: string;
  /** Undefined where it depends on what is not known. */
  readonly holds: boolean | undefined;
  /** What was looked up, in words. */
  readonly what: string;
}

/** Which set is meant: rules name it by number, lists by name. */
type Reference = { readonly index: number } | { readonly name: string };

/** Bit 7 of the flags (`IPSET_RETURN_NOMATCH`): an element with `nomatch` is what is looked for. */
const wantsNomatch = 0x80;
/** How deep lists may be nested; the kernel allows no list in a list. */
const deepest = 2;

/**
 * Looks a packet up.
 *
 * @param dimensions how many parts the rule names.
 * @param flags from bit 1 on: the part is the source's (`IPSET_DIM_ONE_SRC`…).
 */
export function findInSet(reference: Reference, dimensions: number, flags: number, seen: Seen, depth = 0): SetAnswer {
  const { world, state } = seen;
  const set = prepared(world).find(reference);
  const named = "name" in reference ? reference.name : `number ${reference.index}`;
  if (set === undefined) return { name: named, holds: undefined, what: "the packet" };
  const { name, type } = set.set;
  if (state.touched.includes(`ipset ${name}`)) return { name, holds: undefined, what: "the packet" };
  if (type === "list:set") {
    const members = set.set.elements.flatMap((element) => (element.name === undefined ? [] : [element.name]));
    const answers =
      depth >= deepest ? [] : members.map((member) => findInSet({ name: member }, dimensions, flags, seen, depth + 1));
    const holds = answers.some((answer) => answer.holds === true)
      ? true
      : answers.some((answer) => answer.holds === undefined)
        ? undefined
        : false;
    return { name, holds, what: answers[0]?.what ?? "the packet" };
  }
  const parts = type.slice(type.indexOf(":") + 1).split(",");
  const wrongFamily = set.set.family !== undefined && set.set.family !== state.packet.family;
  if (wrongFamily || dimensions < parts.length) return { name, holds: false, what: "the packet" };
  const values = parts.map((part, i) => partOf(part, (flags & (2 << i)) !== 0, type, set.set, seen));
  const what = values.map(({ text }) => text).join(",");
  if (values.some(({ kind }) => kind === "absent")) return { name, holds: false, what };
  if (values.some(({ kind }) => kind === "open")) {
    return { name, holds: set.set.elements.length === 0 ? false : undefined, what };
  }
  const found = set.lookup(values.flatMap((value) => (value.kind === "value" ? [value] : [])));
  if (found === "open") return { name, holds: undefined, what };
  return { name, holds: found !== undefined && (found.nomatch === true) === ((flags & wantsNomatch) !== 0), what };
}

/** One part of a packet. */
type Part =
  | {
      readonly kind: "value";
      readonly key: string;
      readonly address?: Address;
      readonly port?: string;
      readonly text: string;
    }
  /** Not known. */
  | { readonly kind: "open"; readonly text: string }
  /** The packet has none. */
  | { readonly kind: "absent"; readonly text: string };

function partOf(part: string, isSource: boolean, type: string, set: AnySet, seen: Seen): Part {
  const { state, world, where } = seen;
  const { packet } = state;
  const side = isSource ? "source" : "destination";
  switch (part) {
    case "ip":
    case "net": {
      const address = isSource ? packet.source : packet.destination;
      const masked = set.netmask === undefined ? address : addressIn(prefixOf(address, set.netmask));
      return { kind: "value", key: masked, address: masked, text: address };
    }
    case "port":
      return portOf(isSource, type, seen);
    case "mark": {
      const mark = (packet.mark & (set.markMask ?? 0xffff_ffff)) >>> 0;
      return { kind: "value", key: String(mark), text: `mark 0x${mark.toString(16)}` };
    }
    case "iface": {
      const index = isSource ? (where.hook === "output" ? undefined : state.input) : state.way?.output;
      if (index === undefined) return { kind: "absent", text: `no ${side} interface` };
      const name = world.linkName(index);
      return { kind: "value", key: name, text: name };
    }
    case "mac":
      return state.input === undefined
        ? { kind: "absent", text: "no hardware address" }
        : { kind: "open", text: `the ${side}'s hardware address` };
    default:
      return { kind: "open", text: `its ${part}` };
  }
}

/** Ports with their protocol; of ICMP, type and code. A set of ports alone has those of TCP and UDP. */
function portOf(isSource: boolean, type: string, seen: Seen): Part {
  const { packet } = seen.state;
  const { protocol } = packet;
  const alone = type === "bitmap:port";
  const text = (port: number) => `${protocol}:${port}`;
  if (hasPorts(protocol)) {
    if (alone && protocol === protocolNumber.sctp) return { kind: "absent", text: "no port" };
    const port = isSource ? packet.sourcePort : packet.destinationPort;
    if (port === undefined) return { kind: "open", text: `the ${isSource ? "source" : "destination"} port` };
    return { kind: "value", key: alone ? String(port) : text(port), text: `port ${port}` };
  }
  if (alone) return { kind: "absent", text: "no port" };
  if (protocol === protocolNumber.icmp || protocol === protocolNumber.icmpv6) {
    const both = numberIn(header(seen, "transport", 0, 2));
    return both === undefined
      ? { kind: "open", text: "the ICMP type" }
      : { kind: "value", key: text(both), text: `ICMP type ${both >> 8}` };
  }
  return { kind: "value", key: text(0), text: `protocol ${protocol}` };
}

function addressIn(prefix: Prefix): Address {
  return prefix.slice(0, prefix.indexOf("/")) as Address;
}

/** A set prepared for look-ups. */
class PreparedSet {
  readonly set: AnySet;
  readonly #parts: readonly string[];
  /** Elements by the lengths of their prefixes, those with the longest first, and by key. */
  #groups: readonly Group[] | undefined;
  /** Of `hash:net,iface`: elements that name an interface in a way that only a search finds. */
  readonly #special: SetElement[] = [];

  constructor(set: AnySet) {
    this.set = set;
    this.#parts = set.type.slice(set.type.indexOf(":") + 1).split(",");
  }

  /** The element that decides; `open` where that cannot be told. */
  lookup(values: readonly (Part & { readonly kind: "value" })[]): SetElement | "open" | undefined {
    if (this.#parts.includes("mac")) return this.set.elements.length === 0 ? undefined : "open";
    for (const { lengths, elements } of this.#index()) {
      let nets = 0;
      const keys = values.map((value, i) =>
        this.#parts[i] === "net" && value.address !== undefined
          ? addressIn(prefixOf(value.address, lengths[nets++] ?? 0))
          : value.key,
      );
      const found = elements.get(keys.join(" "));
      if (found !== undefined) return found;
    }
    const addresses = values.flatMap((value) => (value.address === undefined ? [] : [value.address]));
    return this.#special.find((element) => covers(element, addresses[0], values.at(-1)?.key ?? "")) === undefined
      ? undefined
      : "open";
  }

  #index(): readonly Group[] {
    if (this.#groups !== undefined) return this.#groups;
    const groups = new Map<number, Group>();
    const isNet = this.#parts.map((part) => part === "net");
    const [firstIsNet, secondIsNet] = isNet.filter((_, i) => this.#parts[i] === "ip" || isNet[i]);
    for (const element of this.set.elements) {
      if (element.wildcard === true || element.physical === true) {
        this.#special.push(element);
        continue;
      }
      const first = firstIsNet ? lengthOf(element.address, element.prefixLength) : undefined;
      const second = secondIsNet ? lengthOf(element.second, element.secondPrefixLength) : undefined;
      const number = 256 * (first ?? 0) + (second ?? 0);
      let group = groups.get(number);
      if (group === undefined) {
        group = { lengths: [first, second].filter((length) => length !== undefined), elements: new Map() };
        groups.set(number, group);
      }
      group.elements.set(this.#keyOf(element), element);
    }
    this.#groups = [...groups].sort(([a], [b]) => b - a).map(([, group]) => group);
    return this.#groups;
  }

  #keyOf(element: SetElement): string {
    const { address = "", second = "" } = element;
    // Most of large sets: no new text is made for a million elements.
    if (this.#parts.length === 1 && this.#parts[0] !== "port") return address;
    let addresses = 0;
    return this.#parts
      .map((part) => {
        switch (part) {
          case "ip":
          case "net":
            return addresses++ === 0 ? address : second;
          case "port":
            return this.set.type === "bitmap:port"
              ? String(element.port)
              : `${element.protocol ?? 0}:${element.port ?? 0}`;
          case "mark":
            return String(element.mark);
          case "iface":
            return element.interface ?? "";
          default:
            return "";
        }
      })
      .join(" ");
  }
}

/** Elements whose prefixes have the same lengths. */
interface Group {
  /** Of the parts that are prefixes. */
  readonly lengths: readonly number[];
  readonly elements: Map<string, SetElement>;
}

function lengthOf(address: Address | undefined, length: number | undefined): number {
  return length ?? (address?.includes(":") ? 128 : 32);
}

/** Whether an element for the ports of a bridge, or for names that begin alike, may be meant. */
function covers(element: SetElement, address: Address | undefined, name: string): boolean {
  if (address === undefined || element.address === undefined) return false;
  const length = element.prefixLength ?? (familyOf(address) === "IPv4" ? 32 : 128);
  if (prefixOf(address, length) !== prefixOf(element.address, length)) return false;
  return element.physical === true || name.startsWith(element.interface ?? "");
}

/** The sets of a snapshot by number and name. */
class PreparedSets {
  readonly #byIndex: ReadonlyMap<number, PreparedSet>;
  readonly #byName: ReadonlyMap<string, PreparedSet>;

  constructor(sets: readonly AnySet[]) {
    const all = sets.map((set) => new PreparedSet(set));
    this.#byName = new Map(all.map((each) => [each.set.name, each]));
    this.#byIndex = new Map(all.flatMap((each) => (each.set.index === undefined ? [] : [[each.set.index, each]])));
  }

  find(reference: Reference): PreparedSet | undefined {
    return "name" in reference ? this.#byName.get(reference.name) : this.#byIndex.get(reference.index);
  }
}

const preparedSets = new WeakMap<Snapshot["ipsets"], PreparedSets>();

function prepared({ snapshot: { ipsets } }: World): PreparedSets {
  let sets = preparedSets.get(ipsets);
  if (sets === undefined) {
    sets = new PreparedSets(ipsets);
    preparedSets.set(ipsets, sets);
  }
  return sets;
}

/** The name of the set of a number. */
export function setName(index: number, world: World): string {
  return prepared(world).find({ index })?.set.name ?? `number ${index}`;
}
