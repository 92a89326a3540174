/** The table of one family in the kernel: reads it, and writes changes to it, each in one transaction. */

import { setTimeout as sleep } from "node:timers/promises";
import type { NetlinkSocket } from "../../../kernel/netlink/index.ts";
import {
  type Chain,
  type Expression,
  type Element as KernelElement,
  type KeyLayout,
  keyLayout,
  listChains,
  listElements,
  listRules,
  listSets,
  listTables,
  type NftSet,
  type Table,
  type TableRef,
  Transaction,
} from "../../../kernel/nftables/index.ts";
import type { Family } from "../../../net/address.ts";
import type { Element } from "./elements.ts";
import { setsOf, tableComment, tableFamily, tableName } from "./layout.ts";
import { affinityChain, type ChainText, type RuleText } from "./ruleset.ts";
import { fixedSets, type SetName, toBytes, toText } from "./sets.ts";
import type { Edits } from "./state.ts";
import type { Step } from "./steps.ts";

/** What is in the kernel. */
export interface TableContent {
  /** True if somebody put the table to sleep: none of its chains runs. */
  readonly dormant: boolean;
  readonly chains: readonly Chain[];
  /** Without anonymous ones. */
  readonly sets: ReadonlyMap<string, NftSet>;
  /** Without what packets added; undefined if not read. */
  readonly elements?: readonly Element[];
  /** The rules of each chain, each as a text that is equal for equal rules. */
  readonly rules: ReadonlyMap<string, readonly string[]>;
}

/** Timeouts, in seconds, that get or lose their sets and chains. */
export interface AffinityChange {
  readonly added: ReadonlySet<number>;
  readonly gone: ReadonlySet<number>;
}

/** Milliseconds in which packets that are under way in a table's rules are through. */
const passage = 10;

/**
 * Removes tables without refusing anybody. A table that goes takes its maps along for packets that are in the midst of
 * its rules: they find no front end any more, and are refused though another mode's rules stand. So it is put to sleep
 * first: no further packets come in, and nothing is missing for those that are there.
 */
export async function retireTables(tables: readonly TableRef[], socket: NetlinkSocket): Promise<void> {
  const transaction = new Transaction();
  for (const table of tables) transaction.addTable({ ...table, flags: ["dormant"] });
  transaction.commit(socket);
  await sleep(passage);
  for (const table of tables) transaction.deleteTable(table);
  transaction.commit(socket);
}

/** A table of our name that somebody else made. */
export class ForeignTableError extends Error {
  override readonly name = "ForeignTableError";

  constructor({ family, table }: TableRef) {
    super(
      `table ${family} ${table} was not made by Portolan, so it is left alone and nothing was changed: ` +
        `rename it, or remove it with "nft delete table ${family} ${table}"`,
    );
  }
}

/** The table of one family. */
export class KernelTable {
  readonly ref: TableRef;
  readonly #socket: NetlinkSocket;
  readonly #transaction = new Transaction();

  /** @param table its name. */
  constructor(family: Family, socket: NetlinkSocket, table: string = tableName) {
    this.ref = { family: tableFamily(family), table };
    this.#socket = socket;
  }

