/** The tables as decided, and what of the kernel's tables differs from them. Pure, and in small steps. */
import { canonicalRule } from "../../../kernel/xtables/rule.ts";
import type { SavedChain, SavedTable } from "../../../kernel/xtables/save.ts";
import type { Decision } from "../../../service/decision.ts";
import type { Context } from "./context.ts";
import { noRules, type RuleCounts } from "./count.ts";
import { canaryTables, headRules, type Jump, jumps, kubeletJumps, sharedChains, tailRules } from "./fixed.ts";
import { chains, isServiceChain } from "./names.ts";
import { compileService, endpointsOf, type OwnChain, type ServiceRules } from "./service.ts";

/** The tables that rules stand in. */
export type RuleTable = "filter" | "nat";

/** What has to be written to make the kernel's tables of one family as decided. Empty parts: nothing to do. */
export interface Differences {
  /** How many rules are decided, without the jumps. */
  readonly rules: RuleCounts;
  /** Shared chains whose rules differ or that are missing, with all their rules. */
  readonly shared: readonly SharedChain[];
  /** Names of chains of services and endpoints that are as decided. */
  readonly intact: ReadonlySet<string>;
  /** How many chains of services and endpoints are missing or other than decided. */
  readonly wrong: number;
  /** Names of chains of services and endpoints that no decision has. */
  readonly stale: readonly string[];
  readonly jumps: readonly Jump[];
  /** Tables that lack the canary chain. */
  readonly canaries: readonly (typeof canaryTables)[number][];
}

/** A shared chain as decided. */
export interface SharedChain {
  readonly table: RuleTable;
  readonly name: string;
  /** Its rules without `-A` and chain, in order. */
  readonly rules: readonly string[];
  /** Those of the rules that the kernel's chain lacks. */
  readonly missing: readonly string[];
  /** Whether the chain exists in the kernel. */
  readonly exists: boolean;
}

/** Above this many endpoints the chains of services and endpoints carry no comments, as in kube-proxy. */
const largeCluster = 1000;

/** Whether comments are written, for so many endpoints of one family. */
export function withComments(endpoints: number): boolean {
  return endpoints <= largeCluster;
}

/** The number of endpoints that comments depend on. */
export function countEndpoints(decisions: Iterable<Decision>): number {
  let count = 0;
  for (const decision of decisions) count += endpointsOf(decision).length;
  return count;
}

/**
 * Compares the kernel's tables of one family with the decisions. A generator only so that the caller can do other work
 * between two steps: it yields after each decision.
 *
 * @param saved the tables mangle, filter and nat as they are, those that exist.
 */
export function* compare(
  decisions: readonly Decision[],
  context: Context,
  saved: readonly SavedTable[],
): Generator<undefined, Differences> {
  const nat = chainsOf(saved, "nat");
  const expected = new SharedRules(context);
  const intact = new Set<string>();
  const stale = new Set([...nat.keys()].filter(isServiceChain));
  const count = noRules();
  let wrong = 0;
  for (const decision of decisions) {
    const rules = compileService(decision, context, false);
    expected.add(rules);
    for (const chain of rules.own) {
      stale.delete(chain.name);
      count.nat += chain.rules.length;
      if (isIntact(chain, nat.get(chain.name))) intact.add(chain.name);
      else wrong++;
    }
    yield;
  }
  const shared: SharedChain[] = [];
  for (const chain of expected.chains()) {
    count[chain.table] += chain.rules.length;
    const difference = yield* compareShared(chain, chainsOf(saved, chain.table).get(chain.name));
    if (difference !== undefined) shared.push(difference);
  }
  return {
    rules: count,
    shared,
    intact,
    wrong,
    stale: [...stale],
    jumps: [...jumps, ...kubeletJumps].filter((jump) => !hasJump(jump, saved)),
    canaries: canaryTables.filter((table) => !chainsOf(saved, table).has(chains.canary)),
  };
}

