/** Turns what people write into the question of a walk: places, addresses, ports. Pure. */
import { closestName } from "../../config/problems.ts";
import type { Link } from "../../kernel/route/index.ts";
import { type Address, type Family, familyOf, isLinkLocal, isLoopback, parseAddress } from "../../net/address.ts";
import { prefixLength } from "../../net/prefix.ts";
import { type Protocol, protocolNumbers } from "../../net/protocol.ts";
import type { CheckedPod, CheckedService } from "../snapshot/objects.ts";
import type { Cluster, End } from "../walk/cluster.ts";
import type { Question } from "../walk/index.ts";
import type { World } from "../walk/world.ts";
import type { From, To } from "./parse.ts";

/** What an address of somebody outside is taken for, where nobody says: one that is kept for examples (RFC 5737, 3849). */
const somebody = { IPv4: parseAddress("198.51.100.7"), IPv6: parseAddress("2001:db8::7") } as const;

/** What the question is asked with. */
export interface Asking {
  /** The namespace of pods and Services that are named without one. */
  readonly namespace: string;
  /** The interface that the packet comes in by, if it was named. */
  readonly input?: string;
  /** The family that is wanted where both are possible. */
  readonly family?: Family;
}

/** The two ends of a question. */
export type Ends = Pick<Question, "place" | "input"> & {
  readonly packet: Pick<
    Question["packet"],
    "family" | "source" | "destination" | "protocol" | "destinationPort" | "icmpType"
  >;
};

/**
 * Finds the two ends.
 *
 * @throws {RangeError} a sentence that says what is not known, and what there is.
 */
export function resolveEnds(cluster: Cluster, from: From, to: To, asking: Asking): Ends {
  const target = resolveTo(cluster, to, asking);
  const start = resolveFrom(cluster, from, asking, target.addresses);
  const families = start.families;
  const destination =
    target.addresses.find((each) => (asking.family ?? families[0]) === familyOf(each)) ??
    target.addresses.find((each) => families.includes(familyOf(each)));
  const [first] = target.addresses;
  if (first === undefined) throw new RangeError(`${nameOf(to)} has no address`);
  if (destination === undefined) {
    throw new RangeError(`${nameOf(to)} is reached over ${familyOf(first)}, which the sender does not have`);
  }
  const family = familyOf(destination);
  const packet = { family, destination, ...layerOf(family, target) };
  const { place, input, source } = start.at(destination);
  return {
    ...(place !== undefined && { place }),
    ...(input !== undefined && { input }),
    packet: { ...packet, ...(source !== undefined && { source }) },
  };
}

interface Target {
  readonly addresses: readonly Address[];
  readonly protocol: Protocol | "ICMP";
  readonly port?: number;
}

function layerOf(family: Family, { protocol, port }: Target) {
  if (protocol === "ICMP")
    return family === "IPv4" ? { protocol: 1, icmpType: 8 } : ({ protocol: 58, icmpType: 128 } as const);
  return { protocol: protocolNumbers[protocol], ...(port !== undefined && { destinationPort: port }) };
}

function resolveTo(cluster: Cluster, to: To, asking: Asking): Target {
  const { end } = to;
  if (end.kind === "address") return withPort([end.address], to, to.port);
  const service = end.kind === "service" || end.kind === "any" ? findService(cluster, end, asking) : undefined;
  if (service !== undefined) return ofService(service, to);
  const pod = end.kind === "pod" || end.kind === "any" ? findPod(cluster, end, asking) : undefined;
  if (pod !== undefined) return ofPod(pod, to);
  const world = end.namespace === undefined ? findNode(cluster, end.name) : undefined;
  if (world !== undefined && end.kind !== "service") return withPort(nodeAddresses(cluster, world), to, to.port);
  const { services = [], pods = [] } = cluster.objects ?? {};
  const names = [...services, ...pods].map((each) => `${each.namespace}/${each.name}`);
  throw new RangeError(unknown(`TO ${nameOf(to)}`, cluster, names, `${end.namespace ?? asking.namespace}/${end.name}`));
}

