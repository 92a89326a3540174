/** The nftables mode: a table for each family, whose rules never change and whose elements are the services. */

import type { NetlinkSocket } from "../../../kernel/netlink/index.ts";
import {
  type NftChange,
  type NftEvent,
  openNftables,
  type TableRef,
  watchNftables,
} from "../../../kernel/nftables/index.ts";
import { type Address, type Family, families } from "../../../net/address.ts";
import type { Changes, Decision, DecisionKey } from "../../../service/decision.ts";
import type { NodeSettings } from "../../../service/settings.ts";
import type { Desired, Drift, Mode } from "../mode.ts";
import { Heritage } from "./adopt.ts";
import { type Element, elementsOfSettings, identityOf } from "./elements.ts";
import { setsOf, tableName } from "./layout.ts";
import { affinityChain, type ChainText, type RulesetSettings, ruleset } from "./ruleset.ts";
import { affinityPools } from "./sets.ts";
import { difference, type Edits, Reconciler, TableState } from "./state.ts";
import { accepts, isSame, KernelTable, type TableContent } from "./table.ts";

/** A family that is served: what is in the kernel for it. */
interface Served {
  readonly settings: RulesetSettings;
  readonly state: TableState;
  /** The affinity timeouts that have their sets and chains. */
  readonly affinities: Set<number>;
}

/** Where the mode puts its rules; another mode that builds on this one has a table of its own. */
export interface TableOptions {
  /** The name of the table, in both families. */
  readonly table?: string;
  /** An address of each family that no connection reaches but through a front end. */
  readonly guarded?: Readonly<Partial<Record<Family, Address>>>;
}

/** How many decisions of a first load are compiled at a time: what they allocate should be gone before the next. */
const atOnce = 500;

/** How many missing or foreign elements of a set are named one by one. */
const mostNamed = 3;

/** The running mode. It works in the network namespace in which it is made. */
export class NftablesMode implements Mode {
  readonly name = "nftables";
  readonly #socket: NetlinkSocket;
  readonly #tables: Readonly<Record<Family, KernelTable>>;
  readonly #served = new Map<Family, Served>();
  /** True while the kernel's events would tell of every element that somebody else changes. */
  #following = false;

  readonly #guarded: TableOptions["guarded"];

  constructor({ table = tableName, guarded = {} }: TableOptions = {}) {
    const socket = openNftables();
    this.#socket = socket;
    this.#guarded = guarded;
    this.#tables = { IPv4: new KernelTable("IPv4", socket, table), IPv6: new KernelTable("IPv6", socket, table) };
  }

