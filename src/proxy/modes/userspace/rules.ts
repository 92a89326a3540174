/** What leads connections to the proxy: the rules of another mode, in which every pool has the proxy as its only endpoint. */
import { findXtables, type Variant } from "../../../kernel/xtables/xtables.ts";
import { cleanXtables } from "../iptables/cleanup.ts";
import { iptablesFactory } from "../iptables/index.ts";
import type { ModeFactory } from "../mode.ts";
import { nftables, removeTables } from "../nftables/index.ts";
import { NftablesMode } from "../nftables/mode.ts";
import { ownAddresses } from "./place.ts";

/** One way to lead connections to the proxy. */
export type Rules = Pick<ModeFactory, "probe" | "create">;

/** The name of the table, in both families. */
const tableName = "portolan-userspace";

/** Tables of nf_tables, of a name of their own. */
export const inNftables: Rules = {
  probe: () => nftables.probe(),
  create: async () => new NftablesMode({ table: tableName, guarded: ownAddresses }),
};

/** The chains of the iptables mode. @param variant as for `iptablesFactory`. */
export function inIptables(variant?: Variant): Rules {
  return iptablesFactory(variant, { guarded: ownAddresses });
}

/** Removes what either of them left. @returns what was there, in words. */
export async function removeRules(): Promise<readonly string[]> {
  const removed = [...(await removeTables(tableName))];
  for (const xtables of (await findXtables()).values()) removed.push(...(await cleanXtables(xtables, "userspace")));
  return removed;
}
