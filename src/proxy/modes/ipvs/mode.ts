/** The ipvs mode at work: keeps virtual services, sets, addresses and rules as decided. */
import { Ipsets } from "../../../kernel/ipset/index.ts";
import { Ipvs } from "../../../kernel/ipvs/index.ts";
import { findLink, openRoute, RouteMonitor } from "../../../kernel/route/index.ts";
import type { Xtables } from "../../../kernel/xtables/xtables.ts";
import { type Address, type Family, families } from "../../../net/address.ts";
import type { Changes } from "../../../service/decision.ts";
import { defaultIpvsSettings, type IpvsSettings, type NodeSettings } from "../../../service/settings.ts";
import { contextOf } from "../iptables/context.ts";
import type { Desired, Drift, Mode } from "../mode.ts";
import { inSlices } from "../slices.ts";
import type { CompileContext } from "./compile.ts";
import { deviceName, ensureDevice, readAddresses, servingAddresses } from "./device.ts";
import { type Change, type Kernel, ServedFamily } from "./family.ts";
import { removeFamily } from "./removal.ts";
import { type Rules, rulesOf } from "./rules.ts";
import { applySettings, changedSysctls } from "./settings.ts";
import { State } from "./state.ts";
import { compareRules, firstOf, mendRules, restOf } from "./tables.ts";

/** How often to look whether destinations that wait for the end of their connections have any left, in milliseconds. */
const drainInterval = 2000;

/** What the rules take of the machine: nothing, beside settings. */
const plainMachine = { dropInvalid: false, counters: new Set<never>() };

/** A family that is served, with its rules. */
interface Served {
  readonly services: ServedFamily;
  readonly rules: Rules;
  /** The node's own addresses that went into it. */
  readonly local: readonly Address[];
}

/** The running mode. It works in the network namespace in which it is made. */
export class IpvsMode implements Mode {
  readonly name = "ipvs";
  readonly families: readonly Family[];
  readonly #xtables: Xtables;
  readonly #kernel: Kernel;
  readonly #drainInterval: number;
  readonly #served = new Map<Family, Served>();
  #settings: IpvsSettings = defaultIpvsSettings;
  #drainTimer: NodeJS.Timeout | undefined;

  /**
   * @param xtables the iptables of this node.
   * @param served those families whose tables it can write.
   * @param drainEvery milliseconds between two looks at destinations that wait for the end of their connections.
   * @throws {NoIpvsError} if the kernel has no IPVS.
   */
  constructor(xtables: Xtables, served: readonly Family[] = families, drainEvery = drainInterval) {
    this.#xtables = xtables;
    this.families = served;
    this.#drainInterval = drainEvery;
    this.#kernel = { ipvs: new Ipvs(), ipsets: new Ipsets(), route: openRoute() };
  }

