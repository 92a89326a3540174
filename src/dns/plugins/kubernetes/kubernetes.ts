/** Plugin kubernetes: names of Services, endpoints and pods. */

import { existsSync, readFileSync } from "node:fs";
import { type Address, tryParseAddress } from "../../../net/address.ts";
import { single } from "../../corefile/stanza.ts";
import { messageOf } from "../../server/log.ts";
import { timeBuckets } from "../../server/metrics.ts";
import { type Handler, type Next, type Outcome, type Plugin, ServeError } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { errorReply, reply } from "../../server/reply.ts";
import type { Site } from "../../server/site.ts";
import { RCODE, TYPE } from "../../wire/codes.ts";
import type { Message } from "../../wire/message.ts";
import { isWithin, longestZone } from "../../wire/names.ts";
import { type ResourceRecord, record } from "../../wire/record.ts";
import { reverseAddress } from "../../wire/reverse.ts";
import { searchDomains } from "../autopath/resolvconf.ts";
import { addressRecords, joinName, serviceRecords, soaRecord, withoutZone, zoneAsAsked } from "./answers.ts";
import { Cluster } from "./cluster.ts";
import { endpointName, type Found, find, isExposed, parseClusterName } from "./lookup.ts";
import { metadataOf } from "./metadata.ts";
import { externalAddresses, localAddresses, nameServers } from "./nameservers.ts";
import { type KubernetesOptions, parseOptions } from "./options.ts";
import { transferRecords } from "./transfer.ts";

/** The version of the specification that answers follow, as `dns-version.<zone>` tells it. */
const specificationVersion = "1.1.0";
const versionTtl = 28800;
/** Aliases that are followed within the cluster. */
const maxAliases = 10;

/** The plugin. */
export const kubernetes: Plugin = {
  name: "kubernetes",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    return new KubernetesHandler(parseOptions(stanza, site), site);
  },
};

/** The handler; other plugins ask it for the cluster's state. */
export class KubernetesHandler implements Handler {
  readonly name = "kubernetes";
  readonly options: KubernetesOptions;
  readonly cluster: Cluster;
  readonly #site: Site;
  readonly #machineSearch: readonly string[];
  #lastSoa: { readonly zone: string; readonly serial: number; readonly soa: ResourceRecord } | undefined;

  constructor(options: KubernetesOptions, site: Site) {
    this.options = options;
    this.#site = site;
    this.#machineSearch = machineSearch();
    const { env } = site;
    const latency = env.metrics.histograms(
      "coredns_kubernetes_dns_programming_duration_seconds",
      "Seconds from a change of endpoints to its being answered.",
      [...timeBuckets, 16.384, 32.768, 65.536, 131.072, 262.144],
      "service_kind",
    );
    this.cluster = new Cluster(options, { clock: env.clock, latency: (kind) => latency.labels(kind) });
    site.onStart((signal) => this.#start(signal));
  }

  ready(): boolean {
    return this.cluster.synced;
  }

  /** Follows the cluster, and holds the server back until all was seen, but not for long. */
  async #start(signal: AbortSignal): Promise<void> {
    const { env } = this.#site;
    const log = env.log.plugin(this.name);
    const { connection, startupTimeout } = this.options;
    let source: Awaited<ReturnType<typeof env.connect>>;
    try {
      source = await env.connect(connection, signal);
    } catch (error) {
      throw new Error(`plugin/kubernetes: ${messageOf(error)}`, { cause: error });
    }
    const waiting = new AbortController();
    const synced = this.cluster.follow(source, signal).then(() => waiting.abort());
    const timeout = AbortSignal.any([signal, waiting.signal]);
    if (await env.clock.sleep(startupTimeout, timeout)) {
      log.warn("starting server with unsynced Kubernetes API");
    } else {
      await synced;
    }
  }

