/** Who programmed the Services of a node: told by the tables and chains that each leaves. */

import type { Family } from "../net/address.ts";
import { chains as names } from "../proxy/modes/iptables/names.ts";
import { tableComment } from "../proxy/modes/nftables/layout.ts";
import type { Snapshot } from "../trace/snapshot/index.ts";
import type { PlainChain } from "./chains.ts";

/** A service proxy's rules, of one family. */
export interface ProxyFound {
  /**
   * `portolan`: Portolan's mode nftables. `kube-proxy`: kube-proxy's. `iptables`: the mode iptables of either.
   * `ipvs`: that of either.
   */
  readonly kind: "portolan" | "kube-proxy" | "iptables" | "ipvs";
  /** Where the rules are. */
  readonly variant: PlainChain["variant"];
  readonly family: Family;
  /** The table of nf_tables or of iptables that Services are in. */
  readonly table: string;
  /** As people say it. */
  readonly title: string;
}

/** All that are there. */
export function findProxies({ nftables, links }: Snapshot, chains: readonly PlainChain[]): readonly ProxyFound[] {
  const found: ProxyFound[] = [];
  for (const { family: name, table, comment } of nftables.tables) {
    const family = familyOf(name);
    if (family === undefined) continue;
    const variant = "nftables";
    if (comment === tableComment) {
      found.push({ kind: "portolan", variant, family, table, title: `Portolan's table ${name} ${table}` });
    } else if (table === "kube-proxy") {
      found.push({ kind: "kube-proxy", variant, family, table, title: `kube-proxy's table ${name} ${table}` });
    }
  }
  const ipvs = links.some(({ name }) => name === "kube-ipvs0");
  for (const { variant, family: name, table, name: chain } of chains) {
    const family = familyOf(name);
    if (family === undefined || table !== "nat" || chain !== names.services) continue;
    const program = `${family === "IPv4" ? "iptables" : "ip6tables"}${variant === "legacy" ? "-legacy" : ""}`;
    found.push({ kind: ipvs ? "ipvs" : "iptables", variant, family, table, title: `chain ${chain} of ${program}` });
  }
  return found;
}

function familyOf(name: string): Family | undefined {
  return name === "ip" ? "IPv4" : name === "ip6" ? "IPv6" : undefined;
}