  /**
   * What is there; undefined if there is no such table. To read elements takes the longer the more there are: a second
   * or so for 100,000.
   *
   * @throws {ForeignTableError} if somebody else made it.
   */
  read(what: { readonly elements: boolean }): TableContent | undefined {
    const table = this.#find();
    if (table === undefined) return undefined;
    const { ref } = this;
    const sets = new Map<string, NftSet>();
    const elements: Element[] = [];
    for (const set of listSets(this.#socket, ref)) {
      if (set.flags?.includes("anonymous")) continue;
      sets.set(set.set, set);
      if (!what.elements || set.flags?.includes("dynamic")) continue;
      for (const element of listElements(this.#socket, { ...ref, set: set.set })) {
        elements.push(fromKernel(set.set as SetName, element));
      }
    }
    const rules = new Map<string, string[]>();
    for (const { chain, expressions } of listRules(this.#socket, ref)) {
      const list = rules.get(chain) ?? [];
      list.push(fingerprint(expressions));
      rules.set(chain, list);
    }
    const dormant = table.flags?.includes("dormant") === true;
    return { dormant, chains: listChains(this.#socket, ref), sets, rules, ...(what.elements && { elements }) };
  }

  /**
   * Makes the sets and chains that are missing, writes the rules that are not as they should be, removes what does not
   * belong there, and applies edits, all at once. Rules that are right stay: a packet that is under way in rules that
   * are being replaced would be lost, and another proxy on this node would take it for interference. A table whose
   * chains or sets are of another make is replaced whole.
   *
   * @param content what is there.
   * @param editsFrom what leads from these elements to the right ones, in parts.
   */
  write(
    content: TableContent | undefined,
    chains: readonly ChainText[],
    affinities: ReadonlySet<number>,
    editsFrom: (present: readonly Element[]) => Iterable<Edits>,
  ): void {
    const { ref } = this;
    const sets = setsOf(ref, affinities);
    // Its buffer grows to many megabytes, which are not needed again.
    const transaction = new Transaction();
    const fits = content !== undefined && isCompatible(content, chains, sets);
    if (content !== undefined && !fits) transaction.deleteTable(ref);
    if (!fits || content.dormant) transaction.addTable({ ...ref, comment: tableComment });
    for (const set of sets.values()) if (!fits || !content.sets.has(set.set)) transaction.addSet(set);
    const there = new Set(fits ? content.chains.filter(accepts).map(({ chain }) => chain) : []);
    for (const { name, base } of chains) {
      if (!there.has(name)) transaction.addChain({ ...ref, chain: name, ...(base && { base }) });
    }
    for (const { name, rules } of chains) {
      if (fits && isSame(content.rules.get(name), rules)) continue;
      if (fits) transaction.flushRules({ ...ref, chain: name });
      this.#addRules(transaction, name, rules);
    }
    if (fits) this.#removeOthers(transaction, content, chains, sets);
    const present = fits ? (content.elements ?? []).filter(({ set }) => sets.has(set)) : [];
    for (const edits of editsFrom(present)) this.#apply(transaction, edits);
    transaction.commit(this.#socket);
  }

  /**
   * Asks the kernel whether it would make a table with these chains. Nothing is changed.
   *
   * @throws {NetlinkError} naming what it would refuse.
   */
  check(chains: readonly ChainText[], affinities: ReadonlySet<number>): void {
    const { ref } = this;
    const transaction = this.#transaction;
    transaction.addTable(ref);
    for (const set of setsOf(ref, affinities).values()) transaction.addSet(set);
    for (const { name, base } of chains) transaction.addChain({ ...ref, chain: name, ...(base && { base }) });
    for (const { name, rules } of chains) this.#addRules(transaction, name, rules);
    transaction.check(this.#socket);
  }

  /**
   * Applies edits, after making the sets and chains of affinity timeouts that are used for the first time, and before
   * those go that are used no more.
   *
   * @param chains the chains to write; those that lead to chains of timeouts that go no longer do.
   */
  edit(edits: Edits, { added, gone }: AffinityChange, chains: readonly ChainText[]): void {
    const transaction = this.#transaction;
    for (const set of this.#setsOfAffinities(added)) transaction.addSet(set);
    for (const { name } of chains) transaction.addChain({ ...this.ref, chain: name });
    for (const { name, rules } of chains) {
      transaction.flushRules({ ...this.ref, chain: name });
      this.#addRules(transaction, name, rules);
    }
    this.#apply(transaction, edits);
    for (const seconds of gone) transaction.deleteChain({ ...this.ref, chain: affinityChain(seconds) });
    for (const { set } of this.#setsOfAffinities(gone)) transaction.deleteSet({ ...this.ref, set });
    transaction.commit(this.#socket);
  }

  #setsOfAffinities(affinities: ReadonlySet<number>): readonly NftSet[] {
    if (affinities.size === 0) return [];
    return [...setsOf(this.ref, affinities).values()].filter(({ set }) => !(set in fixedSets));
  }

  /** Removes the table, if it is there. @returns whether it was. @throws {ForeignTableError} if somebody else made it. */
  async remove(): Promise<boolean> {
    if (!this.exists()) return false;
    await retireTables([this.ref], this.#socket);
    return true;
  }

  /** Whether there is such a table. @throws {ForeignTableError} if somebody else made it. */
  exists(): boolean {
    return this.#find() !== undefined;
  }

  #find(): Table | undefined {
    const [table] = listTables(this.#socket, this.ref);
    if (table !== undefined && table.comment !== tableComment) throw new ForeignTableError(this.ref);
    return table;
  }

  #apply(transaction: Transaction, { deletes, adds }: Edits): void {
    for (const [set, list] of bySet(deletes)) transaction.deleteElements({ ...this.ref, set }, toKernel(list));
    for (const [set, list] of bySet(adds)) transaction.addElements({ ...this.ref, set }, toKernel(list));
  }

  #removeOthers(
    transaction: Transaction,
    content: TableContent,
    chains: readonly ChainText[],
    sets: ReadonlyMap<string, NftSet>,
  ): void {
    const wanted = new Set(chains.map(({ name }) => name));
    for (const { chain } of content.chains) {
      if (!wanted.has(chain)) transaction.deleteChain({ ...this.ref, chain });
    }
    for (const set of content.sets.keys()) {
      if (!sets.has(set)) transaction.deleteSet({ ...this.ref, set });
    }
  }

  #addRules(transaction: Transaction, chain: string, rules: readonly RuleText[]): void {
    for (const { steps, comment } of rules) {
      const expressions = steps.map((step) => this.#expression(transaction, step));
      transaction.addRule({ ...this.ref, chain, expressions, ...(comment !== undefined && { comment }) });
    }
  }

  /** A step as an expression; sets inside of rules become anonymous sets. */
  #expression(transaction: Transaction, step: Step): Expression {
    const flags = ["anonymous", "constant"] as const;
    if (step.kind === "inline set") {
      const set: NftSet = {
        ...this.ref,
        set: "__set%d",
        flags,
        key: keyLayout("inet_proto"),
        size: step.values.length,
      };
      const setId = transaction.addSet(set);
      transaction.addElements(
        { ...set, id: setId },
        step.values.map((key) => ({ key })),
      );
      return { kind: "lookup", set: set.set, sreg: step.sreg, setId };
    }
    if (step.kind === "inline verdicts") {
      const set: NftSet = {
        ...this.ref,
        set: "__map%d",
        flags,
        key: keyLayout("classid"),
        data: { kind: "verdict" },
        size: step.entries.length,
      };
      const setId = transaction.addSet(set);
      transaction.addElements(
        { ...set, id: setId },
        step.entries.map(([key, verdict]) => ({ key, verdict })),
      );
      return { kind: "lookup", set: set.set, sreg: step.sreg, dreg: 0, setId };
    }
    return step;
  }
}

/** False for a chain whose policy somebody set to drop. */
export function accepts({ base }: Chain): boolean {
  return base?.policy !== "drop";
}

/** True if the rules of a chain, as `TableContent.rules` has them, are these. */
export function isSame(present: readonly string[] = [], rules: readonly RuleText[]): boolean {
  return present.length === rules.length && rules.every(({ steps }, i) => fingerprint(steps) === present[i]);
}

function fingerprint(steps: readonly Step[]): string {
  return JSON.stringify(steps.map(normalize), (_, value: unknown) =>
    value instanceof Uint8Array ? toText(value) : value,
  );
}

/** Anonymous sets have another name in the kernel each time. */
function normalize(step: Step): unknown {
  if (step.kind === "inline set") return { kind: "inline", sreg: step.sreg };
  if (step.kind === "inline verdicts") return { kind: "inline", sreg: step.sreg };
  if (step.kind === "lookup" && step.set.startsWith("__")) return { kind: "inline", sreg: step.sreg };
  return Object.fromEntries(Object.entries(step).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isCompatible(content: TableContent, chains: readonly ChainText[], sets: ReadonlyMap<string, NftSet>): boolean {
  const bases = new Map(chains.map(({ name, base }) => [name, base]));
  return (
    content.chains.every(({ chain, base }) => {
      const wanted = bases.get(chain);
      return base?.type === wanted?.type && base?.hook === wanted?.hook && base?.priority === wanted?.priority;
    }) &&
    [...content.sets.values()].every((set) => {
      const wanted = sets.get(set.set);
      return wanted === undefined || (shape(set) === shape(wanted) && set.comment === wanted.comment);
    })
  );
}

function shape({ key, data, size = 0, flags = [] }: NftSet): string {
  const describe = (layout: KeyLayout) =>
    `${layout.type}/${layout.length}/${toText(layout.typeOf ?? new Uint8Array())}`;
  const value = data?.kind === "value" ? describe(data.layout) : (data?.kind ?? "");
  const kinds = (["interval", "dynamic"] as const).filter((flag) => flags.includes(flag));
  return `${describe(key)} ${value} ${size} ${kinds.join()}`;
}

function bySet(elements: readonly Element[]): ReadonlyMap<SetName, readonly Element[]> {
  return Map.groupBy(elements, ({ set }) => set);
}

/** One by one, because a first load has 100,000s of them. */
function* toKernel(elements: readonly Element[]): Generator<KernelElement> {
  for (const { key, end, behind, data, comment } of elements) {
    yield {
      key: toBytes(key),
      ...(end !== undefined && { keyEnd: toBytes(end) }),
      ...(behind && { intervalEnd: true }),
      ...(data !== undefined && { data: toBytes(data) }),
      ...(comment !== undefined && { comment }),
    };
  }
}

function fromKernel(set: SetName, { key, keyEnd, intervalEnd, data }: KernelElement): Element {
  return {
    set,
    key: toText(key),
    ...(keyEnd !== undefined && { end: toText(keyEnd) }),
    ...(intervalEnd && { behind: true }),
    ...(data !== undefined && { data: toText(data) }),
  };
}
