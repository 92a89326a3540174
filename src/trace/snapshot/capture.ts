/** Takes a snapshot: reads only, changes nothing. */
import { hostname, release } from "node:os";
import { listConntrack, openConntrack } from "../../kernel/conntrack/index.ts";
import { Ipsets } from "../../kernel/ipset/index.ts";
import { Ipvs, NoIpvsError } from "../../kernel/ipvs/index.ts";
import { inNamespace } from "../../kernel/namespace.ts";
import { openNftables, readRuleset } from "../../kernel/nftables/index.ts";
import {
  listAddresses,
  listFdb,
  listLinks,
  listNeighbours,
  listRoutes,
  listRules,
  openRoute,
} from "../../kernel/route/index.ts";
import { listListeningSockets } from "../../kernel/sockets/listening.ts";
import { readSysctl } from "../../kernel/sysctl.ts";
import type { SavedTable } from "../../kernel/xtables/save.ts";
import { type AnyTable, findXtables } from "../../kernel/xtables/xtables.ts";
import { families } from "../../net/address.ts";
import { type Balancer, interfaceSysctls, type LegacyTable, type Snapshot, schemaVersion, sysctls } from "./types.ts";

/**
 * Reads the state of a named network namespace, or of the calling thread's own.
 *
 * @throws what reading links, routes or nf_tables throws: without these no packet's way can be told. Anything else that
 *   cannot be read is named in {@link Snapshot.missing}.
 */
export async function capture(namespace?: string): Promise<Snapshot> {
  const missing: string[] = [];
  const attempt = <T>(what: string, none: T, read: () => T): T => {
    try {
      return read();
    } catch (error) {
      missing.push(`${what}: ${error instanceof Error ? error.message : error}`);
      return none;
    }
  };
  using route = openRoute(namespace);
  using nft = namespace === undefined ? openNftables() : inNamespace(namespace, () => openNftables());
  using tracker = openConntrack(namespace);
  using ipsets = new Ipsets(namespace);
  const links = listLinks(route);
  const ipvs = attempt("IPVS", undefined, () => readIpvs(namespace));
  return {
    schemaVersion,
    name: namespace ?? hostname(),
    time: new Date().toISOString(),
    kernel: release(),
    links,
    addresses: listAddresses(route),
    neighbours: listNeighbours(route),
    fdb: listFdb(route),
    rules: listRules(route),
    routes: listRoutes(route),
    sysctls: readSysctls(
      namespace,
      links.map(({ name }) => name),
    ),
    nftables: readRuleset(nft),
    iptables: await readLegacyTables(namespace, missing),
    ipsets: attempt("IP sets", [], () => ipsets.list()),
    ...(ipvs !== undefined && { ipvs }),
    conntrack: attempt("connections", [], () => listConntrack(tracker)),
    sockets: attempt("sockets", [], () => listListeningSockets(namespace)),
    missing,
  };
}

function readSysctls(namespace: string | undefined, interfaces: readonly string[]): Record<string, string> {
  // A dot or a slash in an interface's name is not in the way: /proc/sys keeps the dot, and a name has no slash.
  const names = [
    ...sysctls,
    ...interfaceSysctls.flatMap((name) => ["all", ...interfaces].map((each) => name.replace("NAME", each))),
  ];
  const values: Record<string, string> = {};
  const read = () => {
    for (const name of names) {
      const value = readSysctl(name);
      if (value !== undefined) values[name] = value;
    }
  };
  if (namespace === undefined) read();
  else inNamespace(namespace, read);
  return values;
}

function readIpvs(namespace: string | undefined): Balancer | undefined {
  try {
    using ipvs = new Ipvs(namespace);
    const services = ipvs.services().map((service) => ({ ...service, destinations: ipvs.destinations(service.key) }));
    return { services, timeouts: ipvs.timeouts };
  } catch (error) {
    if (error instanceof NoIpvsError) return undefined;
    throw error;
  }
}

const legacyTables: readonly AnyTable[] = ["raw", "mangle", "nat", "filter", "security"];

/** One table at a time: the program is started before the call returns, and so inside the namespace. */
async function readLegacyTables(namespace: string | undefined, missing: string[]): Promise<readonly LegacyTable[]> {
  const legacy = (await findXtables()).get("legacy");
  if (legacy === undefined) return [];
  const tables: LegacyTable[] = [];
  for (const family of families) {
    for (const name of legacyTables) {
      let saving: Promise<readonly SavedTable[]> | undefined;
      const start = () => {
        saving = legacy.save(family, [name]);
      };
      try {
        if (namespace === undefined) start();
        else inNamespace(namespace, start);
        for (const table of (await saving) ?? []) tables.push({ family, ...plain(table) });
      } catch (error) {
        missing.push(`iptables-legacy table ${name}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
  return tables;
}

function plain({ name, chains }: SavedTable): Omit<LegacyTable, "family"> {
  return {
    name,
    chains: Array.from(chains.values(), (chain) => ({
      name: chain.name,
      ...(chain.policy !== undefined && { policy: chain.policy }),
      rules: chain.rules.map(({ text }) => text),
    })),
  };
}
