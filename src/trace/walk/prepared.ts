/** A snapshot prepared for questions, once for all walks through it. */
import type { Chain, NftObject, Rule, TableFamily } from "../../kernel/nftables/index.ts";
import type { FdbEntry, Link, Neighbour } from "../../kernel/route/index.ts";
import type { Address } from "../../net/address.ts";
import type { PacketProgram } from "../snapshot/programs.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { translateLegacy } from "./legacy.ts";
import { Routing } from "./routing.ts";
import { type FullSet, SetIndex } from "./sets.ts";
import { trackingFamilies } from "./tracking.ts";

/** Names something in a table. */
export interface Place {
  readonly family: TableFamily;
  readonly table: string;
}

const preparations = new WeakMap<Snapshot, Prepared>();

/** The snapshot, prepared: a second walk finds it ready. */
export function prepare(snapshot: Snapshot): Prepared {
  let prepared = preparations.get(snapshot);
  if (prepared === undefined) {
    prepared = new Prepared(snapshot);
    preparations.set(snapshot, prepared);
  }
  return prepared;
}

/** Chains with their rules, sets, routes, links and neighbours, each by what they are asked for. */
export class Prepared {
  readonly routing: Routing;
  readonly links: ReadonlyMap<number, Link>;
  readonly addresses: ReadonlySet<Address>;
  readonly neighbours: ReadonlyMap<string, Neighbour>;
  readonly fdb: ReadonlyMap<string, readonly FdbEntry[]>;
  /** Base chains that are in use, in the order in which the kernel lists them. */
  readonly baseChains: readonly Chain[];
  /** eBPF programs, and filters of tc, by hook and the interface's index. */
  readonly programs: ReadonlyMap<string, readonly PacketProgram[]>;
  readonly #tracking: ReadonlySet<TableFamily> | undefined;
  readonly #chains = new Map<string, Chain>();
  readonly #rules = new Map<string, Rule[]>();
  readonly #sets: ReadonlyMap<string, FullSet>;
  readonly #indexes = new Map<FullSet, SetIndex>();
  readonly #objects: ReadonlyMap<string, NftObject>;

  constructor(snapshot: Snapshot) {
    this.neighbours = new Map(snapshot.neighbours.map((each) => [`${each.interface} ${each.address}`, each]));
    // Bridges have one database for all of their ports; a VXLAN has its own.
    this.fdb = Map.groupBy(snapshot.fdb, (entry) => `${entry.bridge ?? entry.interface} ${entry.mac}`);
    this.routing = new Routing(snapshot);
    this.links = new Map(snapshot.links.map((link) => [link.index, link]));
    this.addresses = new Set(snapshot.addresses.map(({ address }) => address));
    this.programs = Map.groupBy(snapshot.programs ?? [], (each) => `${each.hook} ${each.interface}`);
    const { tables, objects, sets } = snapshot.nftables;
    const legacy = snapshot.iptables.map(translateLegacy);
    const dormant = new Set(tables.filter(({ flags }) => flags?.includes("dormant")).map((table) => key(table, "")));
    const baseChains: Chain[] = [];
    for (const { chains, rules } of [snapshot.nftables, ...legacy]) {
      for (const chain of chains) {
        this.#chains.set(key(chain, chain.chain), chain);
        if (chain.base !== undefined && !dormant.has(key(chain, ""))) baseChains.push(chain);
      }
      for (const rule of rules) {
        const name = key(rule, rule.chain);
        const list = this.#rules.get(name);
        if (list === undefined) this.#rules.set(name, [rule]);
        else list.push(rule);
      }
    }
    this.baseChains = baseChains;
    // Where connections are known, or IPVS works, somebody has asked, whoever it was.
    const always = snapshot.conntrack.length > 0 || snapshot.ipvs !== undefined;
    this.#tracking = always ? undefined : trackingFamilies([...this.#rules.values()].flat());
    this.#sets = new Map(sets.map((set) => [key(set, set.set), set]));
    this.#objects = new Map(objects.map((object) => [key(object, `${object.type} ${object.name}`), object]));
  }

  /** Whether connections are tracked; where they are not, chains of type nat are not asked either. */
  tracks(family: "ip" | "ip6"): boolean {
    return this.#tracking === undefined || this.#tracking.has(family) || this.#tracking.has("inet");
  }

  chain(place: Place, name: string): Chain | undefined {
    return this.#chains.get(key(place, name));
  }

  rulesOf(place: Place, chain: string): readonly Rule[] {
    return this.#rules.get(key(place, chain)) ?? [];
  }

  /** A set, indexed when it is first asked for. */
  set(place: Place, name: string): SetIndex | undefined {
    const set = this.#sets.get(key(place, name));
    if (set === undefined) return undefined;
    let index = this.#indexes.get(set);
    if (index === undefined) {
      index = new SetIndex(set);
      this.#indexes.set(set, index);
    }
    return index;
  }

  object(place: Place, type: string, name: string): NftObject | undefined {
    return this.#objects.get(key(place, `${type} ${name}`));
  }
}

function key({ family, table }: Place, name: string): string {
  return `${family} ${table} ${name}`;
}
