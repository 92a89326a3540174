/**
 * Sets of addresses and ports that firewall rules refer to (ipset), of a network namespace, over netlink. Nothing is
 * cached: every call asks the kernel.
 */
import type { Family } from "../../net/address.ts";
import { AF } from "../ffi.ts";
import { inNamespace } from "../namespace.ts";
import {
  isNotFound,
  type MessageReader,
  messageFlags,
  NetlinkError,
  NetlinkFormatError,
  NetlinkSocket,
  NetlinkWriter,
  protocols,
} from "../netlink/index.ts";
import { type Entry, formatEntry, readEntry, type SetType, setTypes, writeEntry } from "./entry.ts";
import { attribute, command, dataAttribute, errors, networkOrder, protocolVersion, subsystem } from "./protocol.ts";

export { type AnySet, listAllSets, type SetElement } from "./elements.ts";
export { type Entry, formatEntry, type SetType, setTypes } from "./entry.ts";

/** A set, without what is in it. */
export interface SetHeader {
  /** At most 31 characters. */
  readonly name: string;
  readonly type: SetType;
  /** Of its addresses; IPv4 for types without addresses. */
  readonly family: Family;
}

/** A set as the kernel tells it. */
export interface ListedSet extends SetHeader {
  /** Entries of protocols that Services do not know are left out. */
  readonly entries: readonly Entry[];
}

/**
 * The revision of each type that is asked for: of kernel 4.2 at the latest, so that every kernel knows it and every
 * `ipset` program shows the same.
 */
const revisions: Readonly<Record<SetType, number>> = {
  "hash:ip": 4,
  "hash:ip,port": 5,
  "hash:ip,port,ip": 5,
  "hash:ip,port,net": 7,
  "bitmap:port": 3,
  "list:set": 3,
};

/** How large a hash is at first, and how many entries it may have: what the `ipset` program takes if it is not told. */
const hashSize = 1024;
const maximumEntries = 65_536;
/** How many sets a list of sets may have. */
const listSize = 8;

/** Entries of one message take at most this many bytes: a list's length has 16 bits. */
const longestList = 60_000;

/** The sets of one network namespace. Methods throw {@link NetlinkError}s that name the set. */
export class Ipsets implements Disposable {
  readonly #socket: NetlinkSocket;

  /** @param namespace a named one; without it that of the calling thread. */
  constructor(namespace?: string) {
    const open = () => new NetlinkSocket(protocols.netfilter);
    this.#socket = namespace === undefined ? open() : inNamespace(namespace, open);
  }

  /**
   * Makes a set. One that exists with this type and family stays as it is.
   *
   * @param maximum how many entries a hash may have, 65,536 if not given.
   */
  create({ name, type, family }: SetHeader, maximum = maximumEntries): void {
    this.#request(`create set ${name}`, command.create, name, (writer) => {
      writer.attributeString(attribute.typeName, type);
      writer.attributeU8(attribute.revision, revisions[type]);
      writer.attributeU8(attribute.family, type.startsWith("hash:") ? familyNumber(family) : AF.unspec);
      const data = writer.beginNested(attribute.data);
      if (type === "bitmap:port") {
        writer.attributeU16BE(dataAttribute.port | networkOrder, 0);
        writer.attributeU16BE(dataAttribute.portTo | networkOrder, 65_535);
      } else if (type === "list:set") {
        writer.attributeU32BE(dataAttribute.listSize | networkOrder, listSize);
      } else {
        writer.attributeU32BE(dataAttribute.hashSize | networkOrder, hashSize);
        writer.attributeU32BE(dataAttribute.maximum | networkOrder, maximum);
      }
      writer.endNested(data);
    });
  }

  /** Removes a set; it must not be in use. @returns false if there was none. */
  destroy(name: string): boolean {
    try {
      // Without the flag newer kernels do not say that there was none.
      this.#request(`destroy set ${name}`, command.destroy, name, undefined, messageFlags.exclusive);
      return true;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return false;
    }
  }

  /** Empties a set. */
  flush(name: string): void {
    this.#request(`flush set ${name}`, command.flush, name);
  }

  /** Exchanges what two sets of one type have in them, in one step: rules see the one or the other. */
  swap(name: string, other: string): void {
    this.#request(`swap sets ${name} and ${other}`, command.swap, name, (writer) =>
      writer.attributeString(attribute.secondName, other),
    );
  }

  /** Adds entries, in order; those that are there stay. They must be of the set's type. */
  add(name: string, entries: Iterable<Entry>): void {
    this.#change("add to", command.add, name, entries);
  }

  /** Removes entries, in order; those that are not there do not matter. They must be of the set's type. */
  delete(name: string, entries: Iterable<Entry>): void {
    this.#change("delete from", command.delete, name, entries);
  }

  /** Whether an entry is in a set, or is covered by one that is. */
  test(name: string, entry: Entry): boolean {
    try {
      this.#request(`test set ${name} for ${formatEntry(entry)}`, command.test, name, (writer) => {
        const data = writer.beginNested(attribute.data);
        writeEntry(writer, entry);
        writer.endNested(data);
      });
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === notThere) return false;
      throw error;
    }
  }

  /** All sets of types that are known here, with their entries; or the one of this name, none if there is none. */
  list(name?: string): readonly ListedSet[] {
    const sets = new Map<string, SetHeader & { readonly entries: Entry[] }>();
    const write = (writer: NetlinkWriter) => {
      // It is called again where the dump must start again.
      sets.clear();
      writeHeader(writer);
      if (name !== undefined) writer.attributeString(attribute.name, name);
    };
    try {
      this.#socket.dump("list sets", subsystem | command.list, write, (message) => {
        decodeListed(message, sets);
        return undefined;
      });
    } catch (error) {
      if (name === undefined || !isNotFound(error)) throw error;
    }
    return [...sets.values()];
  }

  /** Closes the socket. What was made stays. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #change(verb: string, number: number, name: string, entries: Iterable<Entry>): void {
    const title = `${verb} set ${name}`;
    for (const list of encodeLists(entries)) {
      this.#request(title, number, name, (writer) => {
        // The number of a line is what the kernel names an entry by; a list must have one.
        writer.attributeU32BE(attribute.line, 0);
        writer.attributeBytes(attribute.entries | nested, list);
      });
    }
  }

  #request(title: string, number: number, name: string, write?: (writer: NetlinkWriter) => void, flags = 0): void {
    const whole = (writer: NetlinkWriter) => {
      writeHeader(writer);
      writer.attributeString(attribute.name, name);
      write?.(writer);
    };
    try {
      this.#socket.request(title, subsystem | number, flags, whole);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      const explanation = errors[error.errno];
      throw explanation === undefined ? error : new NetlinkError(title, { errno: error.errno, explanation });
    }
  }
}

/** True if a set could not be removed because a rule or another set names it. */
export function isSetInUse(error: unknown): boolean {
  return error instanceof NetlinkError && inUse.includes(error.errno);
}

