/**
 * The tables of iptables' old variant as the kernel keeps them: one block of entries, each with matches and a target
 * (`linux/netfilter_ipv4/ip_tables.h`, `linux/netfilter_ipv6/ip6_tables.h`), read as expressions of nf_tables, in which
 * matches and targets stand just as in rules of the nft variant.
 */
import type { Family } from "../../net/address.ts";
import { type Expression, firstRegister, rules } from "../nftables/index.ts";

/** Thrown for a block of entries that is not one. */
export class TableFormatError extends Error {
  override readonly name = "TableFormatError";
}

/** What the kernel says of a table (`struct ipt_getinfo`). */
export interface TableInfo {
  /** Where the rules of the hooks begin, and where their policies stand, by the hook's chain. */
  readonly hooks: readonly { readonly chain: string; readonly start: number; readonly policy: number }[];
  /** Bytes of all entries. */
  readonly size: number;
}

/** A chain of a table. */
export interface BlobChain {
  readonly name: string;
  /** Built-in chains only. */
  readonly policy?: "ACCEPT" | "DROP";
  /** What each rule does. */
  readonly rules: readonly (readonly Expression[])[];
}

/** Bytes of `struct ipt_getinfo`. */
export const infoLength = 84;
/** Bytes of `struct ipt_get_entries` before the entries. */
export const entriesOffset = 40;

/** The built-in chains, by the number of their hook (`NF_INET_*`). */
const hookChains = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"] as const;

