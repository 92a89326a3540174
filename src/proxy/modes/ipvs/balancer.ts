/** Brings virtual services and their destinations to what is wanted, without ending connections. */
import {
  type CountedDestination,
  type Destination,
  formatService,
  type Ipvs,
  type ServiceKey,
  type ServiceSettings,
  serviceFlag,
  type VirtualService,
} from "../../../kernel/ipvs/index.ts";
import { isNotFound } from "../../../kernel/netlink/index.ts";
import { formatHostPort } from "../../../net/protocol.ts";
import type { Endpoint } from "../../../service/decision.ts";
import type { Claim } from "./compile.ts";

/** A virtual service as wanted; undefined: none. */
export type Wanted = Pick<Claim, "settings" | "endpoints"> | undefined;

/** What a kernel without the wanted scheduler uses. */
const anyScheduler = "rr";

/**
 * The virtual services of one family. What it must remember is in the kernel: a destination of weight 0 is one that
 * waits for the end of its connections.
 */
export class Balancer {
  readonly #ipvs: Ipvs;
  /** Services with destinations that wait, and whether they are to go with the last. */
  readonly #draining = new Map<string, { readonly key: ServiceKey; readonly last: boolean }>();
  /** Schedulers that this kernel does not have. */
  readonly #missing = new Set<string>();

  constructor(ipvs: Ipvs) {
    this.#ipvs = ipvs;
  }

  /** Whether anything waits for the end of its connections. */
  get isDraining(): boolean {
    return this.#draining.size > 0;
  }

  /**
   * Makes one service as it should be. Without endpoints it is not made, and one that is there ends with its connections;
   * a service that is not wanted at all goes at once, and so do all endpoints of UDP.
   *
   * @param present the service as the kernel has it, undefined if it does not.
   */
  set(key: ServiceKey, wanted: Wanted, present: VirtualService | undefined): void {
    const name = formatService(key);
    this.#draining.delete(name);
    if (wanted === undefined) {
      if (present !== undefined) this.#ipvs.deleteService(key);
      return;
    }
    if (present === undefined && wanted.endpoints.length === 0) return;
    if (present === undefined || !this.#hasSettings(present, wanted.settings)) this.#put(key, wanted.settings);
    const destinations = present === undefined ? [] : this.#ipvs.destinations(key);
    const { missing, surplus } = compareDestinations(wanted.endpoints, destinations);
    for (const destination of missing) this.#ipvs.putDestination(key, destination);
    let waiting = 0;
    for (const destination of surplus) {
      if (isDatagram(key)) this.#ipvs.deleteDestination(key, destination);
      else waiting++;
      if (!isDatagram(key) && destination.weight > 0) this.#ipvs.putDestination(key, { ...destination, weight: 0 });
    }
    const last = wanted.endpoints.length === 0;
    if (waiting > 0) this.#draining.set(name, { key, last });
    else if (last) this.#ipvs.deleteService(key);
  }

  /** What differs at one service, in words; undefined: nothing. */
  compare(key: ServiceKey, wanted: Wanted, present: VirtualService | undefined): string | undefined {
    const name = formatService(key);
    if (wanted === undefined) return present && `virtual service ${name}: not ours`;
    if (present === undefined) return wanted.endpoints.length === 0 ? undefined : `virtual service ${name}: gone`;
    if (!this.#hasSettings(present, wanted.settings)) return `virtual service ${name}: its settings were changed`;
    const { missing, surplus } = compareDestinations(wanted.endpoints, this.#ipvs.destinations(key));
    const foreign = surplus.find(({ weight }) => weight > 0);
    if (missing.length > 0) return `virtual service ${name}: ${missing.length} destinations missing or changed`;
    return foreign && `virtual service ${name}: destination ${formatHostPort(foreign.address, foreign.port)}: not ours`;
  }

  /** Removes those of the waiting destinations that have no connections left. */
  drain(): void {
    for (const [name, { key, last }] of this.#draining) {
      const destinations = this.#ipvs.destinations(key);
      let waiting = 0;
      for (const destination of destinations) {
        if (destination.weight > 0) continue;
        if (destination.active + destination.inactive > 0) waiting++;
        else this.#ipvs.deleteDestination(key, destination);
      }
      if (waiting > 0) continue;
      this.#draining.delete(name);
      if (last) this.#ipvs.deleteService(key);
    }
  }

  #put(key: ServiceKey, settings: ServiceSettings): void {
    try {
      this.#ipvs.putService({ key, ...this.#available(settings) });
    } catch (error) {
      if (!isNotFound(error) || settings.scheduler === anyScheduler) throw error;
      this.#missing.add(settings.scheduler);
      this.#ipvs.putService({ key, ...this.#available(settings) });
    }
  }

  #available(settings: ServiceSettings): ServiceSettings {
    if (!this.#missing.has(settings.scheduler)) return settings;
    return { ...settings, scheduler: anyScheduler, flags: settings.flags & serviceFlag.persistent };
  }

  #hasSettings(present: ServiceSettings, settings: ServiceSettings): boolean {
    const wanted = this.#available(settings);
    const persistent = (wanted.flags & serviceFlag.persistent) !== 0;
    return (
      present.scheduler === wanted.scheduler &&
      (present.flags & ~serviceFlag.hashed) === wanted.flags &&
      (!persistent || present.timeout === wanted.timeout) &&
      present.netmask === wanted.netmask
    );
  }
}

/** Every endpoint gets the same share. */
function destinationOf({ address, port }: Endpoint): Destination {
  return { address, port, forwarding: "masquerade", weight: 1 };
}

function compareDestinations(
  endpoints: readonly Endpoint[],
  destinations: readonly CountedDestination[],
): { readonly missing: readonly Destination[]; readonly surplus: readonly CountedDestination[] } {
  const present = new Map(destinations.map((each) => [formatHostPort(each.address, each.port), each]));
  const missing: Destination[] = [];
  for (const endpoint of endpoints) {
    const name = formatHostPort(endpoint.address, endpoint.port);
    const found = present.get(name);
    present.delete(name);
    if (found?.weight !== 1 || found.forwarding !== "masquerade") missing.push(destinationOf(endpoint));
  }
  return { missing, surplus: [...present.values()] };
}

function isDatagram(key: ServiceKey): boolean {
  return key.kind === "address" && key.protocol === "UDP";
}