/** Whether a built-in chain has a jump already. */
export function hasJump(jump: Jump, saved: readonly SavedTable[]): boolean {
  const wanted = canonicalRule(jump.rule);
  const from = chainsOf(saved, jump.table).get(jump.from);
  return from?.rules.some(({ text }) => text.includes(jump.to) && canonicalRule(text) === wanted) ?? false;
}

/** The chains of a saved table; none where it does not exist. */
export function chainsOf(saved: readonly SavedTable[], name: string): ReadonlyMap<string, SavedChain> {
  return saved.find((table) => table.name === name)?.chains ?? new Map();
}

/** Collects the rules of the chains that all services share. */
class SharedRules {
  readonly #rules: Record<RuleTable, Map<string, string[]>> = { filter: new Map(), nat: new Map() };
  readonly #tail;

  constructor(context: Context) {
    for (const table of ["filter", "nat"] as const) {
      for (const chain of sharedChains[table]) this.#rules[table].set(chain, []);
    }
    this.#rules.filter.set(chains.kubeletFirewall, []);
    this.#tail = tailRules(context);
    this.add({ shared: headRules(context) });
  }

  add({ shared }: Pick<ServiceRules, "shared">): void {
    for (const { table, chain, rule } of shared) {
      const rules = this.#rules[table].get(chain);
      if (rules === undefined) this.#rules[table].set(chain, [rule]);
      else rules.push(rule);
    }
  }

  *chains(): Generator<{ readonly table: RuleTable; readonly name: string; readonly rules: readonly string[] }> {
    this.add({ shared: this.#tail });
    for (const table of ["filter", "nat"] as const) {
      for (const [name, rules] of this.#rules[table]) yield { table, name, rules };
    }
  }
}

/** The chains whose rules exclude each other, so that their order says nothing and single rules can come and go. */
const unordered = new Set<string>([chains.services, chains.externalServices, chains.nodePorts, chains.proxyFirewall]);

function* compareShared(
  { table, name, rules }: { table: RuleTable; name: string; rules: readonly string[] },
  saved: SavedChain | undefined,
): Generator<undefined, SharedChain | undefined> {
  const found: string[] = [];
  const left = new Map<string, number>();
  for (const { text } of saved?.rules ?? []) {
    const rule = canonicalRule(text);
    found.push(rule);
    left.set(rule, (left.get(rule) ?? 0) + 1);
    yield;
  }
  const missing: string[] = [];
  let inOrder = found.length === rules.length;
  let last = "";
  for (const [i, text] of rules.entries()) {
    last = canonicalRule(text);
    const count = left.get(last) ?? 0;
    if (count === 0) missing.push(text);
    else left.set(last, count - 1);
    inOrder &&= found[i] === last;
    yield;
  }
  // The jump to the node ports comes last: of all rules of such a chain the only one that could hide another.
  const anyOrder = unordered.has(name) && (!last.includes(`-j ${chains.nodePorts}`) || last === found.at(-1));
  const complete = missing.length === 0 && found.length === rules.length;
  if (saved !== undefined && (inOrder || (anyOrder && complete))) return undefined;
  // Kubelet keeps rules of its own in this one.
  if (name === chains.kubeletFirewall && saved !== undefined && missing.length === 0) return undefined;
  return { table, name, rules, missing, exists: saved !== undefined };
}

function isIntact(chain: OwnChain, saved: SavedChain | undefined): boolean {
  if (saved === undefined || saved.rules.length !== chain.rules.length) return false;
  return chain.rules.every((rule, i) => withoutComment(rule) === withoutComment(saved.rules[i]?.text ?? ""));
}

/** Comments in these chains come and go with the size of the cluster, and say nothing. */
function withoutComment(rule: string): string {
  return canonicalRule(rule.replace(/-m comment --comment ("(?:[^"\\]|\\.)*"|\S+)/, ""));
}