function withPort(addresses: readonly Address[], to: To, port: number | string | undefined): Target {
  if (to.protocol === "icmp") return { addresses, protocol: "ICMP" };
  if (typeof port !== "number") throw new RangeError(`TO ${nameOf(to)}: say which port, as a number`);
  return { addresses, protocol: (to.protocol?.toUpperCase() as Protocol | undefined) ?? "TCP", port };
}

function ofService(service: CheckedService, to: To): Target {
  const title = `service ${service.namespace}/${service.name}`;
  const addresses = service.clusterIPs;
  if (addresses.length === 0) {
    throw new RangeError(
      `${title} has no address of its own (${service.type === "ExternalName" ? "ExternalName" : "headless"}): name one of its pods`,
    );
  }
  if (to.protocol === "icmp") return { addresses, protocol: "ICMP" };
  const protocol = to.protocol?.toUpperCase();
  const fitting = service.ports.filter(
    (port) =>
      (protocol === undefined || port.protocol === protocol) &&
      (to.port === undefined || port.name === to.port || port.port === to.port),
  );
  const [port] = fitting;
  const listed = service.ports.map((each) => `${each.name || "port"} ${each.port}/${each.protocol.toLowerCase()}`);
  if (port !== undefined && (fitting.length === 1 || to.port !== undefined)) {
    return { addresses, protocol: port.protocol, port: port.port };
  }
  if (to.port === undefined) throw new RangeError(`${title} has several ports: say which of ${listed.join(", ")}`);
  // A port that the Service does not have is a question, too.
  if (typeof to.port === "number") return withPort(addresses, to, to.port);
  throw new RangeError(`${title} has no port ${to.port}: there are ${listed.join(", ")}`);
}

function ofPod(pod: CheckedPod, to: To): Target {
  if (typeof to.port === "number" || to.protocol === "icmp") return withPort(pod.addresses, to, to.port);
  const wanted = to.protocol?.toUpperCase();
  const fitting = pod.ports.filter(
    (each) => (to.port === undefined || each.name === to.port) && (wanted === undefined || each.protocol === wanted),
  );
  const [port] = fitting;
  if (port === undefined || (to.port === undefined && fitting.length > 1)) {
    const listed = pod.ports.map((each) => `${each.name || "port"} ${each.port}/${each.protocol.toLowerCase()}`);
    throw new RangeError(
      `pod ${pod.namespace}/${pod.name}: say which port${listed.length === 0 ? ", as a number" : `: ${listed.join(", ")}`}`,
    );
  }
  return { addresses: pod.addresses, protocol: port.protocol, port: port.port };
}

interface Start {
  readonly families: readonly Family[];
  at(destination: Address): { readonly place?: string; readonly input?: string; readonly source?: Address };
}

function resolveFrom(cluster: Cluster, from: From, asking: Asking, targets: readonly Address[]): Start {
  if (asking.input !== undefined) return throughInput(cluster, from, asking.input);
  switch (from.kind) {
    case "node":
      return at(from.name === undefined ? thisNode(cluster) : needNode(cluster, from.name));
    case "outside": {
      const outside = cluster.worlds.find(({ place }) => place === "outside");
      return outside === undefined ? stranger(cluster, undefined) : at(outside);
    }
    case "address": {
      const [owner] = cluster.owners(from.address);
      if (owner !== undefined || isLoopback(from.address)) return at(owner?.world ?? thisNode(cluster), from.address);
      return stranger(cluster, from.address);
    }
    default: {
      const node = from.namespace === undefined && from.kind === "any" ? findNode(cluster, from.name) : undefined;
      const pod = findPod(cluster, from, asking);
      if (pod !== undefined) return fromPod(cluster, pod, targets);
      if (node !== undefined) return at(node);
      const names = (cluster.objects?.pods ?? []).map((each) => `${each.namespace}/${each.name}`);
      const wanted = `${from.namespace ?? asking.namespace}/${from.name}`;
      throw new RangeError(
        unknown(`FROM ${from.namespace === undefined ? "" : `${from.namespace}/`}${from.name}`, cluster, names, wanted),
      );
    }
  }
}

