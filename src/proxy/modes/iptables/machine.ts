/** What this machine offers to the rules, and the one switch of the kernel that they need. */
import { ensureNamedCounter } from "../../../kernel/nfacct.ts";
import { readSysctl, writeSysctl } from "../../../kernel/sysctl.ts";
import type { Counter, Machine } from "./context.ts";

/** Looks at the kernel of this thread's network namespace, and makes the named counters there if it knows such. */
export function inspectMachine(): Machine {
  const names: readonly Counter[] = ["ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"];
  return {
    dropInvalid: (readSysctl("net/netfilter/nf_conntrack_tcp_be_liberal") ?? "0") === "0",
    counters: new Set(names.filter(hasCounter)),
  };
}

/**
 * Lets 127.0.0.0/8 be routed, so that node ports answer on it.
 *
 * @throws if it cannot be set, as in containers without privileges.
 */
export function routeLocalnet(): void {
  try {
    writeSysctl("net/ipv4/conf/all/route_localnet", 1);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`node ports on 127.0.0.1 need this, iptables.localhostNodePorts: false does not: ${why}`, {
      cause: error,
    });
  }
}

function hasCounter(name: Counter): boolean {
  try {
    ensureNamedCounter(name);
    return true;
  } catch {
    return false;
  }
}