/** `IPSET_ERR_BUSY` and `IPSET_ERR_REFERENCED`. */
const inUse: readonly number[] = [4100, 4108];

/** `IPSET_ERR_EXIST`: of `test`, that the entry is not there. */
const notThere = 4103;

/** `NLA_F_NESTED`. */
const nested = 0x8000;

/** The entries as lists of bytes, each short enough for one message. */
function* encodeLists(entries: Iterable<Entry>): Generator<Uint8Array> {
  const writer = new NetlinkWriter();
  for (const entry of entries) {
    const data = writer.beginNested(attribute.data);
    writeEntry(writer, entry);
    writer.endNested(data);
    if (writer.length < longestList) continue;
    yield writer.toBytes();
    writer.reset();
  }
  if (writer.length > 0) yield writer.toBytes();
}

function familyNumber(family: Family): number {
  return family === "IPv4" ? AF.inet : AF.inet6;
}

/** `struct nfgenmsg` and the version of the protocol. */
function writeHeader(writer: NetlinkWriter): void {
  writer.u8(AF.inet);
  writer.u8(0);
  writer.u16BE(0);
  writer.attributeU8(attribute.protocol, protocolVersion);
}

/** Bytes of `struct nfgenmsg`. */
const headerLength = 4;

/**
 * Reads a message of a list of sets. A set with many entries takes several, of which the first alone tells its type.
 *
 * @throws {NetlinkFormatError} if it is malformed.
 */
export function decodeListed(
  message: MessageReader,
  sets: Map<string, SetHeader & { readonly entries: Entry[] }>,
): void {
  let name = "";
  let type: SetType | undefined;
  let family: Family = "IPv4";
  for (const each = message.attributes(headerLength); each.next(); ) {
    if (each.type === attribute.name) {
      name = each.string();
    } else if (each.type === attribute.typeName) {
      const typeName = each.string();
      type = setTypes.find((known) => known === typeName);
    } else if (each.type === attribute.family) {
      family = each.u8() === AF.inet6 ? "IPv6" : "IPv4";
    } else if (each.type === attribute.data) {
      // What the set is like comes before its entries.
      if (type !== undefined && !sets.has(name)) sets.set(name, { name, type, family, entries: [] });
    } else if (each.type === attribute.entries) {
      const set = sets.get(name);
      if (set === undefined) continue;
      for (const item = each.nested(); item.next(); ) {
        if (item.type !== attribute.data) throw new NetlinkFormatError(`attribute ${item.type} among entries`);
        const entry = readEntry(item.nested(), set.type, set.family);
        if (entry !== undefined) set.entries.push(entry);
      }
    }
  }
}