/** A program of a place. */
function at(world: World, source?: Address): Start {
  const own = source === undefined ? addressesOf(world).map(familyOf) : [familyOf(source)];
  return { families: [...new Set(own)], at: () => ({ place: world.place, ...(source !== undefined && { source }) }) };
}

/** A packet that comes in by an interface of the first place that has it. */
function throughInput(cluster: Cluster, from: From, input: string): Start {
  if (from.kind !== "address") throw new RangeError("--in needs the sender's address as FROM");
  const world = cluster.worlds.find((each) => each.linkNamed(input) !== undefined);
  if (world === undefined) throw new RangeError(`there is no interface ${input}`);
  const { address } = from;
  return { families: [familyOf(address)], at: () => ({ place: world.place, input, source: address }) };
}

function fromPod(cluster: Cluster, pod: CheckedPod, targets: readonly Address[]): Start {
  const title = `pod ${pod.namespace}/${pod.name}`;
  if (pod.addresses.length === 0) throw new RangeError(`${title} has no address (${pod.phase || "not started"})`);
  const inside = cluster.worlds.find(({ place }) => place === `${pod.namespace}/${pod.name}`);
  if (inside !== undefined) return at(inside);
  const host = pod.hostNetwork ? cluster.owners(pod.addresses[0] ?? ("" as Address))[0]?.world : undefined;
  if (host !== undefined) return at(host);
  // The pod itself is in no snapshot: it begins at its node's end of the link.
  const family = targets.map(familyOf).find((each) => pod.addresses.some((address) => familyOf(address) === each));
  const source = pod.addresses.find((address) => familyOf(address) === family) ?? pod.addresses[0];
  for (const world of cluster.worlds.filter(({ role }) => role === "node")) {
    const link = source === undefined ? undefined : entrance(world, source);
    if (link === undefined || source === undefined) continue;
    return { families: [familyOf(source)], at: () => ({ place: world.place, input: link.name, source }) };
  }
  throw new RangeError(`${title} runs on node ${pod.node || "(none)"}, of which there is no snapshot`);
}

/** The node's end of the link to an address: by its route, or behind its bridge. */
function entrance(world: World, address: Address): Link | undefined {
  const answer = world.routing.find({ destination: address, mark: 0 });
  const hop = answer.kind === "route" && answer.route.type === "unicast" ? answer.route.nextHops[0] : undefined;
  const link = world.link(hop?.interface);
  if (link === undefined || hop?.gateway !== undefined) return undefined;
  if (link.kind !== "bridge") return link;
  const mac = world.neighbour(link.index, address)?.mac;
  const entry = mac === undefined ? undefined : world.forwarding(link.index, mac)[0];
  return world.link(entry?.interface) ?? world.ports(link.index)[0];
}

/** Somebody of whom there is no snapshot: the packet comes in where the destination is, or by the node's way out. */
function stranger(cluster: Cluster, source: Address | undefined): Start {
  return {
    families: source === undefined ? ["IPv4", "IPv6"] : [familyOf(source)],
    at: (destination) => {
      const from = source ?? somebody[familyOf(destination)];
      const behind = source === undefined ? undefined : podEnd(cluster, source);
      const end = behind ?? outerEnd(cluster, destination);
      return { place: end.world.place, input: end.link.name, source: from };
    },
  };
}

/** Where an address comes in that is on a link of a node without a snapshot of its own: a pod's. */
function podEnd(cluster: Cluster, address: Address): End | undefined {
  for (const world of cluster.worlds.filter(({ role }) => role === "node")) {
    const answer = world.routing.find({ destination: address, mark: 0 });
    const hop = answer.kind === "route" && answer.route.type === "unicast" ? answer.route.nextHops[0] : undefined;
    const link = world.link(hop?.interface);
    const near = hop?.gateway === undefined && (link?.kind === "bridge" || link?.kind === "veth");
    if (!near || answer.kind !== "route" || prefixLength(answer.route.destination) === 0) continue;
    const found = entrance(world, address);
    if (found !== undefined) return { world, link: found };
  }
  return undefined;
}