  serve(query: Query, next: Next): Outcome {
    const matched = longestZone(this.options.zones, query.name);
    if (matched === undefined) return next(query);
    const { question } = query;
    const zone = zoneAsAsked(question.name, matched);
    switch (question.type) {
      case TYPE.A:
      case TYPE.AAAA:
        return this.#addresses(query, next, zone, question.name, []);
      case TYPE.SRV:
        return this.#services(query, next, zone);
      case TYPE.PTR:
        return this.#pointers(query, next, zone);
      case TYPE.CNAME:
        return this.#alias(query, next, zone);
      case TYPE.TXT:
        return this.#text(query, next, zone);
      case TYPE.SOA:
        if (query.name === matched) return reply(query.message, { answer: [this.#soa(zone)] });
        return this.#negative(query, zone, RCODE.NOERROR);
      case TYPE.NS:
        return query.name === matched ? this.#delegation(query, zone) : this.#other(query, next, zone);
      case TYPE.AXFR:
      case TYPE.IXFR:
        return errorReply(query.message, RCODE.REFUSED);
      default:
        return this.#other(query, next, zone);
    }
  }

  metadata(query: Query): Iterable<readonly [string, () => string]> {
    return metadataOf(this, query);
  }

  /**
   * The search path of a pod: of its namespace, of Services, of the cluster, of this machine. A pod is known by its
   * address where pods are watched, otherwise as the endpoint of a Service.
   */
  searchPath(query: Query): readonly string[] | undefined {
    const zone = longestZone(this.options.zones, query.name);
    const address = tryParseAddress(query.client.address);
    if (zone === undefined || address === undefined) return undefined;
    const { directory } = this.cluster;
    const owners =
      this.options.pods === "verified" ? directory.podsByIP(address) : directory.slicesByEndpointIP(address);
    const [namespace, other] = new Set(owners.map((owner) => owner.namespace));
    if (namespace === undefined || other !== undefined) return undefined;
    return [joinName(`${namespace}.svc`, zone), joinName("svc", zone), zone, ...this.#machineSearch];
  }

  transfer(zone: string, serial: number): Iterable<ResourceRecord> | undefined {
    if (!this.options.zones.includes(zone) || zone !== this.options.primaryZone) return undefined;
    return transferRecords(this, this.#soa(zone), zone, serial, this.#nameServers(zone));
  }

  /** What is under a name of the zone; `default name servers` included. */
  #find(name: string, zone: string): Found {
    const base = withoutZone(name.toLowerCase(), zone);
    if (base === "ns.dns") return { kind: "items", items: this.#ownItems() };
    const cluster = parseClusterName(base);
    return cluster === undefined ? { kind: "nothing" } : find(this.cluster.directory, this.options, cluster);
  }

  #addresses(query: Query, next: Next, zone: string, name: string, aliases: readonly ResourceRecord[]): Outcome {
    const found = this.#find(name, zone);
    if (found.kind === "alias") return this.#follow(query, next, zone, name, found.host, aliases);
    const type = query.type === TYPE.A ? "A" : "AAAA";
    const own = found.kind === "items" ? addressRecords(name, type, this.options.ttl, found.items) : [];
    if (aliases.length > 0) {
      // An alias into the zone counts only if it leads to an address.
      if (own.length === 0) return this.#negative(query, zone, RCODE.NOERROR);
      return reply(query.message, { answer: [...aliases, ...own] });
    }
    if (found.kind === "nothing") return this.#missing(query, next, zone);
    if (own.length === 0) return this.#negative(query, zone, RCODE.NOERROR);
    return reply(query.message, { answer: own });
  }

  /** Follows the alias of an ExternalName Service: in this zone at once, elsewhere by asking the server itself. */
  #follow(
    query: Query,
    next: Next,
    zone: string,
    owner: string,
    host: string,
    aliases: readonly ResourceRecord[],
  ): Outcome {
    const lower = host.toLowerCase();
    const repeated = aliases.some(({ name }) => name.toLowerCase() === lower) || owner.toLowerCase() === lower;
    if (repeated || aliases.length >= maxAliases) return this.#negative(query, zone, RCODE.NOERROR);
    const chain = [...aliases, record(owner, "CNAME", this.options.ttl, { host })];
    if (isWithin(lower, zone.toLowerCase())) return this.#addresses(query, next, zone, host, chain);
    return this.#site.ask(query.ask({ name: host })).then((answer) => {
      if (answer === undefined) return this.#negative(query, zone, RCODE.NOERROR);
      return { ...reply(query.message, { answer: [...chain, ...answer.answer] }), tc: answer.tc };
    });
  }

  #services(query: Query, next: Next, zone: string): Outcome {
    const { name } = query.question;
    const found = this.#find(name, zone);
    if (found.kind === "nothing") return this.#missing(query, next, zone);
    if (found.kind === "alias") return this.#negative(query, zone, RCODE.NOERROR);
    const { answer, additional } = serviceRecords(name, zone, this.options.ttl, found.items);
    if (answer.length === 0) return this.#negative(query, zone, RCODE.NOERROR);
    return reply(query.message, { answer, additional });
  }