/** Reads what the kernel says of a table. @throws {TableFormatError} if it is too short. */
export function decodeInfo(bytes: Uint8Array): TableInfo {
  if (bytes.length < infoLength) throw new TableFormatError(`table information of ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const valid = view.getUint32(32, true);
  return {
    hooks: hookChains.flatMap((chain, i) =>
      (valid & (1 << i)) === 0
        ? []
        : [{ chain, start: view.getUint32(36 + 4 * i, true), policy: view.getUint32(56 + 4 * i, true) }],
    ),
    size: view.getUint32(80, true),
  };
}

/** Where the fields of an entry stand. */
interface Layout {
  readonly addressLength: 4 | 16;
  /** Of the source in the packet's header; the destination follows it. */
  readonly headerOffset: number;
  readonly interfaces: number;
  readonly protocol: number;
  readonly flags: number;
  readonly inverted: number;
  readonly targetOffset: number;
  readonly elements: number;
  readonly gotoFlag: number;
}

const layouts: Readonly<Record<Family, Layout>> = {
  IPv4: {
    addressLength: 4,
    headerOffset: 12,
    interfaces: 16,
    protocol: 80,
    flags: 82,
    inverted: 83,
    targetOffset: 88,
    elements: 112,
    gotoFlag: 2,
  },
  IPv6: {
    addressLength: 16,
    headerOffset: 8,
    interfaces: 64,
    protocol: 128,
    flags: 131,
    inverted: 132,
    targetOffset: 140,
    elements: 168,
    gotoFlag: 4,
  },
};

/** `IPT_INV_*`, the same for both families. */
const invert = { input: 1, output: 2, tos: 4, source: 8, destination: 16, fragment: 32, protocol: 64 } as const;

interface Entry {
  readonly offset: number;
  readonly next: number;
  readonly expressions: readonly Expression[];
  /** The name in an entry that begins a chain. */
  readonly begins?: string;
  /** The number in a standard target: below 0 a verdict, else where to go on. */
  readonly verdict?: number;
  readonly isGoto: boolean;
  /** It asks nothing. */
  readonly always: boolean;
}

/** Reads the entries of a table. @throws {TableFormatError} if they are malformed. */
export function decodeEntries(bytes: Uint8Array, { hooks }: TableInfo, family: Family): readonly BlobChain[] {
  const entries = [...readEntries(bytes, family)];
  const startOf = new Map<number, string>(hooks.map(({ start, chain }) => [start, chain]));
  for (const { begins, next } of entries) {
    // The name of the last entry, which begins nothing.
    if (begins !== undefined && next < bytes.length) startOf.set(next, begins);
  }
  const policyAt = new Map(hooks.map(({ policy, chain }) => [policy, chain]));
  const chains: { name: string; policy?: "ACCEPT" | "DROP"; rules: (readonly Expression[])[] }[] = [];
  let open: (typeof chains)[number] | undefined;
  for (const [i, entry] of entries.entries()) {
    const name = startOf.get(entry.offset);
    if (name !== undefined) {
      open = { name, rules: [] };
      chains.push(open);
    }
    if (entry.begins !== undefined) {
      open = undefined;
      continue;
    }
    if (open === undefined) throw new TableFormatError(`a rule at ${entry.offset} outside of all chains`);
    if (policyAt.get(entry.offset) === open.name) {
      open.policy = entry.verdict === verdictNumber.accept ? "ACCEPT" : "DROP";
      open = undefined;
      continue;
    }
    const last = entries[i + 1]?.begins !== undefined && open.policy === undefined;
    // Every chain ends with a return that nobody wrote.
    if (last && entry.always && entry.verdict === verdictNumber.return) continue;
    open.rules.push([...entry.expressions, ...targetOf(entry, startOf)]);
  }
  return chains;
}

/** Verdicts as standard targets have them (`-NF_ACCEPT - 1`, `XT_RETURN`). */
const verdictNumber = { drop: -1, accept: -2, queue: -4, return: -5 } as const;

function targetOf({ verdict, next, isGoto, offset }: Entry, startOf: ReadonlyMap<number, string>): Expression[] {
  if (verdict === undefined || verdict === next) return [];
  if (verdict >= 0) {
    const chain = startOf.get(verdict);
    if (chain === undefined) throw new TableFormatError(`the rule at ${offset} leads to ${verdict}, where no chain is`);
    return [{ kind: "verdict", verdict: { kind: isGoto ? "goto" : "jump", chain } }];
  }
  if (verdict === verdictNumber.queue) return [{ kind: "queue", number: 0 }];
  const kinds = { [-1]: "drop", [-2]: "accept", [-5]: "return" } as const;
  const kind = kinds[verdict as keyof typeof kinds];
  if (kind === undefined) throw new TableFormatError(`verdict ${verdict} of the rule at ${offset}`);
  return [{ kind: "verdict", verdict: { kind } }];
}

function* readEntries(bytes: Uint8Array, family: Family): Generator<Entry> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const layout = layouts[family];
  for (let offset = 0; offset < bytes.length; ) {
    if (offset + layout.elements > bytes.length) throw new TableFormatError(`cut off at ${offset}`);
    const targetOffset = view.getUint16(offset + layout.targetOffset, true);
    const length = view.getUint16(offset + layout.targetOffset + 2, true);
    if (targetOffset < layout.elements || targetOffset + 32 > length || offset + length > bytes.length) {
      throw new TableFormatError(`an entry of ${length} bytes at ${offset}`);
    }
    yield readEntry(bytes.subarray(offset, offset + length), offset, targetOffset, family);
    offset += length;
  }
}

function readEntry(bytes: Uint8Array, offset: number, targetOffset: number, family: Family): Entry {
  const layout = layouts[family];
  const expressions = conditions(bytes, family);
  for (let at = layout.elements; at < targetOffset; ) {
    const { name, revision, info, length } = readPart(bytes, at, targetOffset);
    // A comment fills 256 bytes with zeros.
    const end = name === "comment" ? textAt(info).length + 1 : info.length;
    expressions.push({ kind: "match", name, revision, info: info.subarray(0, end) });
    at += length;
  }
  const common = {
    offset,
    next: offset + bytes.length,
    isGoto: ((bytes[layout.flags] ?? 0) & layout.gotoFlag) !== 0,
    always: expressions.length === 0,
  };
  const { name, revision, info } = readPart(bytes, targetOffset, bytes.length);
  if (name === "") {
    if (info.length < 4) throw new TableFormatError(`a standard target of ${info.length} bytes at ${offset}`);
    const verdict = new DataView(info.buffer, info.byteOffset, 4).getInt32(0, true);
    return { ...common, expressions, verdict };
  }
  if (name === "ERROR") return { ...common, expressions, begins: textAt(info) };
  return { ...common, always: false, expressions: [...expressions, { kind: "target", name, revision, info }] };
}

/** A match or a target (`struct xt_entry_match`): its size, name and revision, then what is its own. */
function readPart(bytes: Uint8Array, at: number, end: number) {
  const length = at + 32 > end ? 0 : (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
  if (length < 32 || at + length > end) throw new TableFormatError(`a match or target of ${length} bytes`);
  const name = textAt(bytes.subarray(at + 2, at + 31));
  return { length, name, revision: bytes[at + 31] ?? 0, info: bytes.slice(at + 32, at + length) };
}

/** What an entry itself asks: addresses, interfaces, the protocol. */
function conditions(bytes: Uint8Array, family: Family): Expression[] {
  const { addressLength, headerOffset, interfaces, protocol, flags, inverted } = layouts[family];
  const inversions = bytes[inverted] ?? 0;
  const inverts = (bit: number) => (inversions & bit) !== 0;
  const set = bytes[flags] ?? 0;
  const all: Expression[] = [];
  const compare = (load: rules.Load, mask: Uint8Array | undefined, data: Uint8Array, inverse: boolean) => {
    const { length } = data;
    const register = { sreg: firstRegister, dreg: firstRegister } as const;
    all.push(load.into(firstRegister));
    if (mask?.some((byte) => byte !== 255)) {
      all.push({ kind: "bitwise", ...register, length, mask: mask.slice(), xor: new Uint8Array(length) });
    }
    all.push({ kind: "cmp", sreg: firstRegister, op: inverse ? "neq" : "eq", data: data.slice() });
  };
  for (const [i, bit] of [invert.source, invert.destination].entries()) {
    const data = bytes.subarray(i * addressLength, (i + 1) * addressLength);
    const mask = bytes.subarray((i + 2) * addressLength, (i + 3) * addressLength);
    if (mask.every((byte) => byte === 0) && !inverts(bit)) continue;
    const load = rules.payload("network", headerOffset + i * addressLength, addressLength);
    compare(load, mask, data, inverts(bit));
  }
  for (const [i, bit] of [invert.input, invert.output].entries()) {
    const mask = bytes.subarray(interfaces + 32 + 16 * i, interfaces + 48 + 16 * i);
    const length = mask.indexOf(0);
    const bound = length < 0 ? 16 : length;
    if (bound === 0) continue;
    const name = bytes.subarray(interfaces + 16 * i, interfaces + 16 * i + bound);
    compare(rules.meta(i === 0 ? "iifname" : "oifname", 16), undefined, name, inverts(bit));
  }
  const number = (bytes[protocol] ?? 0) | ((bytes[protocol + 1] ?? 0) << 8);
  if (number !== 0) compare(rules.meta("l4proto", 1), undefined, Uint8Array.of(number), inverts(invert.protocol));
  if (family === "IPv4" && (set & 1) !== 0) {
    // "-f" wants any fragment but the first: an offset that is not 0.
    compare(rules.payload("network", 6, 2), Uint8Array.of(0x1f, 0xff), new Uint8Array(2), !inverts(invert.fragment));
  }
  if (family === "IPv6" && (set & 2) !== 0) {
    const tos = bytes[protocol + 2] ?? 0;
    const data = Uint8Array.of(tos >> 4, (tos << 4) & 255);
    compare(rules.payload("network", 0, 2), Uint8Array.of(0x0f, 0xf0), data, inverts(invert.tos));
  }
  return all;
}

function textAt(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString("latin1");
}
