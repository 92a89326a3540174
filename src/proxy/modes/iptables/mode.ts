/** The iptables mode at work: keeps the tables of both families as decided. */
import type { Xtables } from "../../../kernel/xtables/xtables.ts";
import { type Address, type Family, families } from "../../../net/address.ts";
import type { Changes, Decision, DecisionKey } from "../../../service/decision.ts";
import type { Desired, Drift, Mode } from "../mode.ts";
import { inSlices } from "../slices.ts";
import { cleanFamily, cleanXtables } from "./cleanup.ts";
import { type Context, contextOf, type Machine } from "./context.ts";
import { countWritten, noRules, type RuleCounts, type TableCount } from "./count.ts";
import { compare, countEndpoints, type Differences, withComments } from "./expected.ts";
import { canaryTables } from "./fixed.ts";
import { routeLocalnet } from "./machine.ts";
import { chains } from "./names.ts";
import { type Change, changeInput, fullInput } from "./restore.ts";
import { endpointsOf } from "./service.ts";
import { type WatchPace, watchCanaries } from "./watch.ts";

/** What was applied last in one family. */
interface Applied {
  readonly context: Context;
  readonly decisions: Map<DecisionKey, Decision>;
  endpoints: number;
  /** The rules of all decisions. */
  rules: RuleCounts;
}

type KeyedChanges = readonly (readonly [DecisionKey, Change])[];

const ruleTables = ["filter", "nat"] as const;

/** The nft variant's programs and kernel need quadratic time for large transactions; 400 services take some 100 ms. */
const servicesPerTransaction = { nft: 400, legacy: Number.POSITIVE_INFINITY };

/** What a mode may be told beside the machine. */
export interface ModeOptions {
  /** The variants that are not used: cleaned of leftovers once the mode stands, for rules in both would act twice. */
  readonly others?: readonly Xtables[];
  /** An address of each family that no connection reaches but through a service: for a mode that builds on this one. */
  readonly guarded?: Readonly<Partial<Record<Family, Address>>>;
  /** Those whose tables the programs can write; both if not given. */
  readonly families?: readonly Family[];
  readonly pace?: WatchPace;
}

/** The mode, over the programs of one variant. */
export class IptablesMode implements Mode {
  readonly name = "iptables";
  readonly families: readonly Family[];
  readonly #xtables: Xtables;
  readonly #machine: Machine;
  readonly #pace: WatchPace;
  /** Variants that may hold what an earlier process left; none once they have been cleaned. */
  readonly #others: Xtables[];
  readonly #guarded: NonNullable<ModeOptions["guarded"]>;
  readonly #applied = new Map<Family, Applied>();
  /** The rules written by the last call that wrote, by family. */
  readonly #written = new Map<Family, RuleCounts>();
  /** Counts the calls that write, so that a look at the canaries knows that it was overtaken. */
  #writes = 0;

  constructor(xtables: Xtables, machine: Machine, options: ModeOptions = {}) {
    this.#xtables = xtables;
    this.#machine = machine;
    this.#others = [...(options.others ?? [])];
    this.#guarded = options.guarded ?? {};
    this.families = options.families ?? families;
    this.#pace = options.pace ?? { interval: 10_000, share: 0.01 };
  }