  #pointers(query: Query, next: Next, zone: string): Outcome {
    const address = reverseAddress(query.name);
    if (address === undefined) return this.#other(query, next, zone);
    const hosts = this.#namesOf(address);
    if (hosts.length === 0) return this.#missing(query, next, zone);
    const { name } = query.question;
    const answer = hosts.map((host) =>
      record(name, "PTR", this.options.ttl, { host: joinName(host, this.options.primaryZone) }),
    );
    return reply(query.message, { answer });
  }

  /** The names of an address without the zone: the Service whose cluster IP it is, otherwise all endpoints. */
  #namesOf(address: Address): readonly string[] {
    const { directory } = this.cluster;
    const exposed = (namespace: string) => isExposed(directory, this.options, namespace);
    const service = directory.servicesByClusterIP(address).find(({ namespace }) => exposed(namespace));
    if (service !== undefined) return [`${service.name}.${service.namespace}.svc`];
    const names = directory
      .slicesByEndpointIP(address)
      .filter(({ namespace }) => exposed(namespace))
      .flatMap(({ endpoints, service: owner, namespace }) =>
        endpoints
          .filter((endpoint) => endpoint.address === address)
          .map((endpoint) => `${endpointName(endpoint)}.${owner}.${namespace}.svc`),
      );
    return [...new Set(names)];
  }

  #alias(query: Query, next: Next, zone: string): Outcome {
    const { name } = query.question;
    const found = this.#find(name, zone);
    if (found.kind === "nothing") return this.#missing(query, next, zone);
    if (found.kind === "items") return this.#negative(query, zone, RCODE.NOERROR);
    return reply(query.message, { answer: [record(name, "CNAME", this.options.ttl, { host: found.host })] });
  }

  #text(query: Query, next: Next, zone: string): Outcome {
    if (withoutZone(query.name, zone) !== "dns-version") return this.#other(query, next, zone);
    const answer = [record(query.question.name, "TXT", versionTtl, { texts: [specificationVersion] })];
    return reply(query.message, { answer });
  }

  /** Types that no name has: whether the name exists is all there is to say. */
  #other(query: Query, next: Next, zone: string): Outcome {
    const found = this.#find(query.name, zone);
    return found.kind === "nothing" ? this.#missing(query, next, zone) : this.#negative(query, zone, RCODE.NOERROR);
  }

  #delegation(query: Query, zone: string): Outcome {
    const { ttl } = this.options;
    const servers = this.#nameServers(zone);
    const answer = [...servers.keys()].map((host) => record(zone, "NS", ttl, { host }));
    const additional = [...servers].flatMap(([host, addresses]) =>
      addresses.map((address) => record(host, address.includes(":") ? "AAAA" : "A", ttl, { address })),
    );
    return answer.length === 0
      ? this.#negative(query, zone, RCODE.NOERROR)
      : reply(query.message, { answer, additional });
  }

  /** The addresses at which this server is asked from outside of the cluster. */
  externalAddresses(): readonly Address[] {
    return externalAddresses(this.cluster.directory, localAddresses(this.#site));
  }

  #nameServers(zone: string): ReadonlyMap<string, readonly Address[]> {
    return nameServers(this.cluster.directory, localAddresses(this.#site), zone);
  }

  #ownItems(): readonly { readonly address: Address; readonly port: number; readonly target: string }[] {
    return [...this.#nameServers(this.options.primaryZone).values()]
      .flat()
      .map((address) => ({ address, port: -1, target: "ns.dns" }));
  }

  #missing(query: Query, next: Next, zone: string): Outcome {
    if (this.options.fallthrough(query.name)) return next(query);
    if (!this.cluster.synced)
      throw new ServeError(RCODE.SERVFAIL, "plugin/kubernetes: the API was not read completely yet");
    return this.#negative(query, zone, RCODE.NXDOMAIN);
  }

  #negative(query: Query, zone: string, rcode: number): Message {
    return reply(query.message, { rcode, authority: [this.#soa(zone)] });
  }

  /** The SOA record: the one of the query before, as long as zone and serial are the same. */
  #soa(zone: string): ResourceRecord {
    const { serial } = this.cluster;
    if (this.#lastSoa?.serial !== serial || this.#lastSoa.zone !== zone) {
      const soa = soaRecord(zone, this.options.ttl, serial);
      this.#lastSoa = { zone, serial, soa };
    }
    return this.#lastSoa.soa;
  }
}

/** The search path of this machine, which pods have at the end of theirs. */
function machineSearch(): readonly string[] {
  const file = "/etc/resolv.conf";
  return existsSync(file) ? searchDomains(readFileSync(file, "utf8")) : ["."];
}
