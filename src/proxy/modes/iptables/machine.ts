/** What this machine offers to the rules, and the one switch of the kernel that they need. */
import { readFileSync, writeFileSync } from "node:fs";
import { ensureNamedCounter } from "../../../kernel/nfacct.ts";
import type { Counter, Machine } from "./context.ts";

/** Looks at the kernel of this thread's network namespace, and makes the named counters there if it knows such. */
export function inspectMachine(): Machine {
  const names: readonly Counter[] = ["ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"];
  return {
    dropInvalid: (readSwitch("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal") ?? "0") === "0",
    counters: new Set(names.filter(hasCounter)),
  };
}

function hasCounter(name: Counter): boolean {
  try {
    ensureNamedCounter(name);
    return true;
  } catch {
    return false;
  }
}

/**
 * Lets 127.0.0.0/8 be routed, so that node ports answer on it.
 *
 * @throws if /proc/sys is read-only, as in containers without privileges.
 */
export function routeLocalnet(): void {
  const file = "/proc/sys/net/ipv4/conf/all/route_localnet";
  if (readSwitch(file) === "1") return;
  try {
    writeFileSync(file, "1");
  } catch (error) {
    throw new Error(
      `${file}: cannot be set to 1, which node ports on 127.0.0.1 need: run privileged, or set iptables.localhostNodePorts: false`,
      { cause: error },
    );
  }
}

function readSwitch(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
}
