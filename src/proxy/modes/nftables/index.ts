/**
 * The nftables mode. Read in this order: `word.ts` and `sets.ts` (what is in the table), `ruleset.ts` (the rules that
 * never change), `pools.ts` and `elements.ts` (decisions become elements), `state.ts` (changes), `table.ts` (the kernel).
 */
import { isNotPermitted } from "../../../kernel/netlink/index.ts";
import { openNftablesIfThere } from "../../../kernel/nftables/index.ts";
import { families } from "../../../net/address.ts";
import { servedFamilies } from "../../machine.ts";
import type { ModeFactory, Probe } from "../mode.ts";
import { checkRules, NftablesMode } from "./mode.ts";
import { KernelTable } from "./table.ts";

/** The nftables mode. */
export const nftables: ModeFactory = {
  name: "nftables",

  async probe(): Promise<Probe> {
    const missing = whatIsMissing();
    return missing === undefined ? { able: true } : { able: false, missing: [missing] };
  },

  async create() {
    return new NftablesMode();
  },

  async cleanup() {
    return removeTables();
  },
};

/**
 * Removes the tables of a name that are ours, in both families.
 *
 * @param name without it that of the nftables mode.
 * @returns what was there, in words.
 */
export async function removeTables(name?: string): Promise<readonly string[]> {
  using socket = openNftablesIfThere();
  if (socket === undefined) return [];
  const removed: string[] = [];
  for (const family of families) {
    const table = new KernelTable(family, socket, name);
    if (await table.remove()) removed.push(`table ${table.ref.family} ${table.ref.table}`);
  }
  return removed;
}

function whatIsMissing(): string | undefined {
  try {
    using socket = openNftablesIfThere();
    if (socket === undefined) {
      return "this kernel has no nf_tables: load the module nf_tables, or use the iptables mode";
    }
    for (const family of servedFamilies()) checkRules(socket, family);
    return undefined;
  } catch (error) {
    if (isNotPermitted(error)) return "no permission to read nf_tables: run as root, or with CAP_NET_ADMIN";
    const why = error instanceof Error ? error.message : String(error);
    return `nf_tables of this kernel lacks what the rules need: ${why}: load the module (nft_chain_nat, nft_nat, nft_masq, nft_numgen, nft_fib_inet, ...), or use the iptables mode`;
  }
}
