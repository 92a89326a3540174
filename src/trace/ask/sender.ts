/** FROM: the place where a packet begins, or the interface by which it comes in. */
import type { Link } from "../../kernel/route/index.ts";
import { type Address, type Family, familyOf, isLoopback, parseAddress } from "../../net/address.ts";
import { prefixLength } from "../../net/prefix.ts";
import type { CheckedPod } from "../snapshot/objects.ts";
import type { Cluster } from "../walk/cluster.ts";
import type { End } from "../walk/wiring.ts";
import type { World } from "../walk/world.ts";
import { type Asking, addressesOf, findNode, findPod, needNode, unknown } from "./lookup.ts";
import type { From } from "./parse.ts";

/** What an address of somebody outside is taken for, where nobody says: one that is kept for examples (RFC 5737, 3849). */
const somebody = { IPv4: parseAddress("198.51.100.7"), IPv6: parseAddress("2001:db8::7") } as const;

/** Where it begins, once it is known where it goes. */
export interface Start {
  readonly families: readonly Family[];
  at(destination: Address): { readonly place?: string; readonly input?: string; readonly source?: Address };
}

/** Finds FROM. @throws {RangeError} a sentence that says what is not known. */
export function resolveFrom(cluster: Cluster, from: From, asking: Asking, targets: readonly Address[]): Start {
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
  if (findNode(cluster, pod.node) === undefined) {
    throw new RangeError(`${title} runs on node ${pod.node || "(none)"}, of which there is no snapshot`);
  }
  throw new RangeError(`${title} is not to be found on ${pod.node}: no route there leads to ${source} by a link`);
}

/** The node's end of the link to an address: by its route, or behind its bridge. */
export function entrance(world: World, address: Address): Link | undefined {
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
