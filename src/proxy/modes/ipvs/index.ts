/**
 * The ipvs mode. Read in this order: `sets.ts` and `rules.ts` (what never changes), `compile.ts` (decisions become virtual
 * services and entries of sets), `state.ts` (changes), `balancer.ts` and `family.ts` (the kernel), `mode.ts`.
 */
import { Ipsets } from "../../../kernel/ipset/index.ts";
import { Ipvs, NoIpvsError } from "../../../kernel/ipvs/index.ts";
import { isNotPermitted } from "../../../kernel/netlink/index.ts";
import { findLink, openRoute } from "../../../kernel/route/index.ts";
import { findXtables } from "../../../kernel/xtables/xtables.ts";
import { families } from "../../../net/address.ts";
import { chooseIptables } from "../iptables/index.ts";
import type { ModeFactory, Probe } from "../mode.ts";
import { deviceName, hasDummyLinks, removeDevice } from "./device.ts";
import { IpvsMode } from "./mode.ts";
import { removeFamily, retireFamily } from "./removal.ts";

/** The ipvs mode. */
export const ipvs: ModeFactory = {
  name: "ipvs",

  async probe(): Promise<Probe> {
    const missing = [await missingOf(openIpvs), await missingOf(listSets), await missingOf(lookForDummies)];
    missing.push(await missingOf(async () => (await chooseIptables(undefined, await findXtables())).problem("IPv4")));
    const found = missing.filter((each) => each !== undefined);
    return found.length === 0 ? { able: true } : { able: false, missing: found };
  },

  async create() {
    return new IpvsMode(await chooseIptables(undefined, await findXtables()));
  },

  async cleanup() {
    using kernel = openKernel();
    if (kernel === undefined) return [];
    const variants = [...(await findXtables()).values()];
    const there = findLink(kernel.route, deviceName) !== undefined;
    for (const family of families) await removeFamily(kernel, variants, family, []);
    removeDevice(kernel.route);
    return there ? [`device ${deviceName} with its virtual services, sets and rules`] : [];
  },

  async retire() {
    using kernel = openKernel();
    if (kernel === undefined) return true;
    const variants = [...(await findXtables()).values()];
    let gone = true;
    for (const family of families) gone = (await retireFamily(kernel, variants, family)) && gone;
    if (gone) removeDevice(kernel.route);
    return gone;
  },
};

/** The kernel's handles; undefined where there is no IPVS, and so nothing to remove. */
function openKernel() {
  try {
    const kernel = { ipvs: new Ipvs(), ipsets: new Ipsets(), route: openRoute() };
    return {
      ...kernel,
      [Symbol.dispose]() {
        for (const handle of Object.values(kernel)) handle.close();
      },
    };
  } catch (error) {
    if (error instanceof NoIpvsError) return undefined;
    throw error;
  }
}

function openIpvs(): undefined {
  using _ = new Ipvs();
}

function listSets(): undefined {
  try {
    using sets = new Ipsets();
    sets.list("KUBE-CLUSTER-IP");
  } catch (error) {
    if (isNotPermitted(error)) throw error;
    throw new Error("this kernel has no ipset, or has not loaded it: modprobe ip_set");
  }
}

function lookForDummies(): string | undefined {
  using socket = openRoute();
  return hasDummyLinks(socket) ? undefined : "this kernel has no dummy interfaces: modprobe dummy";
}

/** What a look for something found missing. */
async function missingOf(look: () => string | undefined | Promise<string | undefined>): Promise<string | undefined> {
  try {
    return await look();
  } catch (error) {
    if (isNotPermitted(error)) return "no permission to change the network: run as root, or with CAP_NET_ADMIN";
    return error instanceof Error ? error.message : String(error);
  }
}
