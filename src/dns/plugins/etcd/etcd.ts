/** Plugin etcd: names from etcd, in the format of SkyDNS. */
import type { Stanza } from "../../corefile/stanza.ts";
import { messageOf } from "../../server/log.ts";
import {
  type Fallthrough,
  type Handler,
  type Next,
  type Outcome,
  type Plugin,
  type Reply,
  ServeError,
} from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { reply } from "../../server/reply.ts";
import type { Site } from "../../server/site.ts";
import { readTlsFiles } from "../../server/tlsfiles.ts";
import { fallthroughOf, noFallthrough, zonesOf } from "../../server/zones.ts";
import { RCODE, TYPE } from "../../wire/codes.ts";
import { isWithin, longestZone } from "../../wire/names.ts";
import { type ResourceRecord, record } from "../../wire/record.ts";
import { addressRecords, joinName, zoneAsAsked } from "../kubernetes/answers.ts";
import { EtcdClient, type EtcdOptions } from "./client.ts";
import { type Entry, entriesOf, keyOf, type LeaseBounds, mailRecords, serviceRecords, textRecords } from "./entries.ts";

/** What a directive says. */
interface Options extends EtcdOptions {
  readonly zones: readonly string[];
  /** What all keys begin with. */
  readonly path: string;
  readonly fallthrough: Fallthrough;
  readonly leases: LeaseBounds;
}

/** Aliases that are followed. */
const maxAliases = 8;
const soaTtl = 300;

/** The plugin. */
export const etcd: Plugin = {
  name: "etcd",
  setup: (stanzas, site) => stanzas.map((stanza) => new Etcd(parse(stanza, site), site)),
};

function parse(stanza: Stanza, site: Site): Options {
  let path = "/skydns";
  let endpoints: readonly string[] = ["http://localhost:2379"];
  let tls: Options["tls"];
  let credentials: Options["credentials"];
  let fallthrough = noFallthrough;
  let leases: LeaseBounds = { min: 30, max: 86_400 };
  for (const property of stanza.properties) {
    switch (property.name) {
      case "path":
        path = `/${(property.expect(1)[0] ?? "").replace(/^\/|\/$/g, "")}`;
        break;
      case "endpoint":
        endpoints = property.expect(1, Number.POSITIVE_INFINITY);
        for (const endpoint of endpoints) {
          if (!URL.canParse(endpoint)) throw property.error(`'${endpoint}' is not a URL such as http://localhost:2379`);
        }
        break;
      case "tls":
        tls = readTlsFiles(property, site);
        break;
      case "credentials": {
        const [name = "", password = ""] = property.expect(2);
        credentials = { name, password };
        break;
      }
      case "min-lease-ttl":
        property.expect(1);
        leases = { ...leases, min: property.duration(0, property.name, 1000) / 1000 };
        break;
      case "max-lease-ttl":
        property.expect(1);
        leases = { ...leases, max: property.duration(0, property.name, 1000) / 1000 };
        break;
      case "fallthrough":
        fallthrough = fallthroughOf(property);
        break;
      // Had a meaning once, and stands in old files.
      case "upstream":
        break;
      default:
        throw stanza.unknown(property);
    }
  }
  return { zones: zonesOf(stanza, stanza.args, site), path, endpoints, tls, credentials, fallthrough, leases };
}

class Etcd implements Handler {
  readonly name = "etcd";
  readonly #options: Options;
  readonly #site: Site;
  readonly #client: EtcdClient;

