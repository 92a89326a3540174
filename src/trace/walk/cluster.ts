/** Several snapshots made one: places with their names, and how links join them. */
import type { Link, MacAddress } from "../../kernel/route/index.ts";
import { type Address, isLoopback } from "../../net/address.ts";
import type { ClusterObjects } from "../snapshot/objects.ts";
import type { Snapshot } from "../snapshot/types.ts";
import type { PlaceRole } from "./state.ts";
import { Budget, World } from "./world.ts";

/** A link of a place. */
export interface End {
  readonly world: World;
  readonly link: Link;
}

/** All that hears a broadcast on a link. */
export interface Segment {
  /** The links at which somebody may answer. */
  readonly stations: readonly End[];
  /** It goes on where no snapshot was taken. */
  readonly open: boolean;
}

/** The places of a walk. */
export class Cluster {
  readonly worlds: readonly World[];
  readonly objects: ClusterObjects | undefined;
  /** The snapshots that were given, each with the places in it. */
  readonly documents: number;
  readonly #byIdentity = new Map<string, World>();
  readonly #peers = new Map<World, ReadonlyMap<number, string>>();
  readonly #owners = new Map<Address, End[]>();
  readonly #segments = new Map<Link, Segment>();

  /** @param steps how much work is done at most: see {@link Budget}. */
  constructor(snapshots: readonly Snapshot[], steps: number) {
    const budget = new Budget(steps);
    this.objects = newest(snapshots.filter(({ objects }) => objects !== undefined))?.objects;
    this.documents = snapshots.length;
    const heads = new Set<Snapshot>(snapshots);
    const places = withoutRepetition(snapshots.flatMap((each) => [each, ...(each.places ?? [])]));
    const taken = new Set<string>();
    this.worlds = places.map((snapshot) => {
      const { title, role } = nameOf(snapshot, this.objects, heads.has(snapshot));
      let place = title;
      for (let n = 2; taken.has(place); n++) place = `${title} (${n})`;
      taken.add(place);
      return new World(snapshot, { budget, place, role });
    });
    for (const world of this.worlds) {
      const { identity, namespaces = [], addresses } = world.snapshot;
      if (identity !== undefined) this.#byIdentity.set(identity, world);
      this.#peers.set(world, new Map(namespaces.map((each) => [each.number, each.identity])));
      for (const { address, interface: index } of addresses) {
        const link = world.link(index);
        if (link === undefined || isLoopback(address)) continue;
        const list = this.#owners.get(address);
        if (list === undefined) this.#owners.set(address, [{ world, link }]);
        else list.push({ world, link });
      }
    }
  }

  /** The place that is called so. */
  world(place: string): World | undefined {
    return this.worlds.find((each) => each.place === place);
  }

  /** The links that have an address. */
  owners(address: Address): readonly End[] {
    return this.#owners.get(address) ?? [];
  }

