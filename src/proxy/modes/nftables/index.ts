/**
 * The nftables mode. Read in this order: `word.ts` and `sets.ts` (what is in the table), `ruleset.ts` (the rules that
 * never change), `pools.ts` and `elements.ts` (decisions become elements), `state.ts` (changes), `table.ts` (the kernel).
 */
import { isNotPermitted, isNotSupported } from "../../../kernel/netlink/index.ts";
import { listTables, openNftables } from "../../../kernel/nftables/index.ts";
import { families } from "../../../net/address.ts";
import type { ModeFactory, Probe } from "../mode.ts";
import { NftablesMode } from "./mode.ts";
import { KernelTable } from "./table.ts";

/** The nftables mode. */
export const nftables: ModeFactory = {
  name: "nftables",

  async probe(): Promise<Probe> {
    try {
      using socket = openNftables();
      listTables(socket);
      return { able: true };
    } catch (error) {
      return { able: false, missing: [whatIsMissing(error)] };
    }
  },

  async create() {
    return new NftablesMode();
  },

  async cleanup() {
    using socket = openNftables();
    for (const family of families) new KernelTable(family, socket).remove();
  },
};

function whatIsMissing(error: unknown): string {
  if (isNotPermitted(error)) return "no permission to read nf_tables: run as root, or with CAP_NET_ADMIN";
  if (isNotSupported(error)) return "this kernel has no nf_tables: load the module nf_tables, or use the iptables mode";
  return `nf_tables does not answer: ${error instanceof Error ? error.message : String(error)}`;
}