  async replace({ settings, decisions }: Desired, signal: AbortSignal): Promise<void> {
    this.#stopDraining();
    this.#served.clear();
    this.#settings = settings.ipvs ?? defaultIpvsSettings;
    applySettings(this.#kernel.ipvs, this.#settings);
    ensureDevice(this.#kernel.route);
    for (const family of families) {
      if (settings.families[family] === undefined) {
        await removeFamily(this.#kernel, [this.#xtables], family, this.#settings.excludeCIDRs, signal);
        continue;
      }
      const served = this.#prepare(family, settings);
      const own: Change[] = [...decisions].filter(([, decision]) => decision.family === family);
      served.services.makeSets();
      const differences = await compareRules(this.#xtables, family, served.rules, signal);
      await mendRules(this.#xtables, family, firstOf(differences, family), signal);
      const leftover = await inSlices(served.services.begin(own), signal);
      await mendRules(this.#xtables, family, restOf(differences, family), signal);
      await inSlices(served.services.end(leftover), signal);
      this.#served.set(family, served);
    }
    this.#scheduleDraining();
  }

  async apply(changes: Changes, signal: AbortSignal): Promise<void> {
    this.#stopDraining();
    for (const [family, { services }] of this.#served) {
      const own = [...changes].filter(([key, decision]) => (decision?.family ?? key.slice(-4)) === family);
      if (own.length > 0) await inSlices(services.apply(own), signal);
    }
    this.#scheduleDraining();
  }

  async audit(signal: AbortSignal): Promise<readonly Drift[]> {
    const found: string[] = [...changedSysctls(this.#settings)];
    for (const [family, { services, rules, local }] of this.#served) {
      const words = [...(await inSlices(services.audit(), signal))];
      const differences = await compareRules(this.#xtables, family, rules, signal);
      for (const { table, name } of differences.chains)
        words.push(`table ${table}: chain ${name}: not as it should be`);
      for (const { table, from, to } of differences.jumps) {
        words.push(`table ${table}: chain ${from}: jump to ${to} missing`);
      }
      if (!sameAddresses(local, this.#localAddresses(family))) words.push("the addresses of this node changed");
      found.push(...words.map((what) => `${family} ${what}`));
    }
    return found.map((what) => ({ what }));
  }

  watch(onDrift: (drift: Drift) => void, signal: AbortSignal): void {
    this.#watchAddresses(onDrift, signal).catch((error: unknown) => {
      onDrift({ what: `addresses cannot be watched any more: ${String(error)}` });
    });
  }

  close(): void {
    this.#stopDraining();
    this.#kernel.ipvs.close();
    this.#kernel.ipsets.close();
    this.#kernel.route.close();
  }

  #prepare(family: Family, settings: NodeSettings): Served {
    const own = settings.families[family];
    const local = this.#localAddresses(family);
    const wanted = own?.nodePortAddresses;
    const context: CompileContext = {
      scheduler: this.#settings.scheduler || "rr",
      detector: (own?.detector.kind ?? "none") !== "none",
      local: new Set(local),
      nodePorts: servingAddresses(wanted?.kind === "addresses" ? wanted.addresses : local),
    };
    const services = new ServedFamily(family, this.#kernel, new State(context), this.#settings.excludeCIDRs);
    return { services, rules: rulesOf(contextOf(settings, family, plainMachine)), local };
  }

  #localAddresses(family: Family): readonly Address[] {
    return [...new Set(readAddresses(this.#kernel.route, family).local)].sort();
  }

  /** Node ports answer on addresses of the node, and services on those of kube-ipvs0: what comes or goes matters. */
  async #watchAddresses(onDrift: (drift: Drift) => void, signal: AbortSignal): Promise<void> {
    using monitor = new RouteMonitor(["addresses", "links"]);
    let device = findLink(this.#kernel.route, deviceName)?.index;
    for await (const event of monitor.events(signal)) {
      if (event.kind === "link" && event.link.name === deviceName) {
        if (event.change === "gone") onDrift({ what: `link ${deviceName}: gone` });
        device = event.link.index;
      } else if (event.kind === "overrun" || (event.kind === "address" && event.address.interface !== device)) {
        for (const [family, { local }] of this.#served) {
          if (sameAddresses(local, this.#localAddresses(family))) continue;
          onDrift({ what: `${family} the addresses of this node changed` });
        }
      }
    }
  }

  #scheduleDraining(): void {
    if (![...this.#served.values()].some(({ services }) => services.isDraining)) return;
    this.#drainTimer = setTimeout(() => this.#drain(), this.#drainInterval);
    this.#drainTimer.unref();
  }

  #stopDraining(): void {
    clearTimeout(this.#drainTimer);
  }

  #drain(): void {
    try {
      for (const { services } of this.#served.values()) services.drain();
    } catch {
      // Whatever is wrong, an audit finds it and has it mended.
    }
    this.#scheduleDraining();
  }
}

function sameAddresses(a: readonly Address[], b: readonly Address[]): boolean {
  return a.length === b.length && a.every((address, i) => address === b[i]);
}
