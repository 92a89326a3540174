/** A snapshot prepared for questions: links by index, chains with their rules, sets, routes, neighbours. */
import type { Chain, NftObject, Rule, TableFamily } from "../../kernel/nftables/index.ts";
import type { FdbEntry, Link, MacAddress, Neighbour } from "../../kernel/route/index.ts";
import type { Address, Family } from "../../net/address.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { translateLegacy } from "./legacy.ts";
import { Routing } from "./routing.ts";
import { SetIndex } from "./sets.ts";
import type { PlaceRole } from "./state.ts";

/** Names something in a table. */
export interface Place {
  readonly family: TableFamily;
  readonly table: string;
}

/** How much work is done at most, so that no rule set keeps a walk busy for ever: rules, and choices at random. */
export class Budget {
  #steps: number;

  constructor(steps: number) {
    this.#steps = steps;
  }

  /** Takes from what may be done. @returns false once it is used up. */
  spend(steps: number): boolean {
    this.#steps -= steps;
    return this.#steps >= 0;
  }
}

/** The prepared snapshot of one place. */
export class World {
  readonly snapshot: Snapshot;
  /** What people call the place. */
  readonly place: string;
  readonly role: PlaceRole;
  readonly routing: Routing;
  readonly #links: ReadonlyMap<number, Link>;
  readonly #chains = new Map<string, Chain>();
  readonly #rules = new Map<string, Rule[]>();
  readonly #sets = new Map<string, SetIndex>();
  readonly #objects = new Map<string, NftObject>();
  readonly #addresses: ReadonlySet<Address>;
  readonly #baseChains: readonly Chain[];
  readonly #neighbours: ReadonlyMap<string, Neighbour>;
  readonly #fdb: ReadonlyMap<string, readonly FdbEntry[]>;
  readonly #budget: Budget;

  constructor(
    snapshot: Snapshot,
    { budget, place, role }: { readonly budget: Budget; readonly place: string; readonly role: PlaceRole },
  ) {
    this.#budget = budget;
    this.snapshot = snapshot;
    this.place = place;
    this.role = role;
    this.#neighbours = new Map(snapshot.neighbours.map((each) => [`${each.interface} ${each.address}`, each]));
    // Bridges have one database for all of their ports; a VXLAN has its own.
    this.#fdb = Map.groupBy(snapshot.fdb, (entry) => `${entry.bridge ?? entry.interface} ${entry.mac}`);
    this.routing = new Routing(snapshot);
    this.#links = new Map(snapshot.links.map((link) => [link.index, link]));
    this.#addresses = new Set(snapshot.addresses.map(({ address }) => address));
    const { tables, objects } = snapshot.nftables;
    const legacy = snapshot.iptables.map(translateLegacy);
    const chains = [...snapshot.nftables.chains, ...legacy.flatMap((table) => table.chains)];
    const rules = [...snapshot.nftables.rules, ...legacy.flatMap((table) => table.rules)];
    const dormant = new Set(tables.filter(({ flags }) => flags?.includes("dormant")).map((table) => key(table, "")));
    this.#baseChains = chains.filter((chain) => chain.base !== undefined && !dormant.has(key(chain, "")));
    for (const chain of chains) this.#chains.set(key(chain, chain.chain), chain);
    for (const rule of rules) {
      const name = key(rule, rule.chain);
      const list = this.#rules.get(name);
      if (list === undefined) this.#rules.set(name, [rule]);
      else list.push(rule);
    }
    for (const object of objects) this.#objects.set(key(object, `${object.type} ${object.name}`), object);
  }

  /** Takes from what may be done. @returns false once it is used up. */
  spend(steps: number): boolean {
    return this.#budget.spend(steps);
  }

  link(index: number | undefined): Link | undefined {
    return index === undefined ? undefined : this.#links.get(index);
  }

  /** The name of an interface, or its number where there is none of that number. */
  linkName(index: number | undefined): string {
    return this.link(index)?.name ?? (index === undefined ? "" : `interface ${index}`);
  }

  linkNamed(name: string): Link | undefined {
    return this.snapshot.links.find((link) => link.name === name);
  }

  /** `node1 eth0`, for texts about more than one place. */
  linkTitle(index: number | undefined): string {
    return `${this.place} ${this.linkName(index)}`;
  }

  /** What is known of an address on a link. */
  neighbour(link: number, address: Address): Neighbour | undefined {
    return this.#neighbours.get(`${link} ${address}`);
  }

  /** The entries of a bridge's, or a VXLAN's, forwarding database for a hardware address. */
  forwarding(device: number, mac: MacAddress): readonly FdbEntry[] {
    return this.#fdb.get(`${device} ${mac}`) ?? [];
  }

  /** The ports of a bridge. */
  ports(bridge: number): readonly Link[] {
    return this.snapshot.links.filter(({ master }) => master === bridge);
  }

  /** Whether connections are translated here: the kernel does so while there is a chain of type nat of the family. */
  translates(family: Family): boolean {
    const names = [family === "IPv4" ? "ip" : "ip6", "inet"];
    return this.#baseChains.some((chain) => chain.base?.type === "nat" && names.includes(chain.family));
  }

  isOwn(address: Address): boolean {
    return this.#addresses.has(address);
  }

  /** Base chains that are in use, in the order in which the kernel lists them. */
  baseChains(): readonly Chain[] {
    return this.#baseChains;
  }

  chain(place: Place, name: string): Chain | undefined {
    return this.#chains.get(key(place, name));
  }

  rulesOf(place: Place, chain: string): readonly Rule[] {
    return this.#rules.get(key(place, chain)) ?? [];
  }

  /** A set, prepared when it is first asked for. */
  set(place: Place, name: string): SetIndex | undefined {
    const full = key(place, name);
    let index = this.#sets.get(full);
    if (index === undefined) {
      const { family, table } = place;
      const set = this.snapshot.nftables.sets.find(
        (each) => each.set === name && each.table === table && each.family === family,
      );
      if (set === undefined) return undefined;
      index = new SetIndex(set);
      this.#sets.set(full, index);
    }
    return index;
  }

  object(place: Place, type: string, name: string): NftObject | undefined {
    return this.#objects.get(key(place, `${type} ${name}`));
  }

  sysctl(name: string): string | undefined {
    return this.snapshot.sysctls[name];
  }
}

function key({ family, table }: Place, name: string): string {
  return `${family} ${table} ${name}`;
}
