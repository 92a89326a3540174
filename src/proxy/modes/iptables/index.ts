/** The iptables mode: kube-proxy's chains, written through iptables-restore. */
import {
  chooseXtables,
  findXtables,
  oldestVersion,
  type Variant,
  type Xtables,
} from "../../../kernel/xtables/xtables.ts";
import { type Family, families } from "../../../net/address.ts";
import { mayServeLoopback, nodePortSupport } from "../../../service/nodeports.ts";
import { servedFamilies } from "../../machine.ts";
import type { ModeFactory } from "../mode.ts";
import { cleanXtables } from "./cleanup.ts";
import { inspectMachine, routeLocalnet } from "./machine.ts";
import { IptablesMode, type ModeOptions } from "./mode.ts";

/** The environment variable that names the variant to use. */
const variable = "PORTOLAN_IPTABLES";

/**
 * Makes the factory of the mode.
 *
 * @param variant which iptables to use. Without it the environment variable PORTOLAN_IPTABLES (`nft` or `legacy`) says
 *   it; else the one is used that this node's other programs use. Never both.
 * @param options for a mode that builds on this one.
 */
export function iptablesFactory(variant?: Variant, options: Pick<ModeOptions, "guarded"> = {}): ModeFactory {
  return {
    name: "iptables",
    async probe() {
      try {
        const xtables = await chooseIptables(variant, await findXtables());
        const problem = await xtables.problem("IPv4");
        if (problem !== undefined) return { able: false, missing: [problem] };
        const lack = servedFamilies().includes("IPv6") ? await xtables.problem("IPv6") : undefined;
        const notes = [`through iptables ${xtables.version} (${xtables.variant})`];
        return { able: true, notes: lack === undefined ? notes : [...notes, `without IPv6: ${lack}`] };
      } catch (error) {
        return { able: false, missing: [error instanceof Error ? error.message : String(error)] };
      }
    },
    prepare({ mode, nodePortAddresses, localhostNodePorts }) {
      if (mayServeLoopback(nodePortAddresses, "IPv4", nodePortSupport(mode, localhostNodePorts))) routeLocalnet();
    },
    async create() {
      const found = await findXtables();
      const xtables = await chooseIptables(variant, found);
      const others = [...found.values()].filter((each) => each !== xtables);
      return new IptablesMode(xtables, inspectMachine(), { ...options, others, families: await familiesOf(xtables) });
    },
    async cleanup() {
      const removed: string[] = [];
      for (const xtables of (await findXtables()).values()) removed.push(...(await cleanXtables(xtables, "iptables")));
      return removed;
    },
  };
}

/** The factory of the mode, with the variant that this node uses. */
export const iptables: ModeFactory = iptablesFactory();

/**
 * The iptables to use, of those that `findXtables` found.
 *
 * @throws an Error that says what to install, or what is wrong with PORTOLAN_IPTABLES.
 */
export async function chooseIptables(
  variant: Variant | undefined,
  found: ReadonlyMap<Variant, Xtables>,
): Promise<Xtables> {
  const wanted = variant ?? fromEnvironment();
  const xtables = wanted === undefined ? await chooseXtables(found) : found.get(wanted);
  if (xtables !== undefined) return xtables;
  const kind = wanted === undefined ? "" : ` of variant ${wanted}`;
  throw new Error(`there is no iptables${kind} of version ${oldestVersion} or newer: install package iptables`);
}

/** The families whose tables an iptables can write, of those that the kernel has; IPv4 in any case. */
export async function familiesOf(xtables: Xtables): Promise<readonly Family[]> {
  const withIPv6 = servedFamilies().includes("IPv6") && (await xtables.problem("IPv6")) === undefined;
  return withIPv6 ? families : ["IPv4"];
}

function fromEnvironment(): Variant | undefined {
  const value = process.env[variable] ?? "";
  if (value === "") return undefined;
  if (value === "nft" || value === "legacy") return value;
  throw new Error(`${variable}: Invalid value: ${JSON.stringify(value)}: must be nft or legacy, or empty`);
}