  constructor(options: Options, site: Site) {
    this.#options = options;
    this.#site = site;
    this.#client = new EtcdClient(options);
    site.onStart((signal) => {
      signal.addEventListener("abort", () => this.#client.close());
    });
  }

  serve(query: Query, next: Next): Outcome {
    const matched = longestZone(this.#options.zones, query.name);
    if (matched === undefined) return next(query);
    return this.#serve(query, next, matched, zoneAsAsked(query.question.name, matched));
  }

  async #serve(query: Query, next: Next, matched: string, zone: string): Promise<Reply> {
    const { message, type, question } = query;
    if (query.name === matched && type === TYPE.SOA) return reply(message, { answer: [this.#soa(zone)] });
    if (query.name === matched && type === TYPE.NS) return this.#nameServers(query, zone);
    const entries = await this.#find(query.name);
    if (entries.length === 0) {
      if (query.name === matched) return this.#negative(query, zone, RCODE.NOERROR);
      if (this.#options.fallthrough(query.name)) return next(query);
      return this.#negative(query, zone, RCODE.NXDOMAIN);
    }
    const [answer, additional] = await this.#records(query, matched, question.name, entries);
    if (answer.length === 0) return this.#negative(query, zone, RCODE.NOERROR);
    return reply(message, { answer, additional });
  }

  async #records(
    query: Query,
    zone: string,
    owner: string,
    entries: readonly Entry[],
  ): Promise<readonly [readonly ResourceRecord[], readonly ResourceRecord[]]> {
    switch (query.type) {
      case TYPE.A:
      case TYPE.AAAA:
        return [await this.#addresses(query, zone, owner, entries, new Set()), []];
      case TYPE.SRV:
        return serviceRecords(owner, entries);
      case TYPE.MX:
        return mailRecords(owner, entries);
      case TYPE.TXT:
        return [textRecords(owner, entries), []];
      case TYPE.CNAME:
      case TYPE.PTR: {
        const kind = query.type === TYPE.PTR ? "PTR" : "CNAME";
        const hosts = entries.flatMap(({ alias, ttl }) =>
          alias === undefined ? [] : [record(owner, kind, ttl, { host: alias })],
        );
        return [hosts, []];
      }
      default:
        return [[], []];
    }
  }

  /** Addresses; an alias is followed, in etcd within the zone, by asking the server itself outside of it. */
  async #addresses(
    query: Query,
    zone: string,
    owner: string,
    entries: readonly Entry[],
    seen: Set<string>,
  ): Promise<readonly ResourceRecord[]> {
    const type = query.type === TYPE.A ? "A" : "AAAA";
    const records: ResourceRecord[] = [];
    seen.add(owner.toLowerCase());
    for (const { host, alias, ttl } of entries) {
      if (host !== undefined) {
        const known = records.some((one) => "address" in one.data && one.data.address === host);
        if (!known) records.push(...addressRecords(owner, type, ttl, [{ address: host }]));
      } else if (alias !== undefined && !seen.has(alias.toLowerCase()) && seen.size <= maxAliases) {
        const target = alias.toLowerCase();
        const found = isWithin(target, zone)
          ? await this.#addresses(query, zone, alias, await this.#find(target), seen)
          : ((await this.#site.ask(query.ask({ name: alias })))?.answer ?? []);
        if (found.length > 0) records.push(record(owner, "CNAME", ttl, { host: alias }), ...found);
      }
    }
    return records;
  }

  /** The entries of a name: those below it, or its own. */
  async #find(name: string): Promise<readonly Entry[]> {
    const { path, leases } = this.#options;
    const key = keyOf(name, path);
    try {
      const below = await this.#client.get(`${key}/`, true);
      return entriesOf(below.length > 0 ? below : await this.#client.get(key, false), path, leases);
    } catch (error) {
      throw new ServeError(RCODE.SERVFAIL, `plugin/etcd: ${messageOf(error)}`, { cause: error });
    }
  }

  /** The zone's name servers are the entries below `ns.dns`. */
  async #nameServers(query: Query, zone: string): Promise<Reply> {
    const entries = (await this.#find(`ns.dns.${query.name}`)).filter(({ host }) => host !== undefined);
    if (entries.length === 0) return this.#negative(query, zone, RCODE.NOERROR);
    const answer = entries.map(({ name, ttl }) => record(zone, "NS", ttl, { host: name }));
    const additional = entries.flatMap(({ name, ttl, host }) =>
      host === undefined ? [] : [record(name, host.includes(":") ? "AAAA" : "A", ttl, { address: host })],
    );
    return reply(query.message, { answer, additional });
  }

  #negative(query: Query, zone: string, rcode: number): Reply {
    return reply(query.message, { rcode, authority: [this.#soa(zone)] });
  }

  #soa(zone: string): ResourceRecord {
    return record(zone, "SOA", soaTtl, {
      primary: joinName("ns.dns", zone),
      mailbox: joinName("hostmaster", zone),
      serial: Math.floor(this.#site.env.clock.now() / 1000) >>> 0,
      refresh: 7200,
      retry: 1800,
      expire: 86400,
      minimum: 30,
    });
  }
}
