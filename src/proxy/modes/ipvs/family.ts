/** One family of the ipvs mode: decisions into sets, addresses and virtual services, in an order that refuses nobody. */
import type { Ipsets } from "../../../kernel/ipset/index.ts";
import { type Entry, formatEntry } from "../../../kernel/ipset/index.ts";
import {
  formatService,
  type Ipvs,
  type ServiceKey,
  serviceFamily,
  type VirtualService,
} from "../../../kernel/ipvs/index.ts";
import type { NetlinkSocket } from "../../../kernel/netlink/index.ts";
import type { Address, Family } from "../../../net/address.ts";
import { type Prefix, prefixContains } from "../../../net/prefix.ts";
import type { Decision, DecisionKey } from "../../../service/decision.ts";
import { Balancer } from "./balancer.ts";
import { placeOf } from "./compile.ts";
import { bindAddress, ensureDevice, readAddresses, releaseAddress } from "./device.ts";
import { headerOf, type Member, nameIn, type SetName, setNames } from "./sets.ts";
import { idOf, type State } from "./state.ts";

/** Handles of the kernel. */
export interface Kernel {
  readonly ipvs: Ipvs;
  readonly ipsets: Ipsets;
  readonly route: NetlinkSocket;
}

/** Handles of what the kernel has. */
export interface PartialKernel {
  readonly ipvs: Ipvs | undefined;
  readonly ipsets: Ipsets | undefined;
  readonly route: NetlinkSocket;
}

/** A change of a decision; undefined: it is gone. */
export type Change = readonly [DecisionKey, Decision | undefined];

/** What of a family is in the kernel beside rules. */
export interface Content {
  readonly members: readonly Member[];
  readonly bound: readonly Address[];
  /** All virtual services of the family, whoever made them. */
  readonly services: readonly VirtualService[];
}

/** Reads what is in the kernel; what it cannot have is not there. */
export function readContent(kernel: PartialKernel, family: Family): Content {
  const known = new Map(setNames.map((set) => [nameIn(set, family), set]));
  const members: Member[] = [];
  for (const { name, type, entries } of kernel.ipsets?.list() ?? []) {
    const set = known.get(name);
    if (set === undefined || headerOf(set, family).type !== type) continue;
    for (const entry of entries) members.push({ set, entry });
  }
  return {
    members,
    bound: readAddresses(kernel.route, family).bound,
    services: (kernel.ipvs?.services() ?? []).filter(({ key }) => serviceFamily(key) === family),
  };
}

/**
 * Those virtual services that this mode, or kube-proxy's, has made: on an address of kube-ipvs0, or as the sets say.
 * Sets are filled before services are made, and emptied after they are gone.
 */
export function ownServices(content: Content, excluded: readonly Prefix[]): readonly VirtualService[] {
  const bound = new Set([...content.bound, ...addressesIn(content.members)]);
  const ids = new Set(content.members.map(idOf));
  return content.services.filter(({ key }) => {
    if (key.kind === "mark" || excluded.some((prefix) => prefixContains(prefix, key.address))) return false;
    return bound.has(key.address) || signsOf(key).some((member) => ids.has(idOf(member)));
  });
}

/** The entries of sets of which each one, where it is there, tells that a virtual service is ours. */
export function signsOf({ address, protocol, port }: ServiceKey & { readonly kind: "address" }): readonly Member[] {
  const entry: Entry = { type: "hash:ip,port", address, protocol, port };
  const nodePort: Member =
    protocol === "SCTP"
      ? { set: "KUBE-NODE-PORT-SCTP-HASH", entry }
      : { set: `KUBE-NODE-PORT-${protocol}`, entry: { type: "bitmap:port", port } };
  return [
    { set: "KUBE-IPVS-IPS", entry: { type: "hash:ip", address } },
    { set: "KUBE-CLUSTER-IP", entry },
    { set: "KUBE-EXTERNAL-IP", entry },
    { set: "KUBE-EXTERNAL-IP-LOCAL", entry },
    { set: "KUBE-LOAD-BALANCER", entry },
    nodePort,
  ];
}

/** A family that is served. */
export class ServedFamily {
  readonly #family: Family;
  readonly #kernel: Kernel;
  readonly #state: State;
  readonly #excluded: readonly Prefix[];
  readonly #balancer: Balancer;
  #device = 0;

  /** @param state empty. */
  constructor(family: Family, kernel: Kernel, state: State, excluded: readonly Prefix[]) {
    this.#family = family;
    this.#kernel = kernel;
    this.#state = state;
    this.#excluded = excluded;
    this.#balancer = new Balancer(kernel.ipvs);
  }

  /** Whether destinations wait for the end of their connections. */
  get isDraining(): boolean {
    return this.#balancer.isDraining;
  }

  /** Removes those that wait no more. */
  drain(): void {
    this.#balancer.drain();
  }

  /** Makes the sets, so that rules can name them. */
  makeSets(): void {
    for (const set of setNames) this.#kernel.ipsets.create(headerOf(set, this.#family));
  }

