/** Plugin dnssec: signs replies of the plugins behind it as they go out, for clients that want signatures. */
import { readFileSync } from "node:fs";
import { type Stanza, single } from "../../corefile/stanza.ts";
import { parseKey, type ZoneKey } from "../../dnssec/keys.ts";
import { signSet } from "../../dnssec/sign.ts";
import { messageOf } from "../../server/log.ts";
import { after, type Handler, type Next, type Outcome, type Plugin } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { reply } from "../../server/reply.ts";
import type { Site } from "../../server/site.ts";
import { zonesOf } from "../../server/zones.ts";
import { RCODE, TYPE } from "../../wire/codes.ts";
import type { Message } from "../../wire/message.ts";
import { isWithin, longestZone } from "../../wire/names.ts";
import { formatRecord, is, type ResourceRecord, record } from "../../wire/record.ts";
import { serverLabel } from "../prometheus/prometheus.ts";

/** Seconds: signatures begin in the past, for clocks that are late, and are good for 8 days. */
const inceptionBefore = 3 * 3600;
const goodFor = 8 * 86_400;
/** A kept signature is made anew when it has less left than this, in seconds. */
const renewBefore = 2 * 86_400;
const keyTtl = 3600;
const defaultCapacity = 10_000;

/** The plugin. */
export const dnssec: Plugin = {
  name: "dnssec",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    return new Dnssec(stanza, site);
  },
};

class Dnssec implements Handler {
  readonly name = "dnssec";
  readonly #zones: readonly string[];
  readonly #keys: readonly ZoneKey[];
  readonly #capacity: number;
  readonly #site: Site;
  readonly #metrics: ReturnType<typeof metricsOf>;
  /** Signatures by key and content of the set, oldest first. */
  readonly #signatures = new Map<string, ResourceRecord<"RRSIG">>();

  constructor(stanza: Stanza, site: Site) {
    this.#zones = zonesOf(stanza, stanza.args, site);
    this.#site = site;
    this.#metrics = metricsOf(site);
    let capacity = defaultCapacity;
    const keys: ZoneKey[] = [];
    for (const property of stanza.properties) {
      if (property.name === "cache_capacity") {
        property.expect(1);
        capacity = property.number(0, "cache_capacity", 1, 10_000_000);
      } else if (property.name === "key") {
        keys.push(...readKeys(property, site));
      } else {
        throw stanza.unknown(property);
      }
    }
    if (keys.length === 0) throw stanza.error("needs key file");
    for (const zone of this.#zones) {
      if (!keys.some((key) => key.zone === zone)) throw stanza.error(`no key is for zone ${zone}`);
    }
    this.#keys = keys;
    this.#capacity = capacity;
  }

