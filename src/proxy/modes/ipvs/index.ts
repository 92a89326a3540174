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
import { defaultIpvsSettings } from "../../../service/settings.ts";
import { chooseIptables, familiesOf } from "../iptables/index.ts";
import type { ModeFactory, Probe } from "../mode.ts";
import { deviceName, hasDummyLinks, removeDevice } from "./device.ts";
import { IpvsMode } from "./mode.ts";
import { removeFamily, retireFamily } from "./removal.ts";
import { applySettings } from "./settings.ts";

/** The ipvs mode. */
export const ipvs: ModeFactory = {
  name: "ipvs",

  async probe(): Promise<Probe> {
    const missing = [await missingOf(openIpvs), await missingOf(listSets), await missingOf(lookForDummies)];
    missing.push(await missingOf(async () => (await chooseIptables(undefined, await findXtables())).problem("IPv4")));
    const found = missing.filter((each) => each !== undefined);
    return found.length === 0 ? { able: true } : { able: false, missing: found };
  },

  prepare({ ipvs: settings = defaultIpvsSettings }) {
    using kernel = new Ipvs();
    applySettings(kernel, settings);
  },

  async create() {
    const xtables = await chooseIptables(undefined, await findXtables());
    return new IpvsMode(xtables, await familiesOf(xtables));
  },

  async cleanup() {
    using handles = new DisposableStack();
    // Rules and sets may be there without IPVS, restored from a file for instance.
    const kernel = {
      ipvs: openIfThere(() => handles.use(new Ipvs())),
      ipsets: openIfThere(() => handles.use(openSets())),
      route: handles.use(openRoute()),
    };
    const variants = [...(await findXtables()).values()];
    const device = findLink(kernel.route, deviceName) !== undefined;
    let any = false;
    const used: string[] = [];
    for (const family of families) {
      const removed = await removeFamily(kernel, variants, family, []);
      any ||= removed.any;
      used.push(...removed.used);
    }
    removeDevice(kernel.route);
    if (used.length > 0) throw new Error(`emptied, but not removed, for others use it: ${used.join("; ")}`);
    if (device) return [`device ${deviceName} with its virtual services, sets and rules`];
    return any ? ["sets and rules"] : [];
  },

  async retire() {
    using handles = new DisposableStack();
    const ipvs = openIfThere(() => handles.use(new Ipvs()));
    if (ipvs === undefined) return true;
    const kernel = { ipvs, ipsets: handles.use(new Ipsets()), route: handles.use(openRoute()) };
    const variants = [...(await findXtables()).values()];
    let gone = true;
    for (const family of families) gone = (await retireFamily(kernel, variants, family)) && gone;
    if (gone) removeDevice(kernel.route);
    return gone;
  },
};

/** Undefined where the kernel has no such thing. */
function openIfThere<Handle>(open: () => Handle): Handle | undefined {
  try {
    return open();
  } catch (error) {
    if (error instanceof NoIpvsError || error instanceof NoSetsError) return undefined;
    throw error;
  }
}

/** The kernel has no ipset. */
class NoSetsError extends Error {}

function openIpvs(): undefined {
  using _ = new Ipvs();
}

function listSets(): undefined {
  using _ = openSets();
}

/** @throws {NoSetsError} if the kernel has none. */
function openSets(): Ipsets {
  const sets = new Ipsets();
  try {
    sets.list("KUBE-CLUSTER-IP");
    return sets;
  } catch (error) {
    sets.close();
    if (isNotPermitted(error)) throw error;
    throw new NoSetsError("this kernel has no ipset, or has not loaded it: modprobe ip_set");
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
