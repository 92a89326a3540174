/** Takes a snapshot: reads only, changes nothing. */
import { hostname, release } from "node:os";
import { listConntrack, openConntrack } from "../../kernel/conntrack/index.ts";
import { listAllSets } from "../../kernel/ipset/index.ts";
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
import { type BlobTable, readLegacyTables } from "../../kernel/xtables/legacy.ts";
import { listQueues } from "../../kernel/xtables/queues.ts";
import { readRecentLists } from "../../kernel/xtables/recent.ts";
import type { SavedChain, SavedTable } from "../../kernel/xtables/save.ts";
import { type AnyTable, findXtables } from "../../kernel/xtables/xtables.ts";
import { families } from "../../net/address.ts";
import { listPacketPrograms } from "./programs.ts";
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
  const links = listLinks(route);
  const recent = attempt("lists of iptables' match recent", undefined, () => readRecentLists(namespace));
  const queues = attempt("queues of packets", undefined, () => listQueues(namespace));
  const programs = attempt("eBPF programs and filters of tc", undefined, () =>
    listPacketPrograms(route, links, namespace),
  );
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
    iptables: await readTables(namespace, missing),
    ipsets: attempt("IP sets", [], () => listAllSets(namespace)),
    ...(recent !== undefined && { recent }),
    ...(ipvs !== undefined && { ipvs }),
    conntrack: attempt("connections", [], () => listConntrack(tracker)),
    sockets: attempt("sockets", [], () => listListeningSockets(namespace)),
    ...(queues !== undefined && { queues }),
    ...(programs !== undefined && programs.length > 0 && { programs }),
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

/** What the kernel has, with the words of `iptables-save` where that program is there. */
async function readTables(namespace: string | undefined, missing: string[]): Promise<readonly LegacyTable[]> {
  let tables: readonly BlobTable[];
  try {
    tables = readLegacyTables(legacyTables, namespace);
  } catch (error) {
    missing.push(`iptables-legacy tables: ${error instanceof Error ? error.message : error}`);
    return [];
  }
  if (tables.length === 0) return [];
  const saved = await savedTables(namespace, missing);
  return tables.map(({ family, name, chains }) => ({
    family,
    name,
    chains: chains.map((chain) => ({
      name: chain.name,
      ...(chain.policy !== undefined && { policy: chain.policy }),
      rules: wordsOf(saved.get(`${family} ${name}`)?.chains.get(chain.name), chain.rules.length),
      expressions: chain.rules,
    })),
  }));
}

/** The rules of a chain in words; none where the chain has changed meanwhile. */
function wordsOf(chain: SavedChain | undefined, count: number): readonly string[] {
  const rules = chain?.rules.length === count ? chain.rules : [];
  return Array.from({ length: count }, (_, i) => rules[i]?.text ?? "");
}

/** Starting programs takes longer than all the rest: they are looked for once. */
let programs: ReturnType<typeof findXtables> | undefined;

/** The program is started before the call returns, and so inside the namespace. */
async function savedTables(namespace: string | undefined, missing: string[]): Promise<ReadonlyMap<string, SavedTable>> {
  const found = new Map<string, SavedTable>();
  programs ??= findXtables();
  const legacy = (await programs).get("legacy");
  if (legacy === undefined) return found;
  for (const family of families) {
    const start = () => ({ saving: legacy.save(family, legacyTables) });
    try {
      const { saving } = namespace === undefined ? start() : inNamespace(namespace, start);
      for (const table of await saving) found.set(`${family} ${table.name}`, table);
    } catch (error) {
      missing.push(`iptables-legacy rules in words: ${error instanceof Error ? error.message : error}`);
    }
  }
  return found;
}
