/** Changes to the rule set that take effect together or not at all. */
import { messageFlags } from "../netlink/constants.ts";
import { NetlinkError } from "../netlink/errors.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { NetlinkWriter } from "../netlink/writer.ts";
import { describeMessage } from "./describe.ts";
import { encodeChain, encodeElement, encodeObject, encodeRule, encodeSet, encodeTable } from "./encode.ts";
import { writeValue } from "./expressions/fields.ts";
import { objectTypes } from "./expressions/table.ts";
import { receiveOutcome } from "./outcome.ts";
import { batchBegin, batchEnd, familyNumber, messageType, operation, subsystem } from "./protocol.ts";
import type {
  Chain,
  ChainRef,
  Element,
  NftObject,
  NftSet,
  ObjectType,
  Rule,
  SetRef,
  Table,
  TableFamily,
  TableRef,
} from "./types.ts";

/** How something is made: `create` fails if it exists already (EEXIST), `add` does not mind. */
export type AddMode = "add" | "create";

/** How something is removed: `delete` fails if it does not exist (ENOENT), `destroy` does not mind (kernel 6.3). */
export type DeleteMode = "delete" | "destroy";

/** Where a rule goes, by the handle of another rule of the chain. */
export type RulePosition = { readonly after: number } | { readonly before: number };

/** Names a rule by the handle that the kernel gave it. */
export interface RuleRef extends ChainRef {
  readonly handle: number;
}

/**
 * The most bytes of a list of elements in one message. The list's length has 16 bits, and the kernel would take a
 * longer one modulo 65,536 without an error; the distance covers the longest element.
 */
const maximumListLength = 60_000;

/** Sequence numbers are unique in the process, so that a late reply is not taken for another transaction's. */
let lastSequence = 0;

/**
 * Collects changes as encoded messages, and sends them in one step. It is meant to be used again and again: after
 * {@link commit} it is empty, and keeps its buffer.
 *
 * ```ts
 * using socket = openNftables();
 * const transaction = new Transaction();
 * transaction.addTable({ family: "ip", table: "demo" });
 * transaction.addSet({ family: "ip", table: "demo", set: "hosts", key: keyLayout("ipv4_addr") });
 * transaction.addElement({ family: "ip", table: "demo", set: "hosts" }, Uint8Array.of(10, 0, 0, 1));
 * transaction.commit(socket);
 * ```
 *
 * Two things are not atomic: a packet that is looked up twice may see the state before and after; and listeners get
 * one event for each change.
 *
 * A table or set that the transaction refers to may be made earlier in the same transaction. Elements that are added
 * one after the other to the same set share messages.
 */
export class Transaction {
  readonly #writer: NetlinkWriter;
  #count = 0;
  #firstSequence = 0;
  /** Of the last change so far. */
  #changeSequence = 0;
  #nextSetId = 1;
  /** The element list that is still open: which operation on which set, and where its list starts. */
  #openSet: SetRef | undefined;
  #openOperation = 0;
  #openList = 0;
  /** True while a change is being encoded: still true later if that failed. */
  #incomplete = false;

  /** @param capacity the bytes to start with; it doubles as needed. */
  constructor(capacity = 1 << 16) {
    this.#writer = new NetlinkWriter(capacity);
    this.clear();
  }

  /** How many messages there are; 0 if there is nothing to do. */
  get messageCount(): number {
    return this.#count;
  }

  /** Bytes so far. */
  get byteLength(): number {
    return this.#writer.length;
  }

  /** Forgets everything. */
  clear(): void {
    this.#start(undefined);
  }

  /**
   * Forgets everything, and makes {@link commit} fail with ERESTART if the rule set is not of this generation any more
   * (see `readGeneration`): somebody changed it since it was read.
   */
  clearAndExpect(generation: number): void {
    this.#start(generation);
  }

  #start(generation: number | undefined): void {
    const writer = this.#writer;
    writer.reset();
    this.#count = 0;
    this.#openSet = undefined;
    this.#incomplete = false;
    this.#nextSetId = 1;
    this.#firstSequence = nextSequence();
    writer.begin(batchBegin, 0, this.#firstSequence);
    writeHeader(writer, 0, subsystem);
    if (generation !== undefined) writer.attributeU32BE(1, generation);
    writer.end();
  }

