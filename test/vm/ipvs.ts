/** The virtual machine that tests of IPVS run in. */
import type { VmOptions } from "./vm.ts";

/** Options of the machine. @param env further variables for the tests. */
export function ipvsVm(env: Readonly<Record<string, string>> = {}): VmOptions {
  return {
    modules: ["ipv6", "nf_conntrack", "br_netfilter", "dummy", "ip_vs", "ip_set", "xt_set"],
    // This kernel has the old tables of iptables alone.
    env: { ...env, PORTOLAN_IPTABLES: "legacy" },
    memory: 512,
    timeout: 180_000,
  };
}
