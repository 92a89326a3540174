/** Carries out nft commands on a copy of a rule set, in a network namespace that is made for it and thrown away. */
import { createNamespace, deleteNamespace, inNamespace } from "../../kernel/namespace.ts";
import { type NftSet, openNftables, type Ruleset, readRuleset, Transaction } from "../../kernel/nftables/index.ts";
import { runInside } from "../../kernel/programs.ts";
import { errorText } from "../../telemetry/log.ts";

/**
 * The rule set after the commands. Rules have other handles then.
 *
 * @throws an Error with what nft says, or that says that the rule set cannot be rebuilt here.
 */
export function rehearse(ruleset: Ruleset, commands: string): Ruleset {
  const namespace = `portolan-rehearsal-${process.pid}`;
  createNamespace(namespace);
  try {
    using nft = inNamespace(namespace, () => openNftables());
    try {
      rebuild(ruleset).commit(nft);
    } catch (error) {
      throw new Error(`the rule set cannot be rebuilt for nft to work on: ${errorText(error)}`);
    }
    const { status, errors } = runInside(namespace, ["nft", "-f", "-"], commands);
    if (status !== 0) throw new Error(`nft: ${errors.trim()}`);
    return readRuleset(nft);
  } finally {
    deleteNamespace(namespace);
  }
}

/** Everything at once. Sets and chains that belong to single rules become ones with names. */
function rebuild({ tables, chains, sets, objects, rules }: Ruleset): Transaction {
  const transaction = new Transaction();
  for (const table of tables)
    transaction.addTable({ ...table, flags: table.flags?.filter((each) => each === "dormant") ?? [] });
  for (const chain of chains) {
    transaction.addChain({ ...chain, flags: chain.flags?.filter((each) => each !== "binding") ?? [] });
  }
  for (const object of objects) transaction.addObject(object);
  for (const { elements: _, ...set } of sets) transaction.addSet(named(set));
  for (const { elements, ...set } of sets) {
    if (elements.length === 0) continue;
    transaction.addElements(
      set,
      elements.map(({ expiration: _, ...element }) => element),
    );
  }
  for (const rule of rules) transaction.addRule(rule);
  return transaction;
}

function named(set: NftSet): NftSet {
  return { ...set, flags: set.flags?.filter((each) => each !== "anonymous") ?? [] };
}
