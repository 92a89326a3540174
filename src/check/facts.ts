/** What checks look at: one node's snapshot and, where there are any, the objects of its cluster and its pods' namespaces. */
import type { Link } from "../kernel/route/index.ts";
import type { ListeningSocket } from "../kernel/sockets/listening.ts";
import { type Address, type Family, families, familyOf, isLoopback } from "../net/address.ts";
import { type Prefix, prefixAddress, prefixContains, prefixFamily, prefixLength, prefixOf } from "../net/prefix.ts";
import type { Snapshot } from "../trace/snapshot/index.ts";
import type { CheckedNode, ClusterObjects } from "../trace/snapshot/objects.ts";
import { chainsOf, type PlainChain } from "./chains.ts";
import { findProxies, type ProxyFound } from "./proxies.ts";
import type { Running } from "./running.ts";
import type { Workload } from "./workloads.ts";

/** The inside of a pod, where its namespace can be seen from the node. */
export interface PodInside {
  /** The namespace's name. */
  readonly namespace: string;
  /** The node's number for it, as its links have it. */
  readonly number: number;
  readonly addresses: readonly Address[];
  readonly links: readonly Link[];
  readonly sockets: readonly ListeningSocket[];
}

/** The facts about a node, and what follows from them for several checks. */
export class Facts {
  readonly snapshot: Snapshot;
  readonly cluster: ClusterObjects | undefined;
  /** Of other nodes of the cluster, where there are any. */
  readonly others: readonly Snapshot[];
  /** Of the pods; empty where they cannot be seen. */
  readonly insides: readonly PodInside[];
  /** What was seen of the machine while it ran; empty for snapshots. */
  readonly running: Running;
  /** What makes the pods; empty where it could not be read, and for snapshots. */
  readonly workloads: readonly Workload[];
  /** The Node object that has an address of this machine. */
  readonly node: CheckedNode | undefined;
  /** All chains with their rules, of both variants. */
  readonly chains: readonly PlainChain[];
  /** Who programmed Services here. */
  readonly proxies: readonly ProxyFound[];
  /** The prefixes of this node's pods, as its Node or the interfaces of its pods say. */
  readonly podPrefixes: readonly Prefix[];
  /** Bridges with pods as ports. */
  readonly podBridges: readonly Link[];
  /** The node's ends of the pods' wires. */
  readonly podLinks: readonly Link[];
  /** The links that the default routes of the main table leave by. */
  readonly uplinks: readonly Link[];

