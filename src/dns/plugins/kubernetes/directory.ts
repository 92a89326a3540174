/** The cluster as names see it: an index that each change of an object updates in time that the change is worth. */

import type { ObjectEvent } from "../../../kube/source.ts";
import type { Address } from "../../../net/address.ts";
import type { DnsNamespace, DnsPod, DnsService, DnsSlice } from "./objects.ts";

/** Values by key, of which most keys have one. */
class MultiMap<V> {
  readonly #values = new Map<string, V | V[]>();

  get(key: string): readonly V[] {
    const value = this.#values.get(key);
    return value === undefined ? [] : Array.isArray(value) ? value : [value];
  }

  add(key: string, value: V): void {
    const there = this.#values.get(key);
    if (there === undefined) this.#values.set(key, value);
    else if (Array.isArray(there)) there.push(value);
    else this.#values.set(key, [there, value]);
  }

  remove(key: string, value: V | undefined): void {
    const rest = this.get(key).filter((other) => other !== value);
    const [only] = rest;
    if (only === undefined) this.#values.delete(key);
    else this.#values.set(key, rest.length === 1 ? only : rest);
  }
}

/** Services, endpoints, namespaces and pods, found by name and by address. Keys of services are `name.namespace`. */
export class Directory {
  readonly #services = new Map<string, DnsService>();
  readonly #slices = new MultiMap<DnsSlice>();
  readonly #byClusterIP = new MultiMap<DnsService>();
  readonly #byExternalIP = new MultiMap<DnsService>();
  readonly #byEndpointIP = new MultiMap<DnsSlice>();
  readonly #podsByIP = new MultiMap<DnsPod>();
  readonly #namespaces = new Set<string>();
  /** Counts every change of a service or endpoint. */
  version = 0;

  /** A Service by `name.namespace`. */
  service(key: string): DnsService | undefined {
    return this.#services.get(key);
  }

  /** All Services. */
  services(): Iterable<DnsService> {
    return this.#services.values();
  }

  /** The slices of a Service by `name.namespace`. */
  slices(key: string): readonly DnsSlice[] {
    return this.#slices.get(key);
  }

  /** Services that have this cluster IP: one, but for moments of change. */
  servicesByClusterIP(address: Address): readonly DnsService[] {
    return this.#byClusterIP.get(address);
  }

  /** Services that have this external address. */
  servicesByExternalIP(address: Address): readonly DnsService[] {
    return this.#byExternalIP.get(address);
  }

  /** Slices with a ready endpoint of this address. */
  slicesByEndpointIP(address: Address): readonly DnsSlice[] {
    return this.#byEndpointIP.get(address);
  }

  /** Pods with this address. */
  podsByIP(address: Address): readonly DnsPod[] {
    return this.#podsByIP.get(address);
  }

  hasNamespace(name: string): boolean {
    return this.#namespaces.has(name);
  }

  changeNamespace(event: ObjectEvent<DnsNamespace>): void {
    if (event.type === "upsert") this.#namespaces.add(event.object.name);
    else this.#namespaces.delete(event.object.name);
  }

  changeService(event: ObjectEvent<DnsService>): void {
    const { type, object } = event;
    const old = before(event);
    const key = `${object.name}.${object.namespace}`;
    for (const address of old?.clusterIPs ?? []) this.#byClusterIP.remove(address, old);
    for (const address of old?.externalIPs ?? []) this.#byExternalIP.remove(address, old);
    this.version++;
    if (type === "delete") {
      this.#services.delete(key);
      return;
    }
    this.#services.set(key, object);
    for (const address of object.clusterIPs) this.#byClusterIP.add(address, object);
    for (const address of object.externalIPs) this.#byExternalIP.add(address, object);
  }

  changeSlice(event: ObjectEvent<DnsSlice>): void {
    const { type, object } = event;
    const old = before(event);
    if (old !== undefined) {
      this.#slices.remove(`${old.service}.${old.namespace}`, old);
      for (const address of addressesOf(old)) this.#byEndpointIP.remove(address, old);
    }
    this.version++;
    if (type === "delete") return;
    this.#slices.add(`${object.service}.${object.namespace}`, object);
    for (const address of addressesOf(object)) this.#byEndpointIP.add(address, object);
  }

  changePod(event: ObjectEvent<DnsPod>): void {
    const { type, object } = event;
    const old = before(event);
    for (const address of old?.addresses ?? []) this.#podsByIP.remove(address, old);
    if (type === "delete") return;
    for (const address of object.addresses) this.#podsByIP.add(address, object);
  }
}

/** The object before a change; undefined if it is new. */
function before<T>(event: ObjectEvent<T>): T | undefined {
  return event.type === "delete" ? event.object : event.previous;
}

function addressesOf(slice: DnsSlice): ReadonlySet<Address> {
  return new Set(slice.endpoints.map(({ address }) => address));
}
