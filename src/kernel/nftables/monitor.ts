/** Who changed what in the rule set: the kernel's events as values. */
import type { NetlinkListenerOptions } from "../netlink/listener.ts";
import type { MessageReader } from "../netlink/reader.ts";
import {
  decodeChain,
  decodeElements,
  decodeGeneration,
  decodeObject,
  decodeRule,
  decodeSet,
  decodeTable,
} from "./decode.ts";
import { type Overrun, watchGroup } from "./events.ts";
import { changesGroup, operation, subsystem } from "./protocol.ts";
import type { Chain, Element, Generation, NftObject, NftSet, Rule, SetRef, Table } from "./types.ts";

/** A change of the rule set. Elements come with their set's name, in small groups. */
export type NftChange =
  | { readonly kind: "table"; readonly removed: boolean; readonly table: Table }
  | { readonly kind: "chain"; readonly removed: boolean; readonly chain: Chain }
  | { readonly kind: "rule"; readonly removed: boolean; readonly rule: Rule }
  | { readonly kind: "set"; readonly removed: boolean; readonly set: NftSet }
  | {
      readonly kind: "elements";
      readonly removed: boolean;
      readonly set: SetRef;
      readonly elements: readonly Element[];
    }
  | { readonly kind: "object"; readonly removed: boolean; readonly object: NftObject };

/** What {@link watchNftables} reports. */
export type NftEvent =
  | NftChange
  /** The end of a transaction, whose changes came before: the new generation, and whose transaction it was. */
  | { readonly kind: "generation"; readonly generation: Generation; readonly port: number }
  | Overrun;

/** Removals have the number of the operation that makes the same plus two. */
const readers: readonly (readonly [number, (message: MessageReader, removed: boolean) => NftChange | undefined])[] = [
  [operation.newTable, (m, removed) => wrap(decodeTable(m), (table) => ({ kind: "table", removed, table }))],
  [operation.newChain, (m, removed) => wrap(decodeChain(m), (chain) => ({ kind: "chain", removed, chain }))],
  [operation.newRule, (m, removed) => wrap(decodeRule(m), (rule) => ({ kind: "rule", removed, rule }))],
  [operation.newSet, (m, removed) => wrap(decodeSet(m), (set) => ({ kind: "set", removed, set }))],
  [operation.newObject, (m, removed) => wrap(decodeObject(m), (object) => ({ kind: "object", removed, object }))],
  [
    operation.newElements,
    (m, removed) => wrap(decodeElements(m), ({ elements, ...set }) => ({ kind: "elements", removed, set, elements })),
  ],
];

const readersByNumber = new Map(
  readers.flatMap(([number, read]) => [
    [number, (message: MessageReader) => read(message, false)] as const,
    [number + 2, (message: MessageReader) => read(message, true)] as const,
  ]),
);

function wrap<T>(value: T | undefined, make: (value: T) => NftChange): NftChange | undefined {
  return value === undefined ? undefined : make(value);
}

/**
 * Reads an event message.
 *
 * @returns undefined for what is not reported: flow tables, traces, families without a name.
 */
export function decodeNftEvent(message: MessageReader): NftEvent | undefined {
  if (message.type >> 8 !== subsystem) return undefined;
  const number = message.type & 0xff;
  if (number === operation.newGeneration) {
    return { kind: "generation", generation: decodeGeneration(message), port: message.port };
  }
  return readersByNumber.get(number)?.(message);
}

/**
 * The changes of the rule set in the network namespace that the calling thread is in when it calls, from that moment
 * on, until the signal aborts: then the loop ends without an error. Events are decoded as they are asked for.
 *
 * To keep a copy of the rule set, call this, then read the rule set, then apply what comes.
 *
 * @throws {SystemError} EPERM without CAP_NET_ADMIN.
 */
export function watchNftables(
  signal: AbortSignal,
  options: NetlinkListenerOptions = {},
): AsyncGenerator<NftEvent, void, undefined> {
  return watchGroup(changesGroup, decodeNftEvent, signal, options);
}
