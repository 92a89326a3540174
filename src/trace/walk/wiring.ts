/** How the links of places join: pairs, links upon other links, and who hears whom. */
import type { Link } from "../../kernel/route/index.ts";
import type { World } from "./world.ts";

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

/** Kinds of links whose field `link` names the one below. */
const upper = new Set(["macvlan", "vlan"]);

/** The links of some places. */
export class Wiring {
  readonly #worlds: readonly World[];
  readonly #byIdentity = new Map<string, World>();
  /** What each place calls the others. */
  readonly #numbers = new Map<World, ReadonlyMap<number, string>>();
  readonly #segments = new Map<Link, Segment>();
  readonly #above = new Map<Link, End[]>();

  constructor(worlds: readonly World[]) {
    this.#worlds = worlds;
    for (const world of worlds) {
      const { identity, namespaces = [] } = world.snapshot;
      if (identity !== undefined) this.#byIdentity.set(identity, world);
      this.#numbers.set(world, new Map(namespaces.map((each) => [each.number, each.identity])));
    }
    for (const world of worlds) {
      for (const link of world.snapshot.links) {
        const below = this.below({ world, link });
        if (below === undefined) continue;
        this.#above.set(below.link, [...this.above(below), { world, link }]);
      }
    }
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
    const identity = this.#numbers.get(world)?.get(linkNamespace);
    if (identity !== undefined) return at(this.#byIdentity.get(identity));
    // Nobody wrote down whose the number is: a place is taken if it is the only one that fits.
    const fitting = this.#worlds.filter((each) => {
      const other = each === world ? undefined : at(each);
      if (other?.link.linkNamespace === undefined) return false;
      const back = this.#numbers.get(each)?.get(other.link.linkNamespace);
      return back === undefined || back === world.snapshot.identity;
    });
    return fitting.length === 1 ? at(fitting[0]) : undefined;
  }

  /** The link that a macvlan or VLAN is on; undefined for other links, and where it is in no snapshot. */
  below({ world, link }: End): End | undefined {
    if (!upper.has(link.kind ?? "") || link.link === undefined) return undefined;
    const { linkNamespace } = link;
    const identity = linkNamespace === undefined ? undefined : this.#numbers.get(world)?.get(linkNamespace);
    const there =
      linkNamespace === undefined ? world : identity === undefined ? undefined : this.#byIdentity.get(identity);
    const found = there?.link(link.link);
    return there === undefined || found === undefined ? undefined : { world: there, link: found };
  }

  /** The macvlans and VLANs that are on a link. */
  above({ link }: End): readonly End[] {
    return this.#above.get(link) ?? [];
  }

  /** The macvlans on the same link that a macvlan reaches without leaving it: those of mode bridge, from one of them. */
  siblings(end: End): readonly End[] {
    const below = this.below(end);
    if (below === undefined || !inBridgeMode(end)) return [];
    return this.above(below).filter((each) => each.link !== end.link && inBridgeMode(each));
  }

  /** All that a broadcast reaches which leaves by a link. */
  segment(start: End): Segment {
    const known = this.#segments.get(start.link);
    if (known !== undefined) return known;
    const stations: End[] = [];
    const seen = new Set<Link>([start.link]);
    let { ends: waiting, open } = this.#heard(start, seen);
    for (let end = waiting.pop(); end !== undefined; end = waiting.pop()) {
      if (seen.has(end.link)) continue;
      seen.add(end.link);
      const master = end.world.link(end.link.master);
      if (master === undefined || master.kind === "bond") {
        const station = { world: end.world, link: master ?? end.link };
        if (master !== undefined && seen.has(master)) continue;
        seen.add(station.link);
        stations.push(station, ...this.above(station).filter(({ link }) => link.kind === "macvlan"));
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
      const further = this.#heard(bridge, seen);
      open ||= further.open;
      waiting = [...waiting, ...further.ends];
    }
    const segment = { stations, open };
    this.#segments.set(start.link, segment);
    return segment;
  }

  /** The links at which a frame comes in that leaves by one. @param seen links that have passed it on. */
  #heard(from: End, seen: Set<Link>): { readonly ends: End[]; readonly open: boolean } {
    const { world, link } = from;
    if (link.kind === "bridge" || link.kind === "bond") {
      const parts = world.ports(link.index).map((port) => this.#heard({ world, link: port }, seen));
      return { ends: parts.flatMap(({ ends }) => ends), open: parts.some(({ open }) => open) };
    }
    seen.add(link);
    const below = this.below(from);
    if (link.kind === "macvlan" && below !== undefined) {
      const { ends, open } = this.#heard(below, seen);
      return { ends: [...this.siblings(from), ...ends], open };
    }
    if (link.details?.kind === "vlan" && below !== undefined) {
      const { ends, open } = this.#heard(below, seen);
      const tagged = ends.map((end) => this.tagged(end, link.details?.kind === "vlan" ? link.details.id : 0));
      return { ends: tagged.flatMap((end) => end ?? []), open: open || tagged.includes(undefined) };
    }
    const peer = this.peer(from);
    return { ends: peer === undefined || seen.has(peer.link) ? [] : [peer], open: peer === undefined };
  }

  /** The VLAN of a number on a link, or on the bond that the link is a port of; undefined if there is none. */
  tagged(end: End, id: number): End | undefined {
    const master = end.world.link(end.link.master);
    const on = master?.kind === "bond" ? { world: end.world, link: master } : end;
    return this.above(on).find(({ link: { details } }) => details?.kind === "vlan" && details.id === id);
  }

  /** Whether a link leads to where no snapshot was taken: the wire between machines. */
  isOutward(end: End): boolean {
    if (end.link.kind === "bridge" || end.link.kind === "bond") return this.segment(end).open;
    const below = this.below(end);
    return below === undefined ? this.peer(end) === undefined : this.isOutward(below);
  }
}

function inBridgeMode({ link: { details } }: End): boolean {
  return details?.kind === "macvlan" && details.mode === "bridge";
}