  async replace({ settings, decisions }: Desired, signal: AbortSignal): Promise<void> {
    this.#writes++;
    this.#applied.clear();
    const applied: [Family, Applied][] = [];
    for (const family of families) {
      if (settings.families[family] === undefined) {
        await cleanFamily(this.#xtables, family, { signal });
        continue;
      }
      const own = new Map([...decisions].filter(([, decision]) => decision.family === family));
      const guarded = this.#guarded[family];
      const context = { ...contextOf(settings, family, this.#machine), ...(guarded !== undefined && { guarded }) };
      const state = { context, decisions: own, endpoints: countEndpoints(own.values()), rules: noRules() };
      await this.#replaceFamily(family, state, signal);
      applied.push([family, state]);
    }
    for (const [family, state] of applied) this.#applied.set(family, state);
    this.#writes++;
    for (const other of this.#others.splice(0)) {
      // Rules there that others put into our chains are theirs to remove; ours are gone or empty.
      await cleanXtables(other).catch(() => {});
    }
  }

  async apply(changes: Changes, signal: AbortSignal): Promise<void> {
    for (const [family, state] of this.#applied) {
      const own: [DecisionKey, Change][] = [];
      for (const [key, after] of changes) {
        const before = state.decisions.get(key);
        if (before !== undefined || after?.family === family) own.push([key, { before, after }]);
      }
      if (own.length > servicesPerTransaction[this.#xtables.variant]) await this.#applyMany(family, state, own, signal);
      else if (own.length > 0) await this.#applyFew(family, state, own, signal);
    }
  }

  async audit(signal: AbortSignal): Promise<readonly Drift[]> {
    const drifts: Drift[] = [];
    for (const [family, state] of this.#applied) {
      drifts.push(...describe(family, await this.#compare(family, state, signal)));
    }
    return drifts;
  }

  watch(onDrift: (drift: Drift) => void, signal: AbortSignal): void {
    const watched = { families: () => [...this.#applied.keys()], writes: () => this.#writes };
    watchCanaries(this.#xtables, watched, this.#pace, onDrift, signal).catch((error: unknown) => {
      onDrift({ what: `the canary chains cannot be watched any more: ${String(error)}` });
    });
  }

  get rules(): readonly TableCount[] {
    return [...this.#applied].flatMap(([family, { rules }]) =>
      ruleTables.map((table) => ({
        family,
        table,
        total: rules[table],
        last: this.#written.get(family)?.[table] ?? 0,
      })),
    );
  }

  close(): void {}

  async #replaceFamily(family: Family, state: Applied, signal: AbortSignal): Promise<void> {
    if (state.context.localhostNodePorts) routeLocalnet();
    const differences = await this.#compare(family, state, signal);
    state.rules = differences.rules;
    if (describe(family, differences).length === 0) return;
    const input = fullInput([...state.decisions.values()], state.context, differences, {
      comments: withComments(state.endpoints),
      servicesPerTransaction: servicesPerTransaction[this.#xtables.variant],
    });
    await this.#restore(family, input, signal);
  }

  async #restore(family: Family, input: Iterable<string>, signal: AbortSignal): Promise<void> {
    const written = noRules();
    this.#written.set(family, written);
    await this.#xtables.restore(family, countWritten(input, written), signal);
  }

  async #applyFew(family: Family, state: Applied, changes: KeyedChanges, signal: AbortSignal): Promise<void> {
    let { endpoints } = state;
    for (const [, { before, after }] of changes) endpoints += size(after) - size(before);
    const values = changes.map(([, change]) => change);
    const { input, rules } = await inSlices(changeInput(values, state.context, withComments(endpoints)), signal);
    if (input.length > 0) await this.#restore(family, input, signal);
    state.endpoints = endpoints;
    for (const table of ruleTables) state.rules[table] += rules[table];
    note(changes, state.decisions);
  }

  /** Reading everything first takes less time than one large transaction, or than searching for each rule to delete. */
  async #applyMany(family: Family, state: Applied, changes: KeyedChanges, signal: AbortSignal): Promise<void> {
    const decisions = new Map(state.decisions);
    note(changes, decisions);
    const next = { ...state, decisions, endpoints: countEndpoints(decisions.values()) };
    await this.#replaceFamily(family, next, signal);
    this.#applied.set(family, next);
  }

  async #compare(family: Family, { decisions, context }: Applied, signal: AbortSignal): Promise<Differences> {
    const saved = await this.#xtables.save(family, canaryTables, signal);
    return inSlices(compare([...decisions.values()], context, saved), signal);
  }
}

function note(changes: KeyedChanges, decisions: Map<DecisionKey, Decision>): void {
  for (const [key, { after }] of changes) {
    if (after === undefined) decisions.delete(key);
    else decisions.set(key, after);
  }
}

function size(decision: Decision | undefined): number {
  return decision === undefined ? 0 : endpointsOf(decision).length;
}

/** The differences in words; none: nothing to do. */
function describe(family: Family, differences: Differences): Drift[] {
  const words: string[] = differences.canaries.map((table) => `table ${table}: chain ${chains.canary}: missing`);
  for (const { table, name, exists, missing } of differences.shared) {
    const state = !exists
      ? "missing"
      : missing.length > 0
        ? `${missing.length} rules missing`
        : "rules too many or moved";
    words.push(`table ${table}: chain ${name}: ${state}`);
  }
  for (const { table, from, to } of differences.jumps) {
    words.push(`table ${table}: chain ${from}: jump to ${to} missing`);
  }
  if (differences.wrong > 0) {
    words.push(`table nat: ${differences.wrong} chains of services or endpoints missing or changed`);
  }
  if (differences.stale.length > 0) {
    words.push(`table nat: ${differences.stale.length} chains of services or endpoints that nothing needs`);
  }
  return words.map((what) => ({ what: `${family} ${what}` }));
}
