/** The whole rule set as it was at one moment. */

import { isNotFound } from "../netlink/errors.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import {
  type DumpScope,
  listChains,
  listElements,
  listObjects,
  listRules,
  listSets,
  listTables,
  readGeneration,
} from "./dump.ts";
import type { Chain, Element, NftObject, NftSet, Rule, Table } from "./types.ts";

/** A rule set. All lists are in the kernel's order. */
export interface Ruleset {
  /** The generation that was read. */
  readonly generation: number;
  /** False if somebody changed the rule set during each attempt to read it: the lists may not fit together then. */
  readonly consistent: boolean;
  readonly tables: readonly Table[];
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
  readonly sets: readonly (NftSet & { readonly elements: readonly Element[] })[];
  readonly objects: readonly NftObject[];
}

/**
 * Reads the rule set with all elements, so that everything belongs to the same generation. The kernel answers one
 * question at a time: if somebody changes the rule set in between, all is read again.
 *
 * @param scope everything, a family, or a table.
 * @param attempts how often to read at most.
 */
export function readRuleset(socket: NetlinkSocket, scope: DumpScope = {}, attempts = 5): Ruleset {
  for (let attempt = 1; ; attempt++) {
    const { id: generation } = readGeneration(socket);
    const lists = readLists(socket, scope);
    const consistent = readGeneration(socket).id === generation;
    if (consistent || attempt === attempts) return { generation, consistent, ...lists };
  }
}

function readLists(socket: NetlinkSocket, scope: DumpScope): Omit<Ruleset, "generation" | "consistent"> {
  const tables = listTables(socket, scope);
  const chains = listChains(socket, scope);
  return {
    tables,
    chains,
    rules: chains.length < manyChains ? listRules(socket, scope) : rulesByChain(socket, tables, chains),
    sets: listSets(socket, scope).map((set) => ({ ...set, elements: elementsIfThere(socket, set) })),
    objects: listObjects(socket, scope),
  };
}

/**
 * From so many chains on, rules are read chain by chain: in a list of all rules the kernel begins each of its answers with
 * counting from the first rule on, which takes the square of their number, and each question takes some microseconds.
 */
const manyChains = 10_000;

/** All rules, in the order in which the kernel lists them at once. */
function rulesByChain(socket: NetlinkSocket, tables: readonly Table[], chains: readonly Chain[]): Rule[] {
  const byTable = Map.groupBy(chains, ({ family, table }) => `${family} ${table}`);
  return tables.flatMap(({ family, table }) =>
    (byTable.get(`${family} ${table}`) ?? []).flatMap(({ chain }) => listRules(socket, { family, table, chain })),
  );
}

/** A set may have gone since it was listed. */
function elementsIfThere(socket: NetlinkSocket, set: NftSet): Element[] {
  try {
    return listElements(socket, set);
  } catch (error) {
    if (isNotFound(error)) return [];
    throw error;
  }
}
