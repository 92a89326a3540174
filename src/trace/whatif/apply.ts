/** A snapshot as it would be with changes: pure. What is to be changed must be there. */
import type { Ruleset } from "../../kernel/nftables/index.ts";
import type { Route } from "../../kernel/route/index.ts";
import { parseAddress } from "../../net/address.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { Routing } from "../walk/routing.ts";
import type { Changes, NewRoute } from "./changes.ts";

const mainTable = 254;

/**
 * Applies everything but {@link Changes.nft}.
 *
 * @throws {RangeError} a sentence that names what is not there.
 */
export function applyChanges(snapshot: Snapshot, changes: Changes): Snapshot {
  const { sysctls = {}, links = {} } = changes;
  for (const link of Object.keys(links)) indexOf(snapshot, link);
  const down = new Set(
    Object.entries(links).flatMap(([name, { up }]) => (up === false ? [indexOf(snapshot, name)] : [])),
  );
  return {
    ...snapshot,
    sysctls: { ...snapshot.sysctls, ...withSlashes(snapshot, sysctls) },
    links: snapshot.links.map((link) => {
      const { up, mtu } = (Object.hasOwn(links, link.name) ? links[link.name] : undefined) ?? {};
      return {
        ...link,
        ...(up !== undefined && { up, running: up, operState: up ? ("up" as const) : ("down" as const) }),
        ...(mtu !== undefined && { mtu }),
      };
    }),
    routes: [
      ...withoutRoutes(snapshot, changes, down),
      ...(changes.addRoutes ?? []).map((each) => routeOf(snapshot, each)),
    ],
    nftables: changedRules(snapshot.nftables, changes),
  };
}

function indexOf({ links, name }: Snapshot, link: string): number {
  const found = links.find((each) => each.name === link);
  if (found !== undefined) return found.index;
  throw new RangeError(`${name} has no link ${link}: there are ${links.map((each) => each.name).join(", ")}`);
}

/** `net.ipv4.ip_forward` is `net/ipv4/ip_forward`; where the first separator is a slash, dots are parts of names. */
function withSlashes(snapshot: Snapshot, sysctls: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(sysctls).flatMap(([name, value]) => {
      const path = /^[^./]*\./.test(name) ? name.replaceAll(/[./]/g, (each) => (each === "." ? "/" : ".")) : name;
      if (!Object.hasOwn(snapshot.sysctls, path))
        throw new RangeError(`sysctl ${name} decides nothing here, or is not in the snapshot`);
      // As the kernel does, what is said of the whole host is said of every interface.
      const each = { "net/ipv4/ip_forward": "ipv4", "net/ipv6/conf/all/forwarding": "ipv6" }[path];
      const others = Object.keys(snapshot.sysctls).filter(
        (known) => each !== undefined && new RegExp(`^net/${each}/conf/[^/]+/forwarding$`).test(known),
      );
      return [...others, path].map((known) => [known, value] as const);
    }),
  );
}

/** Without those that are to be deleted, and those that the kernel takes away with the last of their links. */
function withoutRoutes(
  { routes }: Snapshot,
  { deleteRoutes = [] }: Changes,
  down: ReadonlySet<number>,
): readonly Route[] {
  const gone = new Set<Route>();
  for (const { destination, table = mainTable } of deleteRoutes) {
    const found = routes.filter((route) => route.destination === destination && route.table === table);
    if (found.length === 0) throw new RangeError(`table ${table} has no route to ${destination}`);
    for (const route of found) gone.add(route);
  }
  return routes
    .filter((route) => !gone.has(route))
    .map((route) => ({
      ...route,
      nextHops: route.nextHops.map((hop) =>
        down.has(hop.interface ?? -1) ? { ...hop, dead: true, linkDown: true } : hop,
      ),
    }))
    .filter(({ type, nextHops }) => type !== "unicast" || nextHops.length === 0 || nextHops.some(({ dead }) => !dead));
}

function routeOf(
  snapshot: Snapshot,
  { destination, gateway, interface: link, table = mainTable, metric = 0 }: NewRoute,
): Route {
  const isIPv4 = !destination.includes(":");
  if (link === undefined && gateway === undefined)
    throw new RangeError(`the route to ${destination} needs a gateway or an interface`);
  const through = link === undefined ? onLinkOf(snapshot, gateway ?? "") : indexOf(snapshot, link);
  return {
    type: "unicast",
    destination,
    table,
    protocol: 4,
    scope: isIPv4 && gateway === undefined ? 253 : 0,
    priority: metric,
    tos: 0,
    nextHops: [
      {
        interface: through,
        ...(gateway !== undefined && { gateway }),
        weight: 1,
        onLink: false,
        dead: false,
        linkDown: false,
      },
    ],
  };
}

/** The link on whose network a gateway is. */
function onLinkOf(snapshot: Snapshot, gateway: string): number {
  const routing = new Routing(snapshot);
  const answer = routing.find({ destination: parseAddress(gateway), mark: 0 });
  const [hop] = answer.kind === "route" ? answer.route.nextHops : [];
  if (hop?.interface === undefined || hop.gateway !== undefined) {
    throw new RangeError(`gateway ${gateway} is on no link of ${snapshot.name}: name the interface`);
  }
  return hop.interface;
}

function changedRules(ruleset: Ruleset, { policies = [], deleteRules = [] }: Changes): Ruleset {
  const isIn = (place: { family: string; table: string; chain: string }) => (each: typeof place) =>
    each.family === place.family && each.table === place.table && each.chain === place.chain;
  let { chains, rules } = ruleset;
  for (const change of policies) {
    const chain = chains.find(isIn(change));
    if (chain?.base === undefined)
      throw new RangeError(`there is no base chain ${change.family} ${change.table} ${change.chain}`);
    const { base } = chain;
    chains = chains.map((each) => (each === chain ? { ...each, base: { ...base, policy: change.policy } } : each));
  }
  for (const change of deleteRules) {
    const rule = rules.find((each) => isIn(change)(each) && each.handle === change.handle);
    if (rule === undefined) {
      throw new RangeError(
        `chain ${change.family} ${change.table} ${change.chain} has no rule with handle ${change.handle}`,
      );
    }
    rules = rules.filter((each) => each !== rule);
  }
  return { ...ruleset, chains, rules };
}
