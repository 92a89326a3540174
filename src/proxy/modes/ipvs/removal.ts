/** Removes what an ipvs mode, Portolan's or kube-proxy's, left in the kernel, and nothing of others. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Ipsets, isSetInUse } from "../../../kernel/ipset/index.ts";
import type { Ipvs, ServiceKey } from "../../../kernel/ipvs/index.ts";
import { findLink } from "../../../kernel/route/index.ts";
import type { Xtables } from "../../../kernel/xtables/xtables.ts";
import type { Family } from "../../../net/address.ts";
import type { Prefix } from "../../../net/prefix.ts";
import { deviceName, releaseAddress } from "./device.ts";
import { type Content, eachSet, type Kernel, ownServices, type PartialKernel, readContent, signsOf } from "./family.ts";
import { nameIn, setNames } from "./sets.ts";
import { idOf } from "./state.ts";
import { keepDrainingRules, removeRules } from "./tables.ts";

/** What became of a family. */
export interface Removed {
  /** Whether there was anything. */
  readonly any: boolean;
  /** What others use and so is emptied only, and by what. */
  readonly used: readonly string[];
}

/**
 * Removes everything of one family: rules, virtual services, addresses, sets, in this order, since sets and addresses
 * tell which services are ours, and rules keep sets from being removed. Ends the connections of these services.
 *
 * @param variants the iptables of this node, all that may have our rules.
 * @param excluded virtual services in these prefixes are left alone.
 */
export async function removeFamily(
  kernel: PartialKernel,
  variants: readonly Xtables[],
  family: Family,
  excluded: readonly Prefix[],
  signal?: AbortSignal,
): Promise<Removed> {
  const used: string[] = [];
  let any = false;
  for (const xtables of variants) {
    const foreign = await removeRules(xtables, family, signal);
    any ||= foreign !== undefined;
    used.push(...(foreign ?? []).map((rule) => `a chain that "${rule}" leads into`));
  }
  const content = readContent(kernel, family);
  for (const { key } of ownServices(content, excluded)) kernel.ipvs?.deleteService(key);
  releaseAddresses(kernel, content.bound);
  const { ipsets } = kernel;
  if (ipsets !== undefined) {
    const sets = await destroySets(ipsets, family);
    any ||= sets.any;
    used.push(...sets.used.map((name) => `set ${name}, which a rule names`));
  }
  return { any, used };
}

/** Rules of nf_tables let go of their sets a moment after they are gone. Milliseconds, and times. */
const [pause, patience] = [50, 20];

async function destroySets(ipsets: Ipsets, family: Family): Promise<Removed> {
  let any = false;
  let used: readonly string[] = setNames.map((set) => nameIn(set, family));
  for (let i = 0; used.length > 0 && i < patience; i++) {
    if (i > 0) await sleep(pause);
    used = used.filter((name) => {
      try {
        any = ipsets.destroy(name) || any;
        return false;
      } catch (error) {
        if (!isSetInUse(error)) throw error;
        return true;
      }
    });
  }
  for (const name of used) ipsets.flush(name);
  return { any: any || used.length > 0, used };
}

/**
 * As {@link removeFamily}, but virtual services with connections stay, without taking new ones, and with them their
 * addresses, the entries of sets that tell that they are ours, and the rules that their connections need. Only after the
 * rules of another mode are there, which take new connections before IPVS sees them. Call it again until all is gone.
 *
 * @returns whether all is gone.
 */
export async function retireFamily(kernel: Kernel, variants: readonly Xtables[], family: Family): Promise<boolean> {
  const content = readContent(kernel, family);
  const keys = ownServices(content, []).flatMap(({ key }) => (key.kind === "address" ? [key] : []));
  const busy = keys.filter((key) => !retireService(kernel.ipvs, key));
  if (busy.length === 0) {
    await removeFamily(kernel, variants, family, []);
    return true;
  }
  for (const xtables of variants) await keepDrainingRules(xtables, family);
  const addresses = new Set(busy.map(({ address }) => address));
  releaseAddresses(
    kernel,
    content.bound.filter((address) => !addresses.has(address)),
  );
  const signs = new Set(busy.flatMap((key) => signsOf(key).map(idOf)));
  const surplus = content.members.filter((member) => !signs.has(idOf(member)));
  eachSet(surplus, (set, entries) => kernel.ipsets.delete(nameIn(set, family), entries));
  return false;
}

/** Gives a virtual service no new connections, and removes it when it has none. @returns whether it is gone. */
function retireService(ipvs: Ipvs, key: ServiceKey): boolean {
  for (const destination of ipvs.destinations(key)) {
    if (destination.weight > 0) ipvs.putDestination(key, { ...destination, weight: 0 });
  }
  // What came before the weight changed is counted only now.
  if (ipvs.destinations(key).some(({ active, inactive }) => active + inactive > 0)) return false;
  ipvs.deleteService(key);
  return true;
}

function releaseAddresses(kernel: Pick<Kernel, "route">, addresses: Content["bound"]): void {
  const device = findLink(kernel.route, deviceName);
  if (device === undefined) return;
  for (const address of addresses) releaseAddress(kernel.route, device.index, address);
}