function outerEnd(cluster: Cluster, destination: Address): End {
  const nodes = cluster.worlds.filter(({ role }) => role === "node");
  const owner = cluster.owners(destination).find(({ world, link }) => world.role === "node" && link.kind !== "bridge");
  const candidates = owner === undefined ? nodes : [owner.world, ...nodes];
  for (const world of candidates) {
    if (owner?.world === world) return owner;
    const anywhere = familyOf(destination) === "IPv4" ? somebody.IPv4 : somebody.IPv6;
    const answer = world.routing.find({ destination: anywhere, mark: 0 });
    const link = answer.kind === "route" ? world.link(answer.route.nextHops[0]?.interface) : undefined;
    if (link !== undefined && !link.loopback) return { world, link };
  }
  throw new RangeError("no node has a way out by which somebody outside could come in: name it with --in");
}

function thisNode(cluster: Cluster): World {
  const nodes = cluster.worlds.filter(({ role }) => role === "node");
  const [first] = cluster.worlds;
  if (first === undefined) throw new RangeError("there is no snapshot");
  // Of a live machine the first is the machine itself; of files none stands out.
  if (nodes.length > 1 && cluster.documents > 1) {
    throw new RangeError(`FROM node: say which: ${nodes.map(({ place }) => place).join(", ")}`);
  }
  return first;
}

function findNode(cluster: Cluster, name: string): World | undefined {
  return cluster.worlds.find((world) => world.role !== "pod" && world.place === name);
}

function needNode(cluster: Cluster, name: string): World {
  const found = findNode(cluster, name);
  if (found !== undefined) return found;
  const nodes = cluster.worlds.filter(({ role }) => role !== "pod").map(({ place }) => place);
  throw new RangeError(`there is no node ${name} in the snapshots: there are ${nodes.join(", ")}`);
}

type Named = { readonly namespace?: string; readonly name: string };

function findService(cluster: Cluster, named: Named, { namespace }: Asking): CheckedService | undefined {
  const wanted = named.namespace ?? namespace;
  return cluster.objects?.services.find((each) => each.name === named.name && each.namespace === wanted);
}

/** A pod of that name, or the first whose name begins so up to a dash: a Deployment's. */
function findPod(cluster: Cluster, named: Named, { namespace }: Asking): CheckedPod | undefined {
  const wanted = named.namespace ?? namespace;
  const pods = (cluster.objects?.pods ?? []).filter((each) => each.namespace === wanted);
  const live = pods.filter(({ addresses, deleting }) => addresses.length > 0 && !deleting);
  return (
    pods.find(({ name }) => name === named.name) ??
    live.find(({ name }) => name.startsWith(`${named.name}-`)) ??
    pods.find(({ name }) => name.startsWith(`${named.name}-`))
  );
}

/** Those that the API knows a node by, else all of its own. */
function nodeAddresses(cluster: Cluster, world: World): readonly Address[] {
  const known = cluster.objects?.nodes.find(({ name }) => name === world.place)?.addresses ?? [];
  return known.length > 0 ? known : addressesOf(world);
}

function addressesOf({ snapshot }: World): readonly Address[] {
  return snapshot.addresses
    .filter(({ address, scope }) => scope === 0 && !isLoopback(address) && !isLinkLocal(address))
    .map(({ address }) => address)
    .toSorted((a, b) => Number(a.includes(":")) - Number(b.includes(":")));
}

function nameOf({ end }: To): string {
  if (end.kind === "address") return end.address;
  return end.namespace === undefined ? end.name : `${end.namespace}/${end.name}`;
}

function unknown(what: string, cluster: Cluster, names: readonly string[], wanted: string): string {
  if (cluster.objects === undefined) {
    const places = cluster.worlds.slice(0, 20).map(({ place }) => place);
    return `${what}: pods and Services have no names here without the cluster's API: name it with --kubeconfig, or give an address. Places: ${places.join(", ")}`;
  }
  const meant = closestName(wanted, names);
  const some = names.slice(0, 12);
  const rest = names.length - some.length;
  const hint =
    meant === undefined
      ? `there are ${some.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`
      : `did you mean ${meant}?`;
  return `${what}: there is none of that name: ${hint}`;
}
