/** Reads the rule set of the network namespace. */
import { isSystemError } from "../errno.ts";
import { protocols } from "../netlink/constants.ts";
import { isNotFound, NetlinkError } from "../netlink/errors.ts";
import type { MessageReader } from "../netlink/reader.ts";
import { NetlinkSocket, type NetlinkSocketOptions } from "../netlink/socket.ts";
import type { NetlinkWriter } from "../netlink/writer.ts";
import {
  decodeChain,
  decodeElements,
  decodeGeneration,
  decodeObject,
  decodeRule,
  decodeSet,
  decodeTable,
} from "./decode.ts";
import { encodeElement } from "./encode.ts";
import { familyNumber, messageType, operation } from "./protocol.ts";
import type {
  Chain,
  Element,
  Generation,
  NftObject,
  NftSet,
  Rule,
  SetRef,
  Table,
  TableFamily,
  TableRef,
} from "./types.ts";

/** A socket for transactions and dumps, in the network namespace that the calling thread is in now. */
export function openNftables(options: NetlinkSocketOptions = {}): NetlinkSocket {
  return new NetlinkSocket(protocols.netfilter, options);
}

/** As {@link openNftables}; undefined where the kernel has no nf_tables, so that there is nothing to read or remove. */
export function openNftablesIfThere(): NetlinkSocket | undefined {
  let socket: NetlinkSocket | undefined;
  try {
    socket = openNftables();
    readGeneration(socket);
    return socket;
  } catch (error) {
    socket?.close();
    const refused = error instanceof NetlinkError && ["EINVAL", "EOPNOTSUPP"].includes(error.code);
    if (refused || isSystemError(error, "EPROTONOSUPPORT")) return undefined;
    throw error;
  }
}

/** What to read: everything, a family, or a table. */
export type DumpScope = { readonly family?: TableFamily; readonly table?: undefined } | TableRef;

/** The generation of the rule set: it changes with each transaction of anybody. */
export function readGeneration(socket: NetlinkSocket): Generation {
  let generation: Generation | undefined;
  socket.request(
    "read nf_tables generation",
    messageType(operation.getGeneration),
    0,
    (writer) => writeHeader(writer, undefined),
    (message) => {
      generation = decodeGeneration(message);
    },
  );
  if (generation === undefined) throw new Error("the kernel did not tell the generation of nf_tables");
  return generation;
}

/** The tables. */
export function listTables(socket: NetlinkSocket, scope: DumpScope = {}): Table[] {
  const tables = dump(
    socket,
    "list tables",
    operation.getTable,
    { ...scope, table: undefined },
    undefined,
    decodeTable,
  );
  return scope.table === undefined ? tables : tables.filter((table) => table.table === scope.table);
}

/** The chains. */
export function listChains(socket: NetlinkSocket, scope: DumpScope = {}): Chain[] {
  const chains = dump(
    socket,
    "list chains",
    operation.getChain,
    { ...scope, table: undefined },
    undefined,
    decodeChain,
  );
  return scope.table === undefined ? chains : chains.filter((chain) => chain.table === scope.table);
}

/** The rules, chain by chain in their order. */
export function listRules(socket: NetlinkSocket, scope: DumpScope & { readonly chain?: string } = {}): Rule[] {
  const chain = scope.chain;
  const only = chain === undefined ? undefined : (writer: NetlinkWriter) => writer.attributeString(2, chain);
  return dump(socket, "list rules", operation.getRule, scope, only, decodeRule);
}

/** The sets and maps, anonymous ones as well, without their elements. */
export function listSets(socket: NetlinkSocket, scope: DumpScope = {}): NftSet[] {
  try {
    return dump(socket, "list sets", operation.getSet, scope, undefined, decodeSet);
  } catch (error) {
    // Of a table that does not exist; other lists are just empty then.
    if (isNotFound(error)) return [];
    throw error;
  }
}

/** How often a dump is repeated in which elements came twice. */
const elementAttempts = 20;

/**
 * The elements of a set or map, in no order.
 *
 * The kernel's effort grows with the square of their number: 17,000 take some 15 ms, 100,000 some 100 ms. While it
 * moves a set without a `size` to a larger hash table, for some milliseconds after many additions, it reports some
 * elements twice and leaves others out: that is noticed, and the set is read again.
 *
 * @throws {NetlinkError} ENOENT if there is no such set; EINTR if it kept changing through 20 attempts.
 */
export function listElements(socket: NetlinkSocket, ref: SetRef): Element[] {
  const name = `list elements ${ref.family} ${ref.table} ${ref.set}`;
  for (let attempt = 0; attempt < elementAttempts; attempt++) {
    const only = (writer: NetlinkWriter) => writer.attributeString(2, ref.set);
    const elements = dump(socket, name, operation.getElements, ref, only, decodeElements).flatMap((l) => l.elements);
    if (!hasDuplicates(elements)) return elements;
  }
  throw new NetlinkError(name, { errno: 4, explanation: "the set kept changing while it was read" });
}

/** The end of a range and the start of the next may have the same key. */
function hasDuplicates(elements: readonly Element[]): boolean {
  const seen = new Set<string>();
  for (const { key, intervalEnd } of elements) {
    let text = intervalEnd ? "e" : "k";
    for (const byte of key) text += String.fromCharCode(byte);
    seen.add(text);
  }
  return seen.size < elements.length;
}

/**
 * Looks one element up by its key, without reading the others.
 *
 * @returns undefined if it is not there, nor if the set is not there: the kernel does not tell which.
 */
export function getElement(socket: NetlinkSocket, ref: SetRef, key: Uint8Array): Element | undefined {
  let found: Element | undefined;
  try {
    socket.request(
      `get element ${ref.family} ${ref.table} ${ref.set}`,
      messageType(operation.getElements),
      0,
      (writer) => {
        writeHeader(writer, ref.family);
        writer.attributeString(1, ref.table);
        writer.attributeString(2, ref.set);
        const list = writer.beginNested(3);
        encodeElement(writer, { key });
        writer.endNested(list);
      },
      (message) => {
        found = decodeElements(message)?.elements[0];
      },
    );
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return found;
}

/** The named stateful objects. */
export function listObjects(socket: NetlinkSocket, scope: DumpScope = {}): NftObject[] {
  return dump(socket, "list objects", operation.getObject, scope, undefined, decodeObject);
}

function dump<T>(
  socket: NetlinkSocket,
  name: string,
  number: number,
  scope: { readonly family?: TableFamily; readonly table?: string | undefined },
  filter: ((writer: NetlinkWriter) => void) | undefined,
  read: (message: MessageReader) => T | undefined,
): T[] {
  return socket.dump(
    name,
    messageType(number),
    (writer) => {
      writeHeader(writer, scope.family);
      if (scope.table !== undefined) writer.attributeString(1, scope.table);
      filter?.(writer);
    },
    read,
  );
}

function writeHeader(writer: NetlinkWriter, family: TableFamily | undefined): void {
  writer.u8(family === undefined ? 0 : familyNumber(family));
  writer.u8(0);
  writer.u16BE(0);
}