  /** Makes a table, or changes its flags. */
  addTable(table: Table, mode: AddMode = "add"): void {
    this.#begin(operation.newTable, addFlags(mode), table.family);
    encodeTable(this.#writer, table);
    this.#end();
  }

  /** Removes a table with everything in it. */
  deleteTable({ family, table }: TableRef, mode: DeleteMode = "delete"): void {
    // Adding before deleting works on every kernel.
    if (mode === "destroy") this.addTable({ family, table });
    this.#begin(operation.deleteTable, 0, family);
    this.#writer.attributeString(1, table);
    this.#end();
  }

  /** Makes a chain, or changes its policy. */
  addChain(chain: Chain, mode: AddMode = "add"): void {
    this.#begin(operation.newChain, addFlags(mode), chain.family);
    encodeChain(this.#writer, chain);
    this.#end();
  }

  /** Removes a chain with its rules. Nothing may refer to it any more (EBUSY). */
  deleteChain({ family, table, chain }: ChainRef, mode: DeleteMode = "delete"): void {
    this.#begin(mode === "destroy" ? operation.destroyChain : operation.deleteChain, 0, family);
    this.#writer.attributeString(1, table);
    this.#writer.attributeString(3, chain);
    this.#end();
  }

  /** Removes the rules of a chain, or of all chains of a table. */
  flushRules({ family, table, chain }: TableRef & { readonly chain?: string }): void {
    this.#begin(operation.deleteRule, 0, family);
    this.#writer.attributeString(1, table);
    if (chain !== undefined) this.#writer.attributeString(2, chain);
    this.#end();
  }

  /** Adds a rule at the end of its chain, or next to another. */
  addRule(rule: Rule, position?: RulePosition): void {
    const append = position === undefined || "after" in position ? messageFlags.append : 0;
    this.#begin(operation.newRule, messageFlags.create | append, rule.family);
    const { handle: _, ...withoutHandle } = rule;
    encodeRule(this.#writer, withoutHandle);
    if (position !== undefined) this.#writer.attributeU64BE(6, "after" in position ? position.after : position.before);
    this.#end();
  }

  /** Adds a rule at the start of its chain. */
  insertRule(rule: Rule): void {
    this.#begin(operation.newRule, messageFlags.create, rule.family);
    const { handle: _, ...withoutHandle } = rule;
    encodeRule(this.#writer, withoutHandle);
    this.#end();
  }

  /** Puts a rule in the place of the one that has its handle. */
  replaceRule(rule: Rule & RuleRef): void {
    this.#begin(operation.newRule, messageFlags.replace, rule.family);
    encodeRule(this.#writer, rule);
    this.#end();
  }

  /** Removes a rule. */
  deleteRule({ family, table, chain, handle }: RuleRef, mode: DeleteMode = "delete"): void {
    this.#begin(mode === "destroy" ? operation.destroyRule : operation.deleteRule, 0, family);
    this.#writer.attributeString(1, table);
    this.#writer.attributeString(2, chain);
    this.#writer.attributeU64BE(3, handle);
    this.#end();
  }

  /**
   * Makes a set or map; elements are added on their own.
   *
   * @returns a number that names it in this transaction: as `setId` of lookups, and `id` of {@link addElements}, for
   * anonymous sets (flags `anonymous` and `constant`, name `__set%d` or `__map%d`).
   */
  addSet(set: NftSet, mode: AddMode = "add"): number {
    const id = this.#nextSetId++;
    this.#begin(operation.newSet, addFlags(mode), set.family);
    encodeSet(this.#writer, set, id);
    this.#end();
    return id;
  }

  /** Removes a set with its elements. No rule may refer to it any more (EBUSY). */
  deleteSet({ family, table, set }: SetRef, mode: DeleteMode = "delete"): void {
    this.#begin(mode === "destroy" ? operation.destroySet : operation.deleteSet, 0, family);
    this.#writer.attributeString(1, table);
    this.#writer.attributeString(2, set);
    this.#end();
  }

  /** Removes the elements of a set. */
  flushSet({ family, table, set }: SetRef): void {
    this.#begin(operation.deleteElements, 0, family);
    this.#writer.attributeString(1, table);
    this.#writer.attributeString(2, set);
    this.#end();
  }

  /**
   * Adds an element: the short and fast form of {@link addElements}. An element that exists with other data is
   * refused (EEXIST): delete it first, in the same transaction.
   */
  addElement(set: SetRef, key: Uint8Array, data?: Uint8Array): void {
    this.#openElements(operation.newElements, set);
    const writer = this.#writer;
    const element = writer.beginNested(1);
    writeValue(writer, 1, key);
    if (data !== undefined) writeValue(writer, 2, data);
    writer.endNested(element);
  }

  /** Removes an element: the short and fast form of {@link deleteElements}. One that is missing is refused (ENOENT). */
  deleteElement(set: SetRef, key: Uint8Array): void {
    this.#openElements(operation.deleteElements, set);
    const writer = this.#writer;
    const element = writer.beginNested(1);
    writeValue(writer, 1, key);
    writer.endNested(element);
  }

  /**
   * Adds elements, in as many messages as they need.
   *
   * @param set with `id` for an anonymous set: what {@link addSet} returned.
   */
  addElements(set: SetRef & { readonly id?: number }, elements: Iterable<Element>, mode: AddMode = "add"): void {
    // Flags and id are the message's: it must not be shared with other elements then.
    const own = mode === "create" || set.id !== undefined;
    if (own) this.#closeElements();
    for (const element of elements) {
      this.#openElements(operation.newElements, set, mode === "create" ? messageFlags.exclusive : 0, set.id);
      this.#incomplete = true;
      encodeElement(this.#writer, element);
      this.#incomplete = false;
    }
    if (own) this.#closeElements();
  }

  /** Removes elements, in as many messages as they need. Only their keys count. */
  deleteElements(set: SetRef, elements: Iterable<Element>, mode: DeleteMode = "delete"): void {
    const number = mode === "destroy" ? operation.destroyElements : operation.deleteElements;
    for (const { key, keyEnd, intervalEnd, catchAll } of elements) {
      this.#openElements(number, set);
      this.#incomplete = true;
      encodeElement(this.#writer, {
        key,
        ...(keyEnd === undefined ? {} : { keyEnd }),
        ...(intervalEnd ? { intervalEnd } : {}),
        ...(catchAll ? { catchAll } : {}),
      });
      this.#incomplete = false;
    }
  }

  /** Makes a named stateful object. */
  addObject(object: NftObject, mode: AddMode = "add"): void {
    this.#begin(operation.newObject, addFlags(mode), object.family);
    encodeObject(this.#writer, object);
    this.#end();
  }

  /** Removes a named stateful object. Nothing may refer to it any more (EBUSY). */
  deleteObject(
    object: TableRef & { readonly name: string; readonly type: ObjectType },
    mode: DeleteMode = "delete",
  ): void {
    this.#begin(mode === "destroy" ? operation.destroyObject : operation.deleteObject, 0, object.family);
    this.#writer.attributeString(1, object.table);
    this.#writer.attributeString(2, object.name);
    this.#writer.attributeU32BE(3, objectTypes[object.type]);
    this.#end();
  }

  /**
   * Makes all the changes, or none. Nothing is sent if there are none. The transaction is empty afterwards, whether
   * or not this succeeds.
   *
   * @throws {NetlinkError} naming the change that the kernel refused. ENOBUFS means that the answer was lost: whether
   * the changes took effect is not known, read the state again.
   * @throws {SystemError} EMSGSIZE if the transaction exceeds the socket's send buffer.
   */
  commit(socket: NetlinkSocket): void {
    try {
      if (this.#count > 0) this.#send(socket, true);
    } finally {
      this.clear();
    }
  }

  /**
   * Asks whether the kernel would make all the changes, and makes none: it looks at each, as for {@link commit}, and
   * then takes them back, for nobody ever sees them. The transaction is empty afterwards.
   *
   * @throws {NetlinkError} naming the change that the kernel would refuse.
   */
  check(socket: NetlinkSocket): void {
    try {
      if (this.#count > 0) this.#send(socket, false);
    } finally {
      this.clear();
    }
  }

  /** @param commit without it the message is left out at which the kernel begins to make the changes. */
  #send(socket: NetlinkSocket, commit: boolean): void {
    if (this.#incomplete) throw new Error("this transaction has a change that could not be encoded: it is discarded");
    this.#closeElements();
    const writer = this.#writer;
    // Only the last change is acknowledged: thousands of acknowledgements would overflow the socket.
    writer.addFlags(messageFlags.ack);
    const acknowledged = this.#changeSequence;
    if (commit) {
      writer.begin(batchEnd, 0, nextSequence());
      writeHeader(writer, 0, subsystem);
      writer.end();
    }
    socket.send(writer);
    const refused = receiveOutcome(socket, { first: this.#firstSequence, last: lastSequence, acknowledged });
    if (refused === undefined) return;
    const { sequence, refusal } = refused;
    throw new NetlinkError(describeMessage(writer.buffer, writer.length, sequence, refusal.offset), refusal);
  }

  #begin(number: number, flags: number, family: TableFamily): void {
    this.#closeElements();
    this.#changeSequence = nextSequence();
    this.#writer.begin(messageType(number), flags, this.#changeSequence);
    writeHeader(this.#writer, familyNumber(family), 0);
    this.#count++;
    this.#incomplete = true;
  }

  #end(): void {
    this.#writer.end();
    this.#incomplete = false;
  }

  /** Makes sure that a list of elements for this operation and set is open and has room. */
  #openElements(number: number, set: SetRef, flags = 0, id?: number): void {
    const open = this.#openSet;
    const writer = this.#writer;
    if (open !== undefined) {
      const same =
        this.#openOperation === number &&
        (open === set || (open.set === set.set && open.table === set.table && open.family === set.family));
      if (same && writer.length - this.#openList < maximumListLength) return;
      this.#closeElements();
    }
    const create = number === operation.newElements ? messageFlags.create : 0;
    this.#begin(number, create | flags, set.family);
    writer.attributeString(1, set.table);
    writer.attributeString(2, set.set);
    if (id !== undefined) writer.attributeU32BE(4, id);
    this.#openSet = set;
    this.#openOperation = number;
    this.#openList = writer.beginNested(3);
    this.#incomplete = false;
  }

  #closeElements(): void {
    if (this.#openSet === undefined) return;
    this.#openSet = undefined;
    this.#writer.endNested(this.#openList);
    this.#writer.end();
  }
}

function nextSequence(): number {
  lastSequence = (lastSequence + 1) >>> 0;
  return lastSequence;
}

function addFlags(mode: AddMode): number {
  return messageFlags.create | (mode === "create" ? messageFlags.exclusive : 0);
}

/** `struct nfgenmsg`. */
function writeHeader(writer: NetlinkWriter, family: number, resource: number): void {
  writer.u8(family);
  writer.u8(0);
  writer.u16BE(resource);
}