  serve(query: Query, next: Next): Outcome {
    const zone = longestZone(this.#zones, query.name);
    if (zone === undefined) return next(query);
    if (query.type === TYPE.DNSKEY && query.name === zone) {
      const answer = this.#keysOf(zone).map((key) => ({ ...key.record, name: query.question.name, ttl: keyTtl }));
      const own = reply(query.message, { answer });
      return query.dnssec ? { ...own, answer: this.#signed(answer, zone) } : own;
    }
    if (!query.dnssec) return next(query);
    return after(next(query), (answer) => (answer === undefined ? undefined : this.#sign(query, next, zone, answer)));
  }

  #sign(query: Query, next: Next, zone: string, answer: Message): Outcome {
    const { rcode } = answer;
    if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return answer;
    const sections = [...answer.answer, ...answer.authority];
    if (sections.some((one) => one.type === TYPE.RRSIG)) return answer;
    const denied = answer.answer.length === 0 && answer.authority.some((one) => is(one, "SOA"));
    if (denied) {
      const apex = query.name === zone;
      const types = typesFor(query, rcode === RCODE.NXDOMAIN, apex);
      if (query.type !== TYPE.DS || apex) return this.#deny(query, zone, answer, types);
      // Where a zone begins that is not signed, the proof must say so, or what is in that zone is taken for forged.
      return after(next(query.ask({ type: TYPE.NS })), (found) => {
        const begins = [...(found?.answer ?? []), ...(found?.authority ?? [])].some(
          (one) => one.type === TYPE.NS && one.name.toLowerCase() === query.name,
        );
        return this.#deny(query, zone, answer, begins ? delegationTypes : types);
      });
    }
    const cut = answer.authority.find((one) => one.type === TYPE.NS && one.name.toLowerCase() !== zone);
    if (answer.answer.length === 0 && cut !== undefined) {
      const proof = sections.some((one) => one.type === TYPE.DS) ? [] : [denial(cut.name, cut.ttl, delegationTypes)];
      // The addresses that come along belong to the zone below, and are not signed.
      return { ...answer, authority: this.#signed([...answer.authority, ...proof], zone) };
    }
    return {
      ...answer,
      answer: this.#signed(answer.answer, zone),
      authority: this.#signed(answer.authority, zone),
      additional: this.#signed(answer.additional, zone),
    };
  }

  /**
   * The name is said to exist, without the type that was asked for: nothing else can be proved without a list of all
   * names, and neighbours need not be told ("black lies").
   */
  #deny(query: Query, zone: string, answer: Message, types: readonly number[]): Message {
    const ttl = Math.min(...answer.authority.map((one) => one.ttl));
    const authority = this.#signed([...answer.authority, denial(query.question.name, ttl, types)], zone);
    return { ...answer, rcode: RCODE.NOERROR, authority };
  }

  /** Each set of the zone followed by its signatures. Delegations are not the zone's own, and are not signed. */
  #signed(records: readonly ResourceRecord[], zone: string): readonly ResourceRecord[] {
    const sets = new Map<string, ResourceRecord[]>();
    for (const one of records) {
      const key = `${one.name.toLowerCase()} ${one.type} ${one.class}`;
      const set = sets.get(key);
      if (set === undefined) sets.set(key, [one]);
      else set.push(one);
    }
    return [...sets.values()].flatMap((set) => {
      const [first] = set;
      const owner = first?.name.toLowerCase() ?? ".";
      if (first === undefined || !isWithin(owner, zone) || (first.type === TYPE.NS && owner !== zone)) return set;
      return [...set, ...this.#signaturesOf(set, zone)];
    });
  }

  #signaturesOf(set: readonly ResourceRecord[], zone: string): readonly ResourceRecord[] {
    const keys = this.#keysOf(zone);
    const forKeys = set[0]?.type === TYPE.DNSKEY;
    // One key may do for both; with two kinds, each signs its own.
    const split = keys.some((key) => key.signsKeys) && keys.some((key) => !key.signsKeys);
    const now = Math.floor(this.#site.env.clock.now() / 1000);
    const content = set.map(formatRecord).sort().join("\n");
    return keys
      .filter((key) => !split || key.signsKeys === forKeys)
      .map((key) => {
        const id = `${key.tag} ${content}`;
        const kept = this.#signatures.get(id);
        if (kept !== undefined && kept.data.expiration - now > renewBefore) {
          this.#metrics.hits.add(1);
          return kept;
        }
        this.#metrics.misses.add(1);
        const signature = signSet(set, key, now - inceptionBefore, now + goodFor);
        if (this.#signatures.size >= this.#capacity) {
          for (const oldest of this.#signatures.keys()) {
            this.#signatures.delete(oldest);
            break;
          }
        }
        this.#signatures.set(id, signature);
        this.#metrics.entries.set(this.#signatures.size);
        return signature;
      });
  }

  #keysOf(zone: string): readonly ZoneKey[] {
    return this.#keys.filter((key) => key.zone === zone);
  }
}

/** What is at the name of a zone that is handed over to other servers without being signed. */
const delegationTypes: readonly number[] = [TYPE.NS, TYPE.RRSIG, TYPE.NSEC];

/** Proof that a name has these types only, and that none is between it and the first below it. */
function denial(name: string, ttl: number, types: readonly number[]): ResourceRecord {
  return record(name, "NSEC", ttl, { next: `\\000.${name}`, types });
}

/** Types that are said to exist: many for a name that exists, so that none of them is denied wrongly; not the one asked. */
function typesFor(query: Query, missing: boolean, apex: boolean): readonly number[] {
  if (missing) return [TYPE.RRSIG, TYPE.NSEC];
  const common = [
    TYPE.A,
    TYPE.HINFO,
    TYPE.TXT,
    TYPE.AAAA,
    TYPE.LOC,
    TYPE.SRV,
    TYPE.CERT,
    TYPE.SSHFP,
    TYPE.RRSIG,
    TYPE.NSEC,
    TYPE.TLSA,
    TYPE.HTTPS,
  ];
  const all = apex ? [...common, TYPE.NS, TYPE.SOA, TYPE.MX, TYPE.DNSKEY] : common;
  return all.filter((type) => type !== query.type).sort((a, b) => a - b);
}

function metricsOf(site: Site) {
  const { metrics } = site.env;
  const server = serverLabel(site);
  return {
    entries: metrics
      .gauges("coredns_dnssec_cache_entries", "Signatures that are kept.", "server", "type")
      .labels(server, "signature"),
    hits: metrics.counters("coredns_dnssec_cache_hits_total", "Signatures that were there.", "server").labels(server),
    misses: metrics
      .counters("coredns_dnssec_cache_misses_total", "Signatures that had to be made.", "server")
      .labels(server),
  };
}

/** `key file BASE...`: files BASE.key and BASE.private. */
function readKeys(property: Stanza, site: Site): readonly ZoneKey[] {
  const [source, ...names] = property.expect(2, Number.POSITIVE_INFINITY);
  if (source !== "file") throw property.error(`keys are read from files: key file ${source}`);
  return names.map((name) => {
    const base = site.path(name).replace(/\.(key|private)$/, "");
    try {
      return parseKey(readFileSync(`${base}.key`, "utf8"), readFileSync(`${base}.private`, "utf8"));
    } catch (error) {
      throw property.error(messageOf(error));
    }
  });
}
