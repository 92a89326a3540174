/** The iptables mode: kube-proxy's chains, written through iptables-restore. */
import { chooseXtables, findXtables, oldestVersion, type Variant } from "../../../kernel/xtables/xtables.ts";
import type { ModeFactory } from "../mode.ts";
import { cleanXtables } from "./cleanup.ts";
import { inspectMachine } from "./machine.ts";
import { IptablesMode } from "./mode.ts";

/**
 * Makes the factory of the mode.
 *
 * @param variant which iptables to use; undefined: the one that this node's other programs use. Never both.
 */
export function iptablesFactory(variant?: Variant): ModeFactory {
  const choose = async () => {
    const found = await findXtables();
    return variant === undefined ? chooseXtables(found) : found.get(variant);
  };
  const missing = `iptables${variant === undefined ? "" : ` of variant ${variant}`}, ${oldestVersion} or newer: install package iptables`;
  return {
    name: "iptables",
    async probe() {
      const xtables = await choose();
      if (xtables === undefined) return { able: false, missing: [missing] };
      const problem = await xtables.problem("IPv4");
      return problem === undefined ? { able: true } : { able: false, missing: [problem] };
    },
    async create() {
      const xtables = await choose();
      if (xtables === undefined) throw new Error(`mode iptables: missing: ${missing}`);
      return new IptablesMode(xtables, inspectMachine());
    },
    async cleanup() {
      for (const xtables of (await findXtables()).values()) await cleanXtables(xtables);
    },
  };
}

/** The factory of the mode, with the variant that this node uses. */
export const iptables: ModeFactory = iptablesFactory();