  async replace({ settings, decisions }: Desired): Promise<void> {
    // A table that is somebody else's is found before any of them is changed.
    for (const family of families) this.#tables[family].exists();
    for (const family of families) {
      const table = this.#tables[family];
      const own = rulesetSettings(settings, family, this.#guarded?.[family]);
      this.#served.delete(family);
      if (own === undefined) await table.remove();
      else this.#served.set(family, replaceTable(table, family, own, decisionsOf(decisions, family)));
    }
  }

  async apply(changes: Changes): Promise<void> {
    for (const [family, served] of this.#served) {
      const own = changesOf(changes, family);
      if (own.size === 0) continue;
      const edits = served.state.change(own);
      const added = newAffinities(own.values(), served.affinities);
      const gone = goneAffinities(edits, served);
      for (const seconds of added) served.affinities.add(seconds);
      for (const seconds of gone) served.affinities.delete(seconds);
      const names = new Set(["affinity", ...[...added].map(affinityChain)]);
      const chains = added.size + gone.size === 0 ? [] : chainsOf(family, served).filter(({ name }) => names.has(name));
      this.#tables[family].edit(edits, { added, gone }, chains);
    }
  }

  async audit(): Promise<readonly Drift[]> {
    const drifts: Drift[] = [];
    for (const [family, served] of this.#served) {
      const { ref } = this.#tables[family];
      const where = `table ${ref.family} ${ref.table}`;
      const content = this.#tables[family].read({ elements: !this.#following });
      const found = content === undefined ? ["gone"] : compare(content, ref, family, served);
      drifts.push(...found.map((what) => ({ what: `${where}: ${what}` })));
    }
    return drifts;
  }

  watch(onDrift: (drift: Drift) => void, signal: AbortSignal): void {
    const events = watchNftables(signal);
    this.#following = true;
    void this.#follow(events, onDrift).finally(() => {
      this.#following = false;
    });
  }

  close(): void {
    this.#socket.close();
  }

  /** Tells of others' changes. Those of a transaction come first, then the generation, which knows who made it. */
  async #follow(events: AsyncIterable<NftEvent>, onDrift: (drift: Drift) => void): Promise<void> {
    let first: string | undefined;
    let count = 0;
    for await (const event of events) {
      if (event.kind === "overrun") {
        onDrift({ what: "nf_tables changes faster than one can follow" });
      } else if (event.kind !== "generation") {
        const what = this.#describe(event);
        if (what === undefined) continue;
        first ??= what;
        count++;
      } else {
        const { processId, processName = "?" } = event.generation;
        if (first !== undefined && processId !== process.pid) {
          const more = count > 1 ? ` and ${count - 1} more` : "";
          onDrift({ what: `${first}${more}, by process ${processId} (${processName})` });
        }
        first = undefined;
        count = 0;
      }
    }
  }

  /** What a change did to our tables; undefined if it did not touch them. */
  #describe(change: NftChange): string | undefined {
    const { kind, removed } = change;
    const { family, table, name } = targetOf(change);
    const ours = families.some((served) => {
      const { ref } = this.#tables[served];
      return this.#served.has(served) && ref.family === family && ref.table === table;
    });
    if (!ours) return undefined;
    return `${kind} ${family} ${table}${name} ${removed ? "removed" : "added"}`;
  }
}

/** What a change is about; the name starts with a space. */
function targetOf(change: NftChange): TableRef & { readonly name: string } {
  switch (change.kind) {
    case "table":
      return { ...change.table, name: "" };
    case "chain":
      return { ...change.chain, name: ` ${change.chain.chain}` };
    case "rule":
      return { ...change.rule, name: ` ${change.rule.chain}` };
    case "object":
      return { ...change.object, name: ` ${change.object.name}` };
    case "set":
    case "elements":
      return { ...change.set, name: ` ${change.set.set}` };
  }
}

/** The name of a table that never is. */
const checkedTable = "portolan-check";

/**
 * Asks the kernel whether it would take the rules. Nothing is changed.
 *
 * @throws {NetlinkError} naming what the kernel would refuse.
 */
export function checkRules(socket: NetlinkSocket, family: Family): void {
  const settings: RulesetSettings = {
    masqueradeBit: 14,
    detector: { kind: "none" },
    nodePortAddresses: { kind: "all", loopback: false },
    serviceCIDRs: [],
  };
  const affinities = new Set([10_800]);
  new KernelTable(family, socket, checkedTable).check(ruleset(family, settings, affinities), affinities);
}

function rulesetSettings(
  settings: NodeSettings,
  family: Family,
  guarded: Address | undefined,
): RulesetSettings | undefined {
  const own = settings.families[family];
  return own && { ...own, masqueradeBit: settings.masqueradeBit, ...(guarded !== undefined && { guarded }) };
}

function chainsOf(family: Family, { settings, affinities }: Served): readonly ChainText[] {
  return ruleset(family, settings, affinities);
}

