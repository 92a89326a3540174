/** Carries out commands on a copy of a rule set, in a network namespace that is made for it and thrown away. */
import { createNamespace, deleteNamespace, inNamespace } from "../../kernel/namespace.ts";
import { ensureNamedCounter } from "../../kernel/nfacct.ts";
import { openNftables, type Ruleset, readRuleset, Transaction } from "../../kernel/nftables/index.ts";
import { runInside } from "../../kernel/programs.ts";
import { errorText } from "../../telemetry/log.ts";

/**
 * The rule set after the commands. Rules have other handles then.
 *
 * @throws an Error with what nft says, or that says that the rule set cannot be rebuilt here.
 */
export function rehearse(ruleset: Ruleset, commands: string): Promise<Ruleset> {
  return onCopy(ruleset, async (namespace) => {
    const { status, errors } = runInside(namespace, ["nft", "-f", "-"], commands);
    if (status !== 0) throw new Error(`nft: ${errors.trim()}`);
  });
}

/**
 * The rule set after `work` in a namespace that has a copy of it and is thrown away. Rules have other handles then.
 *
 * @throws what `work` throws, or an Error that says that the rule set cannot be rebuilt here.
 */
export async function onCopy(ruleset: Ruleset, work: (namespace: string) => Promise<void>): Promise<Ruleset> {
  const namespace = `portolan-rehearsal-${process.pid}`;
  createNamespace(namespace);
  try {
    using nft = inNamespace(namespace, () => openNftables());
    try {
      inNamespace(namespace, () => ensureCounters(ruleset));
      rebuild(ruleset).commit(nft);
    } catch (error) {
      throw new Error(`the rule set cannot be rebuilt to work on: ${errorText(error)}`);
    }
    await work(namespace);
    return readRuleset(nft);
  } finally {
    deleteNamespace(namespace);
  }
}

/** Named counters are the namespace's, and rules that count into them want them to be there. */
function ensureCounters({ rules }: Ruleset): void {
  const names = rules.flatMap(({ expressions }) =>
    expressions.flatMap((each) =>
      // `struct xt_nfacct_match_info`: a name of up to 31 characters.
      each.kind === "match" && each.name === "nfacct"
        ? [Buffer.from(each.info.subarray(0, 32)).toString("latin1")]
        : [],
    ),
  );
  for (const name of new Set(names)) ensureNamedCounter(name.replace(/\0.*$/s, ""));
}

/** Everything at once. */
function rebuild({ tables, chains, sets, objects, rules }: Ruleset): Transaction {
  const transaction = new Transaction();
  for (const table of tables)
    transaction.addTable({ ...table, flags: table.flags?.filter((each) => each === "dormant") ?? [] });
  for (const chain of chains) {
    transaction.addChain({ ...chain, flags: chain.flags?.filter((each) => each !== "binding") ?? [] });
  }
  for (const object of objects) transaction.addObject(object);
  const nameless = namelessSets(sets, rules);
  const named = sets.filter((set) => !nameless.has(keyOf(set))).map(withName);
  for (const { elements: _, ...set } of named) transaction.addSet(set);
  for (const { elements, ...set } of named) {
    if (elements.length > 0) transaction.addElements(set, elements.map(lasting));
  }
  for (const rule of rules) {
    const expressions = rule.expressions.map((expression) => {
      const set = expression.kind === "lookup" ? nameless.get(keyOf({ ...rule, set: expression.set })) : undefined;
      if (set === undefined || expression.kind !== "lookup") return expression;
      const { elements, ...rest } = set;
      const name = rest.data === undefined ? "__set%d" : "__map%d";
      const id = transaction.addSet({ ...rest, set: name });
      transaction.addElements({ ...rest, set: name, id }, elements.map(lasting));
      return { ...expression, set: name, setId: id };
    });
    const compat = rule.compat ?? protocolOf(rule);
    transaction.addRule({ ...rule, expressions, ...(compat !== undefined && { compat }) });
  }
  return transaction;
}

/**
 * What iptables' matches are checked against (`NFTA_RULE_COMPAT`): the kernel does not tell, but it follows from the rule.
 */
function protocolOf({ family, expressions }: Ruleset["rules"][number]): Ruleset["rules"][number]["compat"] {
  if (!expressions.some(({ kind }) => kind === "match" || kind === "target")) return undefined;
  const compared = expressions.findIndex(
    (each) =>
      (each.kind === "meta" && each.key === "l4proto") ||
      (each.kind === "payload" && each.base === "network" && each.offset === (family === "ip" ? 9 : 6)),
  );
  const value = expressions[compared + 1];
  if (compared < 0 || value?.kind !== "cmp") return undefined;
  return { protocol: value.data[0] ?? 0, flags: value.op === "neq" ? invertedProtocol : 0 };
}

/** `NFT_RULE_COMPAT_F_INV`. */
const invertedProtocol = 2;

type FilledSet = Ruleset["sets"][number];

function keyOf({ family, table, set }: { readonly family: string; readonly table: string; readonly set: string }) {
  return `${family} ${table} ${set}`;
}

/** Sets of single rules that look values up in them. Others, as for objects, get names for good. */
function namelessSets(sets: readonly FilledSet[], rules: Ruleset["rules"]): ReadonlyMap<string, FilledSet> {
  const looked = new Set(
    rules.flatMap((rule) =>
      rule.expressions.flatMap((each) => (each.kind === "lookup" ? [keyOf({ ...rule, set: each.set })] : [])),
    ),
  );
  const nameless = sets.filter((set) => set.flags?.includes("anonymous") && looked.has(keyOf(set)));
  return new Map(nameless.map((set) => [keyOf(set), set]));
}

function withName(set: FilledSet): FilledSet {
  return { ...set, flags: set.flags?.filter((each) => each !== "anonymous") ?? [] };
}

/** Without the time that is left of it. */
function lasting({ expiration: _, ...element }: FilledSet["elements"][number]): FilledSet["elements"][number] {
  return element;
}
