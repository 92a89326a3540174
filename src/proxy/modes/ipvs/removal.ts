/** Removes what an ipvs mode, Portolan's or kube-proxy's, left in the kernel, and nothing of others. */

import { findLink } from "../../../kernel/route/index.ts";
import type { Xtables } from "../../../kernel/xtables/xtables.ts";
import type { Family } from "../../../net/address.ts";
import type { Prefix } from "../../../net/prefix.ts";
import { deviceName, releaseAddress } from "./device.ts";
import { type Kernel, ownServices, readContent } from "./family.ts";
import { nameIn, setNames } from "./sets.ts";
import { removeRules } from "./tables.ts";

/**
 * Removes everything of one family: rules, virtual services, addresses, sets, in this order, since sets and addresses
 * tell which services are ours, and rules keep sets from being removed.
 *
 * @param variants the iptables of this node, all that may have our rules.
 * @param excluded virtual services in these prefixes are left alone.
 */
export async function removeFamily(
  kernel: Kernel,
  variants: readonly Xtables[],
  family: Family,
  excluded: readonly Prefix[],
  signal?: AbortSignal,
): Promise<void> {
  for (const xtables of variants) await removeRules(xtables, family, signal);
  const content = readContent(kernel, family);
  for (const { key } of ownServices(content, excluded)) kernel.ipvs.deleteService(key);
  const device = findLink(kernel.route, deviceName);
  if (device !== undefined) for (const address of content.bound) releaseAddress(kernel.route, device.index, address);
  for (const set of setNames) kernel.ipsets.destroy(nameIn(set, family));
}