  /** The other end of a pair of links; undefined where it is in no snapshot. */
  peer({ world, link }: End): End | undefined {
    const { link: index, linkNamespace } = link;
    if (link.kind !== "veth" || index === undefined) return undefined;
    const at = (there: World | undefined): End | undefined => {
      const other = there?.link(index);
      return there !== undefined && other?.kind === "veth" && other.link === link.index
        ? { world: there, link: other }
        : undefined;
    };
    if (linkNamespace === undefined) return at(world);
    const identity = this.#peers.get(world)?.get(linkNamespace);
    if (identity !== undefined) return at(this.#byIdentity.get(identity));
    // Nobody wrote down whose the number is: a place is taken if it is the only one that fits.
    const fitting = this.worlds.filter((each) => {
      const other = each === world ? undefined : at(each);
      if (other?.link.linkNamespace === undefined) return false;
      const back = this.#peers.get(each)?.get(other.link.linkNamespace);
      return back === undefined || back === world.snapshot.identity;
    });
    return fitting.length === 1 ? at(fitting[0]) : undefined;
  }

  /** All that a broadcast reaches which leaves by a link. */
  segment(start: End): Segment {
    const known = this.#segments.get(start.link);
    if (known !== undefined) return known;
    const stations: End[] = [];
    let open = false;
    const seen = new Set<Link>([start.link]);
    const waiting: End[] = [];
    const wires = ({ world, link }: End) => {
      // A bridge has a wire for each port; anything else is one itself.
      const ends = link.kind === "bridge" ? world.ports(link.index).map((port) => ({ world, link: port })) : [start];
      for (const end of ends) {
        const peer = this.peer(end);
        if (peer === undefined) open = true;
        else if (!seen.has(peer.link)) waiting.push(peer);
        seen.add(end.link);
      }
    };
    wires(start);
    for (let end = waiting.pop(); end !== undefined; end = waiting.pop()) {
      if (seen.has(end.link)) continue;
      seen.add(end.link);
      const master = end.world.link(end.link.master);
      if (master === undefined) {
        stations.push(end);
        continue;
      }
      if (master.kind !== "bridge") {
        open = true;
        continue;
      }
      if (seen.has(master)) continue;
      seen.add(master);
      const bridge = { world: end.world, link: master };
      stations.push(bridge);
      wires(bridge);
    }
    const segment = { stations, open };
    this.#segments.set(start.link, segment);
    return segment;
  }

  /**
   * Whoever has an address on a link whose other end is not known: the wire between machines. Links that lead to a place
   * that is known are not on it.
   */
  acrossTheWire(from: World, address: Address): End | undefined {
    const found = this.owners(address).filter(
      (end) => end.world !== from && this.#isOutward(end) && !sameMachine(from, end.world),
    );
    return found.length === 1 ? found[0] : undefined;
  }

  /** The places on whose links a hardware address is. */
  ownersOfMac(mac: MacAddress): readonly End[] {
    return this.worlds.flatMap((world) =>
      world.snapshot.links.filter((link) => link.mac === mac).map((link) => ({ world, link })),
    );
  }

  #isOutward(end: End): boolean {
    if (end.link.kind === "bridge") return this.segment(end).open;
    return this.peer(end) === undefined;
  }
}

/** Documents of different machines, as far as they say. */
function sameMachine(a: World, b: World): boolean {
  const machine = ({ snapshot: { identity } }: World) => identity?.split("/")[0];
  return machine(a) !== undefined && machine(a) === machine(b);
}

/** The same namespace may be in several documents: the newest counts. */
function withoutRepetition(snapshots: readonly Snapshot[]): readonly Snapshot[] {
  const kept = new Map<string | Snapshot, Snapshot>();
  for (const snapshot of snapshots) {
    const key = snapshot.identity ?? snapshot;
    const before = kept.get(key);
    // A node with its pods stays where it stands, whatever it was found in later.
    if (before === undefined || (before.time < snapshot.time && before.places === undefined)) kept.set(key, snapshot);
  }
  return [...kept.values()];
}

function newest(snapshots: readonly Snapshot[]): Snapshot | undefined {
  return snapshots.toSorted((a, b) => a.time.localeCompare(b.time)).at(-1);
}

/** What people call a place: by the Pod or Node whose address it has, else as the namespace is called. */
function nameOf(
  snapshot: Snapshot,
  objects: ClusterObjects | undefined,
  isHead: boolean,
): { readonly title: string; readonly role: PlaceRole } {
  const own = new Set(snapshot.addresses.map(({ address }) => address));
  const has = ({ addresses }: { readonly addresses: readonly Address[] }) =>
    addresses.some((address) => own.has(address));
  const node = objects?.nodes.find(has);
  if (node !== undefined) return { title: node.name, role: "node" };
  const pod = objects?.pods.find((each) => !each.hostNetwork && has(each));
  if (pod !== undefined) return { title: `${pod.namespace}/${pod.name}`, role: "pod" };
  const name = /\/proc\/(\d+)\//.exec(snapshot.name)?.[1];
  return { title: name === undefined ? snapshot.name : `process ${name}`, role: isHead ? "node" : "other" };
}
