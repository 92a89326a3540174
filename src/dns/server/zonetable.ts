/** Finds the zones that a name lies in, the longest first. */
import { isWithin, suffixesOf } from "../wire/names.ts";
import type { Served } from "./dispatch.ts";

/** A zone with the blocks that serve it. */
interface ZoneEntry {
  readonly zone: string;
  readonly blocks: readonly Served[];
}

/** With fewer zones than this, comparing ends of names beats looking up every suffix. */
const few = 16;

/** The zones of a listen address. */
export class ZoneTable {
  readonly #byName: ReadonlyMap<string, ZoneEntry>;
  /** Longest first. */
  readonly #list: readonly ZoneEntry[];

  constructor(zones: ReadonlyMap<string, readonly Served[]>) {
    this.#list = [...zones].map(([zone, blocks]) => ({ zone, blocks })).sort((a, b) => b.zone.length - a.zone.length);
    this.#byName = new Map(this.#list.map((entry) => [entry.zone, entry]));
  }

  /** The zones that a name in lower case lies in, the longest first. */
  covering(name: string): readonly ZoneEntry[] {
    if (this.#list.length > few) return this.#suffixes(name);
    const [only] = this.#list;
    if (this.#list.length === 1 && only?.zone === ".") return this.#list;
    return this.#list.filter(({ zone }) => isWithin(name, zone));
  }

  #suffixes(name: string): readonly ZoneEntry[] {
    return [...suffixesOf(name)].flatMap((suffix) => this.#byName.get(suffix) ?? []);
  }
}