function replaceTable(
  table: KernelTable,
  family: Family,
  settings: RulesetSettings,
  decisions: ReadonlyMap<DecisionKey, Decision>,
): Served {
  const content = table.read({ elements: true });
  const heritage = new Heritage(content?.elements ?? []);
  const state = new TableState();
  const former = (key: DecisionKey) => {
    const decision = decisions.get(key);
    return decision === undefined ? {} : heritage.former(decision, state.numbers);
  };
  function* editsFrom(present: readonly Element[]): Generator<Edits> {
    const reconciler = new Reconciler(present);
    yield reconciler.want(elementsOfSettings(settings));
    for (const part of inParts(decisions, atOnce)) yield reconciler.want(state.change(part, former).adds);
    yield { deletes: reconciler.unwanted(), adds: [] };
  }
  const served = { settings, state, affinities: newAffinities(decisions.values(), new Set()) };
  table.write(content, chainsOf(family, served), served.affinities, editsFrom);
  return served;
}

function* inParts<T>(items: Iterable<T>, size: number): Generator<readonly T[]> {
  let part: T[] = [];
  for (const item of items) {
    if (part.push(item) < size) continue;
    yield part;
    part = [];
  }
  yield part;
}

function newAffinities(decisions: Iterable<Decision | undefined>, known: ReadonlySet<number>): Set<number> {
  const seconds = new Set<number>();
  for (const decision of decisions) {
    if (decision !== undefined && decision.affinitySeconds > 0) seconds.add(decision.affinitySeconds);
  }
  return seconds.difference(known);
}

/** Timeouts that no decision has any more. Only where the last pool of one may have gone are all looked at. */
function goneAffinities({ deletes }: Edits, { affinities, state }: Served): ReadonlySet<number> {
  const touched = deletes.some(({ set }) => [...affinities].some((seconds) => set === affinityPools(seconds)));
  return touched ? affinities.difference(state.affinities()) : new Set();
}

function decisionsOf(
  decisions: ReadonlyMap<DecisionKey, Decision>,
  family: Family,
): ReadonlyMap<DecisionKey, Decision> {
  return new Map([...decisions].filter(([, decision]) => decision.family === family));
}

function changesOf(changes: Changes, family: Family): ReadonlyMap<DecisionKey, Decision | undefined> {
  return new Map([...changes].filter(([key, decision]) => (decision?.family ?? key.slice(-4)) === family));
}

/** What differs between the kernel and what was put there, as far as it was read. */
function compare(content: TableContent, table: TableRef, family: Family, served: Served): readonly string[] {
  const found: string[] = [];
  if (content.dormant) found.push("dormant");
  for (const chain of content.chains) if (!accepts(chain)) found.push(`chain ${chain.chain}: policy drop`);
  const there = new Set(content.chains.map(({ chain }) => chain));
  for (const { name, rules } of chainsOf(family, served)) {
    if (!there.delete(name)) found.push(`chain ${name}: gone`);
    else if (!isSame(content.rules.get(name), rules)) {
      found.push(`chain ${name}: its rules were changed`);
    }
  }
  for (const chain of there) found.push(`chain ${chain}: not ours`);
  const sets = new Set(setsOf(table, served.affinities).keys());
  for (const set of sets.difference(content.sets)) found.push(`set ${set}: gone`);
  for (const set of new Set(content.sets.keys()).difference(sets)) found.push(`set ${set}: not ours`);
  if (content.elements === undefined) return found;
  const { deletes, adds } = difference(content.elements, [
    ...elementsOfSettings(served.settings),
    ...served.state.elements(),
  ]);
  const wanted = new Set(adds.map(identityOf));
  found.push(...counted("missing or changed", adds));
  found.push(
    ...counted(
      "not ours",
      deletes.filter((element) => !wanted.has(identityOf(element))),
    ),
  );
  return found;
}

function counted(problem: string, elements: readonly Element[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { set } of elements) counts.set(set, (counts.get(set) ?? 0) + 1);
  const lines = [...counts].map(
    ([set, count]) => `${set}: ${count} ${count === 1 ? "element" : "elements"} ${problem}`,
  );
  return lines.slice(0, mostNamed);
}
