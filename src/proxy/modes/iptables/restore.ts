/** Input for `iptables-restore`: everything that differs (`fullInput`), or what a change changes (`changeInput`). Pure. */
import type { Decision } from "../../../service/decision.ts";
import type { Context } from "./context.ts";
import { noRules, type RuleCounts } from "./count.ts";
import type { Differences, RuleTable, SharedChain } from "./expected.ts";
import { chains } from "./names.ts";
import { compileService, type OwnChain, type ServiceRules, type SharedRule } from "./service.ts";

/** How `fullInput` writes. */
export interface FullOptions {
  /** Whether chains of services and endpoints carry comments. */
  readonly comments: boolean;
  /**
   * How many services share a transaction. The nft variant needs quadratic time for large ones; the legacy variant
   * rewrites the whole table in each.
   */
  readonly servicesPerTransaction: number;
}

/**
 * Input that removes the differences. Text is made while it is read; it yields after each decision, if only "".
 *
 * No client is worse off in between: what refuses new connections is added before the rules that balance them go, and
 * goes after the rules that balance them have come; chains of services are complete before anything leads to them.
 *
 * @param decisions those that `differences` was made from.
 */
export function fullInput(
  decisions: readonly Decision[],
  context: Context,
  differences: Differences,
  options: FullOptions,
): Iterable<string> {
  return { [Symbol.iterator]: () => writeFull(decisions, context, differences, options) };
}

function* writeFull(
  decisions: readonly Decision[],
  context: Context,
  differences: Differences,
  { comments, servicesPerTransaction }: FullOptions,
): Generator<string, undefined> {
  const filter = differences.shared.filter(({ table }) => table === "filter");
  const nat = differences.shared.filter(({ table }) => table === "nat");
  yield* writeTable("mangle", canary("mangle", differences));
  yield* writeTable("filter", [
    ...canary("filter", differences),
    ...filter.flatMap(addMissing),
    ...insertJumps("filter", differences),
  ]);
  yield* writeTable(
    "nat",
    nat.filter(({ exists }) => !exists).map(({ name }) => chainLine(name)),
  );
  let written = 0;
  let open = false;
  for (const decision of decisions) {
    const { own } = compileService(decision, context, comments);
    const text = writeOwn(own.filter(({ name }) => !differences.intact.has(name)));
    if (text === "") {
      yield "";
      continue;
    }
    yield open ? text : `*nat\n${text}`;
    open = true;
    if (++written % servicesPerTransaction !== 0) continue;
    yield "COMMIT\n";
    open = false;
  }
  const rest = [
    ...canary("nat", differences),
    ...nat.flatMap(rewrite),
    ...insertJumps("nat", differences),
    ...removeChains(differences.stale),
  ];
  if (open) {
    yield* rest;
    yield "COMMIT\n";
  } else {
    yield* writeTable("nat", rest);
  }
  const surplus = filter.filter(({ name, exists }) => exists && name !== chains.kubeletFirewall);
  yield* writeTable("filter", surplus.flatMap(rewrite));
}

/** A decision as it was and as it is; undefined: there is none. */
export interface Change {
  readonly before: Decision | undefined;
  readonly after: Decision | undefined;
}

/** Input that carries out changes, and how many rules there are more (or fewer) then. */
export interface ChangeInput {
  /** Empty: no rule changes. */
  readonly input: readonly string[];
  readonly rules: RuleCounts;
}

/**
 * Input that carries out changes of decisions of one family: only chains and rules that change are touched, so that the
 * counters of all others go on, and the text is as long as the change. Its order protects clients as `fullInput` does.
 * A generator only so that the caller can do other work between two changes.
 */
export function* changeInput(
  changes: Iterable<Change>,
  context: Context,
  comments: boolean,
): Generator<undefined, ChangeInput> {
  const count = noRules();
  const added: SharedRule[] = [];
  const removed: SharedRule[] = [];
  const written: OwnChain[] = [];
  const gone: string[] = [];
  for (const { before, after } of changes) {
    const old = before === undefined ? nothing : compileService(before, context, comments);
    const now = after === undefined ? nothing : compileService(after, context, comments);
    for (const [sign, { shared, own }] of [
      [-1, old],
      [1, now],
    ] as const) {
      for (const { table } of shared) count[table] += sign;
      for (const { rules } of own) count.nat += sign * rules.length;
    }
    const oldRules = new Set(old.shared.map(appendLine));
    const nowRules = new Set(now.shared.map(appendLine));
    added.push(...now.shared.filter((rule) => !oldRules.has(appendLine(rule))));
    removed.push(...old.shared.filter((rule) => !nowRules.has(appendLine(rule))));
    const oldChains = new Map(old.own.map(({ name, rules }) => [name, rules.join("\n")]));
    for (const chain of now.own) {
      if (oldChains.get(chain.name) !== chain.rules.join("\n")) written.push(chain);
      oldChains.delete(chain.name);
    }
    gone.push(...oldChains.keys());
    yield;
  }
  const of = (rules: readonly SharedRule[], table: RuleTable) => rules.filter((rule) => rule.table === table);
  const nat = [
    writeOwn(written),
    ...of(added, "nat").map(insertLine),
    ...of(removed, "nat").map(deleteLine),
    ...removeChains(gone),
  ].filter((text) => text !== "");
  const input = [
    ...writeTable("filter", of(added, "filter").map(insertLine)),
    ...writeTable("nat", nat),
    ...writeTable("filter", of(removed, "filter").map(deleteLine)),
  ];
  return { input, rules: count };
}

const nothing: ServiceRules = { shared: [], own: [] };

function* writeTable(name: string, lines: readonly string[]): Generator<string, undefined> {
  if (lines.length === 0) return;
  yield `*${name}\n`;
  yield* lines;
  yield "COMMIT\n";
}

function writeOwn(own: readonly OwnChain[]): string {
  let text = own.map(({ name }) => chainLine(name)).join("");
  for (const { name, rules } of own) {
    for (const rule of rules) text += `-A ${name} ${rule}\n`;
  }
  return text;
}

function canary(table: "mangle" | "nat" | "filter", { canaries }: Differences): string[] {
  return canaries.includes(table) ? [chainLine(chains.canary)] : [];
}

/** Adds what a chain lacks and leaves what it has too much. */
function addMissing({ name, missing, exists }: SharedChain): string[] {
  return [...(exists ? [] : [chainLine(name)]), ...missing.map((rule) => `-A ${name} ${rule}\n`)];
}

function rewrite({ name, rules }: SharedChain): string[] {
  return [chainLine(name), ...rules.map((rule) => `-A ${name} ${rule}\n`)];
}

function insertJumps(table: RuleTable, { jumps }: Differences): string[] {
  return jumps.filter((jump) => jump.table === table).map(({ from, rule }) => `-I ${from} ${rule}\n`);
}

/** All are emptied before the first is removed, for they refer to each other. */
function removeChains(names: readonly string[]): string[] {
  return [...names.map(chainLine), ...names.map((name) => `-X ${name}\n`)];
}

/** A line that makes a chain or, if it is there, empties it. */
function chainLine(name: string): string {
  return `:${name} - [0:0]\n`;
}

/** In table nat the jump to the node ports must stay the last rule of its chain, so new rules come first there. */
function insertLine({ table, chain, rule }: SharedRule): string {
  return `${table === "nat" && chain === chains.services ? "-I" : "-A"} ${chain} ${rule}\n`;
}

function appendLine({ chain, rule }: SharedRule): string {
  return `-A ${chain} ${rule}\n`;
}

function deleteLine({ chain, rule }: SharedRule): string {
  return `-D ${chain} ${rule}\n`;
}
