/** One place of a walk: its snapshot, prepared for questions, and how much work may still be done. */
import type { Chain, NftObject, Rule } from "../../kernel/nftables/index.ts";
import type { FdbEntry, Link, MacAddress, Neighbour } from "../../kernel/route/index.ts";
import type { Address, Family } from "../../net/address.ts";
import type { PacketProgram } from "../snapshot/programs.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { type Place, type Prepared, prepare } from "./prepared.ts";
import type { Routing } from "./routing.ts";
import type { SetIndex } from "./sets.ts";
import type { PlaceRole } from "./state.ts";

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
  readonly #prepared: Prepared;
  readonly #budget: Budget;

  constructor(
    snapshot: Snapshot,
    { budget, place, role }: { readonly budget: Budget; readonly place: string; readonly role: PlaceRole },
  ) {
    this.#budget = budget;
    this.snapshot = snapshot;
    this.place = place;
    this.role = role;
    this.#prepared = prepare(snapshot);
    this.routing = this.#prepared.routing;
  }

  /** Whether connections of a family are tracked here. */
  tracks(family: "ip" | "ip6"): boolean {
    return this.#prepared.tracks(family);
  }

  /** Takes from what may be done. @returns false once it is used up. */
  spend(steps: number): boolean {
    return this.#budget.spend(steps);
  }

  link(index: number | undefined): Link | undefined {
    return index === undefined ? undefined : this.#prepared.links.get(index);
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
    return this.#prepared.neighbours.get(`${link} ${address}`);
  }

  /** The entries of a bridge's, or a VXLAN's, forwarding database for a hardware address. */
  forwarding(device: number, mac: MacAddress): readonly FdbEntry[] {
    return this.#prepared.fdb.get(`${device} ${mac}`) ?? [];
  }

  /** The eBPF programs and filters of tc at a hook: of a link, or of the sockets of this place's programs. */
  programs(hook: PacketProgram["hook"], link?: number): readonly PacketProgram[] {
    return this.#prepared.programs.get(`${hook} ${link}`) ?? [];
  }

  /** The ports of a bridge. */
  ports(bridge: number): readonly Link[] {
    return this.snapshot.links.filter(({ master }) => master === bridge);
  }

  /** Whether connections are translated here: the kernel does so while there is a chain of type nat of the family. */
  translates(family: Family): boolean {
    const names = [family === "IPv4" ? "ip" : "ip6", "inet"];
    return this.#prepared.baseChains.some((chain) => chain.base?.type === "nat" && names.includes(chain.family));
  }

  isOwn(address: Address): boolean {
    return this.#prepared.addresses.has(address);
  }

  /** Base chains that are in use, in the order in which the kernel lists them. */
  baseChains(): readonly Chain[] {
    return this.#prepared.baseChains;
  }

  chain(place: Place, name: string): Chain | undefined {
    return this.#prepared.chain(place, name);
  }

  rulesOf(place: Place, chain: string): readonly Rule[] {
    return this.#prepared.rulesOf(place, chain);
  }

  set(place: Place, name: string): SetIndex | undefined {
    return this.#prepared.set(place, name);
  }

  object(place: Place, type: string, name: string): NftObject | undefined {
    return this.#prepared.object(place, type, name);
  }

  sysctl(name: string): string | undefined {
    return this.snapshot.sysctls[name];
  }
}