  constructor(
    snapshot: Snapshot,
    more: {
      /** Without them: those of the snapshot, if it has any. */
      readonly cluster?: ClusterObjects;
      readonly others?: readonly Snapshot[];
      /** Without them: those that the snapshot has as places. */
      readonly insides?: readonly PodInside[];
      readonly running?: Running;
      readonly workloads?: readonly Workload[];
    } = {},
  ) {
    this.snapshot = snapshot;
    this.cluster = more.cluster ?? snapshot.objects;
    this.others = more.others ?? [];
    this.running = more.running ?? {};
    this.workloads = more.workloads ?? [];
    const own = new Set(snapshot.addresses.map(({ address }) => address).filter((address) => !isLoopback(address)));
    this.node = this.cluster?.nodes.find(({ addresses }) => addresses.some((address) => own.has(address)));
    this.chains = chainsOf(snapshot);
    this.proxies = findProxies(snapshot, this.chains);
    this.podBridges = snapshot.links.filter((link) => this.#isPodBridge(link));
    const bridges = new Set(this.podBridges.map(({ index }) => index));
    const routed = this.#linksOfPodRoutes();
    this.podLinks = snapshot.links.filter(
      ({ kind, linkNamespace, master, index }) =>
        kind === "veth" &&
        linkNamespace !== undefined &&
        (master === undefined ? routed.has(index) : bridges.has(master)),
    );
    const podNumbers = new Set(this.podLinks.map(({ linkNamespace }) => linkNamespace));
    this.insides = (more.insides ?? insidesOf(snapshot)).filter(({ number }) => podNumbers.has(number));
    const fromBridges = snapshot.addresses
      .filter((each) => bridges.has(each.interface) && each.scope === 0)
      .map(({ address, prefixLength }) => prefixOf(address, prefixLength));
    this.podPrefixes = [...new Set([...(this.node?.podCIDRs ?? []), ...fromBridges])];
    const defaults = snapshot.routes.filter(
      ({ destination, table, type }) => prefixLength(destination) === 0 && table === 254 && type === "unicast",
    );
    const out = new Set(defaults.flatMap(({ nextHops }) => nextHops.map((hop) => hop.interface)));
    this.uplinks = snapshot.links.filter(({ index }) => out.has(index));
  }

  /** True if Services or pods are this machine's business. */
  get isNode(): boolean {
    return this.node !== undefined || this.proxies.length > 0;
  }

  /** Whether a time, in seconds since 1970, was less than so many seconds ago. */
  isRecent(time: number | undefined, seconds: number): boolean {
    return time !== undefined && Date.parse(this.snapshot.time) / 1000 - time < seconds;
  }

  sysctl(name: string): string | undefined {
    return this.snapshot.sysctls[name];
  }

  link(index: number | undefined): Link | undefined {
    return index === undefined ? undefined : this.snapshot.links.find((link) => link.index === index);
  }

  /** The families that this node's pods have. */
  get podFamilies(): readonly Family[] {
    return families.filter((family) => this.podPrefixes.some((prefix) => prefixFamily(prefix) === family));
  }

  /** Whether an address is of a pod of this node, as far as prefixes tell. */
  isPod(address: Address): boolean {
    return this.podPrefixes.some(
      (prefix) => prefixFamily(prefix) === familyOf(address) && prefixContains(prefix, address),
    );
  }

  #isPodBridge({ kind, index, name }: Link): boolean {
    if (kind !== "bridge") return false;
    const { links, addresses } = this.snapshot;
    if (!links.some((port) => port.master === index && port.linkNamespace !== undefined)) return false;
    if (/^(cni|cbr)\d+$|^kube-bridge$/.test(name)) return true;
    const cidrs = this.node?.podCIDRs ?? [];
    return addresses.some(
      (each) =>
        each.interface === index &&
        cidrs.some((cidr) => prefixFamily(cidr) === familyOf(each.address) && prefixContains(cidr, each.address)),
    );
  }

  /** Links with a route to one address alone that is a pod's: how Calico and the plugin `ptp` lead to pods. */
  #linksOfPodRoutes(): ReadonlySet<number> {
    const pods = new Set(this.cluster?.pods.flatMap(({ addresses }) => addresses) ?? []);
    const cidrs = this.node?.podCIDRs ?? [];
    const indexes = this.snapshot.routes.flatMap(({ destination, nextHops, table }) => {
      const address = prefixAddress(destination);
      const single = table === 254 && prefixLength(destination) === (familyOf(address) === "IPv4" ? 32 : 128);
      if (!single) return [];
      const isPod =
        pods.has(address) ||
        cidrs.some((cidr) => prefixFamily(cidr) === familyOf(address) && prefixContains(cidr, address));
      return isPod ? nextHops.map((hop) => hop.interface ?? -1) : [];
    });
    return new Set(indexes);
  }
}

/** The insides of namespaces that a snapshot has as places. */
function insidesOf({ namespaces = [], places = [] }: Snapshot): readonly PodInside[] {
  const byIdentity = new Map(places.map((place) => [place.identity, place]));
  return namespaces.flatMap(({ number, identity }) => {
    const place = byIdentity.get(identity);
    if (place === undefined) return [];
    const { name: namespace, links, sockets } = place;
    const addresses = place.addresses
      .filter(({ address, scope }) => scope === 0 && !isLoopback(address))
      .map(({ address }) => address);
    return [{ namespace, number, addresses, links, sockets }];
  });
}
