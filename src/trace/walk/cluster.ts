/** Several snapshots made one: places with their names, and how links join them. */
import type { MacAddress } from "../../kernel/route/index.ts";
import { type Address, isLoopback } from "../../net/address.ts";
import type { ClusterObjects } from "../snapshot/objects.ts";
import type { Snapshot } from "../snapshot/types.ts";
import type { PlaceRole } from "./state.ts";
import { type End, Wiring } from "./wiring.ts";
import { Budget, World } from "./world.ts";

/** The places of a walk. */
export class Cluster {
  readonly worlds: readonly World[];
  readonly objects: ClusterObjects | undefined;
  /** The snapshots that were given, each with the places in it. */
  readonly documents: number;
  readonly wiring: Wiring;
  readonly #owners = new Map<Address, End[]>();

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
    this.wiring = new Wiring(this.worlds);
    for (const world of this.worlds) {
      for (const { address, interface: index } of world.snapshot.addresses) {
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

  /**
   * Whoever has an address on a link whose other end is not known: the wire between machines. Links that lead to a place
   * that is known are not on it.
   */
  acrossTheWire(from: World, address: Address): End | undefined {
    const found = this.owners(address).filter(
      (end) => end.world !== from && this.wiring.isOutward(end) && !sameMachine(from, end.world),
    );
    return found.length === 1 ? found[0] : undefined;
  }

  /** The places on whose links a hardware address is. */
  ownersOfMac(mac: MacAddress): readonly End[] {
    return this.worlds.flatMap((world) =>
      world.snapshot.links.filter((link) => link.mac === mac).map((link) => ({ world, link })),
    );
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