  /** The first part of a replacement: everything that is wanted is there. Yields now and then. */
  *begin(changes: Iterable<Change>): Generator<undefined, Leftover> {
    const { ipsets, route } = this.#kernel;
    this.#device = ensureDevice(route);
    const content = readContent(this.#kernel, this.#family);
    for (const change of changes) {
      this.#state.change([change]);
      yield;
    }
    const wanted = new Map<string, Member>();
    for (const member of this.#state.members()) wanted.set(idOf(member), member);
    const surplus: Member[] = [];
    const own = ownServices(content, this.#excluded);
    for (const member of content.members) if (!wanted.delete(idOf(member))) surplus.push(member);
    yield;
    // Whom the rules refuse from now on may have been served until now; whom they stop refusing must be served first.
    eachSet(wanted.values(), (set, entries) => ipsets.add(nameIn(set, this.#family), entries));
    const present = new Map(content.services.map((service) => [formatService(service.key), service]));
    for (const claim of this.#state.claims()) {
      this.#balancer.set(claim.key, claim, present.get(formatService(claim.key)));
      yield;
    }
    const unbound = new Set(content.bound);
    for (const address of this.#addresses()) {
      if (unbound.delete(address)) continue;
      bindAddress(route, this.#device, address);
      yield;
    }
    const gone = own.filter(({ key }) => key.kind === "address" && this.#state.at(placeOf(key)) === undefined);
    return { services: gone, addresses: [...unbound], members: surplus };
  }

  /** The last part of a replacement, once the rules are there too: what is not wanted goes. */
  *end(leftover: Leftover): Generator<undefined, void> {
    for (const { key } of leftover.services) {
      this.#kernel.ipvs.deleteService(key);
      yield;
    }
    for (const address of leftover.addresses) {
      releaseAddress(this.#kernel.route, this.#device, address);
      yield;
    }
    eachSet(leftover.members, (set, entries) => this.#kernel.ipsets.delete(nameIn(set, this.#family), entries));
  }

  /** Carries out changes. */
  *apply(changes: readonly Change[]): Generator<undefined, void> {
    const { ipsets, route, ipvs } = this.#kernel;
    const { places, added, removed } = this.#state.change(changes);
    eachSet(added, (set, entries) => ipsets.add(nameIn(set, this.#family), entries));
    for (const { key, claim } of places.values()) {
      this.#balancer.set(key, claim, ipvs.service(key));
      yield;
    }
    for (const address of addressesIn(added)) bindAddress(route, this.#device, address);
    for (const address of addressesIn(removed)) releaseAddress(route, this.#device, address);
    eachSet(removed, (set, entries) => ipsets.delete(nameIn(set, this.#family), entries));
  }

  /** What in the kernel is not as it should be, in words. */
  *audit(): Generator<undefined, readonly string[]> {
    const content = readContent(this.#kernel, this.#family);
    const found: string[] = [];
    const wanted = new Map<string, Member>();
    for (const member of this.#state.members()) wanted.set(idOf(member), member);
    const foreign = content.members.filter((member) => !wanted.delete(idOf(member)));
    eachSet(wanted.values(), (set, entries) => {
      found.push(`set ${nameIn(set, this.#family)}: ${describeEntries(entries)} missing`);
    });
    eachSet(foreign, (set, entries) => {
      found.push(`set ${nameIn(set, this.#family)}: ${describeEntries(entries)} not ours`);
    });
    yield;
    const bound = new Set(content.bound);
    for (const address of this.#addresses()) if (!bound.delete(address)) found.push(`address ${address}: gone`);
    for (const address of bound) found.push(`address ${address}: not ours`);
    const present = new Map(content.services.map((service) => [formatService(service.key), service]));
    for (const claim of this.#state.claims()) {
      const what = this.#balancer.compare(claim.key, claim, present.get(formatService(claim.key)));
      if (what !== undefined) found.push(what);
      yield;
    }
    for (const { key } of ownServices(content, this.#excluded)) {
      if (key.kind === "address" && this.#state.at(placeOf(key)) !== undefined) continue;
      found.push(`virtual service ${formatService(key)}: not ours`);
    }
    return found;
  }

  /** The addresses that the interface should have. */
  #addresses(): readonly Address[] {
    return addressesIn(this.#state.members());
  }
}

/** What a replacement found and nobody wants. */
export interface Leftover {
  readonly services: readonly VirtualService[];
  readonly addresses: readonly Address[];
  readonly members: readonly Member[];
}

/** The addresses of services are those in the set of them. */
function addressesIn(members: Iterable<Member>): Address[] {
  const addresses: Address[] = [];
  for (const { set, entry } of members) {
    if (set === "KUBE-IPVS-IPS" && entry.type === "hash:ip") addresses.push(entry.address);
  }
  return addresses;
}

/** Does something for each set that members belong to. */
export function eachSet(members: Iterable<Member>, work: (set: SetName, entries: readonly Entry[]) => void): void {
  const bySet = new Map<SetName, Entry[]>();
  for (const { set, entry } of members) {
    const entries = bySet.get(set);
    if (entries === undefined) bySet.set(set, [entry]);
    else entries.push(entry);
  }
  for (const [set, entries] of bySet) work(set, entries);
}

function describeEntries(entries: readonly Entry[]): string {
  const [first] = entries;
  if (entries.length === 1 && first !== undefined) return `entry ${formatEntry(first)}`;
  return `${entries.length} entries`;
}
