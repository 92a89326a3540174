/** The routing decision: policy rules, then the longest prefix of a table, then one of the next hops. */
import type { InterfaceAddress, NextHop, Route, Rule } from "../../kernel/route/index.ts";
import { type Address, familyOf } from "../../net/address.ts";
import { prefixContains, prefixFamily, prefixLength, prefixOf } from "../../net/prefix.ts";
import type { Snapshot } from "../snapshot/types.ts";
import type { Packet } from "./packet.ts";

/** What is asked. */
export interface Question {
  readonly destination: Address;
  /** Absent while the kernel has not chosen one. */
  readonly source?: Address;
  readonly mark: number;
  /** The names of the interfaces that the packet came in by, and must leave by. */
  readonly input?: string;
  readonly output?: number;
  readonly packet?: Packet;
}

/** What the tables say. */
export type Answer =
  /** `why`: an assumption without which another route might be taken. */
  | { readonly kind: "route"; readonly route: Route; readonly why?: string }
  | { readonly kind: "none"; readonly why: string };

/** The routing tables of a snapshot. */
export class Routing {
  readonly #rules: readonly Rule[];
  readonly #addresses: readonly InterfaceAddress[];
  readonly #linkNames: ReadonlyMap<number, string>;
  /** By table and prefix: the routes of that prefix, the preferred first. */
  readonly #routes = new Map<string, Route[]>();
  readonly #lengths = new Map<string, number[]>();

  constructor({ rules, routes, addresses, links }: Snapshot) {
    this.#rules = rules.toSorted((a, b) => a.priority - b.priority);
    this.#addresses = addresses;
    this.#linkNames = new Map(links.map(({ index, name }) => [index, name]));
    for (const route of routes) {
      const table = `${prefixFamily(route.destination)} ${route.table}`;
      const length = prefixLength(route.destination);
      const key = `${table} ${route.destination}`;
      const list = this.#routes.get(key);
      if (list === undefined) this.#routes.set(key, [route]);
      else list.push(route);
      const lengths = this.#lengths.get(table);
      if (lengths === undefined) this.#lengths.set(table, [length]);
      else if (!lengths.includes(length)) lengths.push(length);
    }
    for (const list of this.#routes.values()) list.sort((a, b) => a.priority - b.priority);
    for (const lengths of this.#lengths.values()) lengths.sort((a, b) => b - a);
  }

  /** Asks the policy rules in their order. */
  find(question: Question): Answer {
    const family = familyOf(question.destination);
    let skipBelow = -1;
    let open: string | undefined;
    for (const rule of this.#rules) {
      if (rule.family !== family || rule.priority < skipBelow) continue;
      const fits = this.#fits(rule, question);
      if (fits === undefined) {
        open ??= `policy rule ${rule.priority} looks at something that is not known`;
        continue;
      }
      if (fits === rule.invert) continue;
      const { action } = rule;
      if (action.kind === "goto") skipBelow = action.priority;
      if (action.kind === "goto" || action.kind === "nop") continue;
      if (action.kind !== "lookup") return { kind: "none", why: `policy rule ${rule.priority} says ${action.kind}` };
      const route = this.#inTable(`${family} ${action.table}`, question);
      if (route === undefined || route.type === "throw") continue;
      if (rule.suppressPrefixLength !== undefined && prefixLength(route.destination) <= rule.suppressPrefixLength)
        continue;
      return { kind: "route", route, ...(open !== undefined && { why: open }) };
    }
    return { kind: "none", why: `no route leads to ${question.destination}` };
  }

  /** The route to an address that is this machine's own or a broadcast address; by the local table alone. */
  local(address: Address): Route | undefined {
    return this.#inTable(`${familyOf(address)} 255`, { destination: address, mark: 0 });
  }

  /** The source that the kernel chooses for packets of this machine that take a route. */
  sourceOf(route: Route, destination: Address): Address | undefined {
    if (route.preferredSource !== undefined) return route.preferredSource;
    if (route.type === "local") return destination;
    const [hop] = usableHops(route);
    return hop?.interface === undefined ? undefined : this.sourceFor(hop.interface, hop.gateway ?? destination);
  }

  /** The address that a connection from this machine gets that leaves by an interface, towards a next hop. */
  sourceFor(output: number, towards: Address): Address | undefined {
    const family = familyOf(towards);
    // RFC 6724, rule 1: to an address of this machine, from that address.
    if (family === "IPv6" && this.#addresses.some(({ address }) => address === towards)) return towards;
    const usable = this.#addresses.filter(
      (each) =>
        each.interface === output &&
        familyOf(each.address) === family &&
        !each.tentative &&
        !each.duplicate &&
        each.scope < 253,
    );
    const near = usable.find(
      (each) => !each.secondary && prefixContains(prefixOf(each.address, each.prefixLength), towards),
    );
    // An interface without an address of its own borrows one from another (IPv4).
    const anywhere = this.#addresses.find((each) => familyOf(each.address) === family && each.scope === 0);
    return (near ?? usable.find((each) => !each.secondary) ?? usable[0] ?? anywhere)?.address;
  }

  #fits(rule: Rule, { destination, source, mark, input, output, packet }: Question): boolean | undefined {
    if (rule.destination !== undefined && !prefixContains(rule.destination, destination)) return false;
    if (rule.source !== undefined && !(source !== undefined && prefixContains(rule.source, source))) return false;
    if (rule.inInterface !== undefined && rule.inInterface !== (input ?? "lo")) return false;
    if (rule.outInterface !== undefined && rule.outInterface !== this.#linkNames.get(output ?? 0)) return false;
    if (rule.mark !== undefined && ((mark ^ rule.mark.value) & rule.mark.mask) !== 0) return false;
    if (rule.protocol !== undefined && rule.protocol !== packet?.protocol) return false;
    if (rule.tos !== undefined && rule.tos !== 0) return false;
    for (const [range, port] of [
      [rule.sourcePorts, packet?.sourcePort],
      [rule.destinationPorts, packet?.destinationPort],
    ] as const) {
      if (range === undefined) continue;
      if (port === undefined) return undefined;
      if (port < range.first || port > range.last) return false;
    }
    if (rule.users !== undefined) return input === undefined ? undefined : false;
    return rule.vrf ? undefined : true;
  }

  #inTable(table: string, { destination, source, output }: Question): Route | undefined {
    for (const length of this.#lengths.get(table) ?? []) {
      const candidates = this.#routes.get(`${table} ${prefixOf(destination, length)}`);
      const route = candidates?.find(
        (each) =>
          (each.tos === 0 || each.tos === undefined) &&
          (each.source === undefined || (source !== undefined && prefixContains(each.source, source))) &&
          (each.nextHops.length === 0 || usableHops(each, output).length > 0),
      );
      if (route !== undefined) return route;
    }
    return undefined;
  }
}

/** The next hops of a route that packets may take. */
export function usableHops(route: Route, output?: number): readonly NextHop[] {
  return route.nextHops.filter((hop) => !hop.dead && (output === undefined || hop.interface === output));
}
