/** Plugin cache: keeps replies of the plugins behind it. */
import { single } from "../../corefile/stanza.ts";
import { after, type Handler, type Next, type Outcome, type Plugin, type Reply } from "../../server/plugin.ts";
import { Query } from "../../server/query.ts";
import type { Site } from "../../server/site.ts";
import { CLASS, RCODE, TYPE } from "../../wire/codes.ts";
import type { Message } from "../../wire/message.ts";
import { isWithin } from "../../wire/names.ts";
import type { ResourceRecord } from "../../wire/record.ts";
import { serverLabel } from "../prometheus/prometheus.ts";
import { kindOf, minimumTtl, type ReplyKind } from "./kind.ts";
import { type CacheOptions, parseOptions } from "./options.ts";
import { Entry, Store, setTtl } from "./store.ts";

/** The plugin. */
export const cache: Plugin = {
  name: "cache",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    return new Cache(parseOptions(stanza, site), site);
  },
};

class Cache implements Handler {
  readonly name = "cache";
  readonly #options: CacheOptions;
  readonly #site: Site;
  readonly #metrics: ReturnType<typeof metricsOf>;
  readonly #success: Store;
  readonly #denial: Store;

  constructor(options: CacheOptions, site: Site) {
    this.#options = options;
    this.#site = site;
    const metrics = metricsOf(site, options);
    this.#metrics = metrics;
    this.#success = new Store(options.success.capacity, () => metrics.evictions("success").add(1));
    this.#denial = new Store(options.denial.capacity, () => metrics.evictions("denial").add(1));
  }

  serve(query: Query, next: Next): Outcome {
    const { type, question } = query;
    const meta = type === TYPE.AXFR || type === TYPE.IXFR || question.class !== CLASS.IN;
    if (meta || !isIn(this.#options.zones, query.name)) return next(query);
    this.#metrics.requests.add(1);
    const { success, denial } = this.#options;
    if (isIn(success.disabled, query.name) && isIn(denial.disabled, query.name)) {
      this.#metrics.misses.add(1);
      return next(query);
    }
    const now = this.#site.env.clock.now();
    const key = keyOf(query);
    const entry = this.#find(key, now);
    if (entry === undefined) {
      this.#metrics.misses.add(1);
      return after(next(query), (reply) => this.#keep(query, key, reply));
    }
    const left = entry.left(now);
    this.#metrics
      .hits(entry.reply.rcode === RCODE.NOERROR && entry.reply.answer.length > 0 ? "success" : "denial")
      .add(1);
    if (left <= 0) return this.#stale(query, next, key, entry, now);
    this.#prefetch(query, next, key, entry, now, left);
    return this.#answer(query, entry, this.#options.keepTtl ? entry.ttl : left);
  }

  /** What is kept under a key and may be given out now, stale entries too if that is wanted. */
  #find(key: string, now: number): Entry | undefined {
    const { stale, preferPositive } = this.#options;
    const good = (entry: Entry | undefined) => entry !== undefined && entry.left(now) > 0;
    const usable = (entry: Entry | undefined) =>
      entry !== undefined && stale !== undefined && now - entry.stored - entry.ttl * 1000 < stale.upTo;
    const denial = this.#denial.get(key);
    const success = this.#success.get(key);
    if (preferPositive && !good(success) && usable(success) && denial !== undefined) return success;
    if (good(denial)) return denial;
    if (good(success)) return success;
    if (usable(success)) return success;
    return usable(denial) ? denial : undefined;
  }

  #answer(query: Query, entry: Entry, ttl: number): Message {
    const kept = entry.withTtl(ttl);
    const { message } = query;
    const asked = query.question.name;
    return {
      ...kept,
      id: message.id,
      rd: message.rd,
      cd: message.cd,
      // Some resolvers throw away replies that are not authoritative.
      aa: true,
      ad: kept.ad && (query.dnssec || message.ad),
      questions: message.questions,
      answer: inCaseOf(kept.answer, asked),
      edns: undefined,
    };
  }

  /** Keeps a reply if it is of a kind that is kept; gives it the TTL that it will have in the cache. */
  #keep(query: Query, key: string, reply: Reply): Reply {
    if (reply === undefined) return undefined;
    const [echo] = reply.questions;
    if (echo !== undefined && (echo.type !== query.type || echo.name.toLowerCase() !== query.name)) {
      this.#metrics.drops.add(1);
      return reply;
    }
    const kind = kindOf(reply);
    if (kind === undefined) return reply;
    const { success, denial } = this.#options;
    const { disabled } = kind === "success" ? success : denial;
    const ttl = this.#lifetime(reply, kind);
    if (ttl <= 0 || isIn(disabled, query.name)) return reply;
    const entry = new Entry(reply, this.#site.env.clock.now(), ttl);
    const [store, other] = kind === "success" ? [this.#success, this.#denial] : [this.#denial, this.#success];
    store.set(key, entry);
    if (kind !== "failure" && !(this.#options.preferPositive && kind === "denial")) other.delete(key);
    this.#metrics.entries("success").set(this.#success.size);
    this.#metrics.entries("denial").set(this.#denial.size);
    const first = setTtl(reply, Math.floor(ttl));
    return reply.ad && !query.dnssec && !query.message.ad ? { ...first, ad: false } : first;
  }

  /** Seconds that a reply is kept. */
  #lifetime(reply: Message, kind: ReplyKind): number {
    if (kind === "failure") return this.#options.failureTime / 1000;
    const { minTtl, maxTtl } = kind === "success" ? this.#options.success : this.#options.denial;
    return Math.min(maxTtl, Math.max(minTtl, minimumTtl(reply, kind)));
  }

  #stale(query: Query, next: Next, key: string, entry: Entry, now: number): Outcome {
    const { stale } = this.#options;
    if (stale === undefined) return next(query);
    const give = () => {
      this.#metrics.servedStale.add(1);
      return this.#answer(query, entry, stale.ttl);
    };
    if (entry.refreshing || now < entry.refreshAfter) return give();
    entry.refreshAfter = now + stale.recheck;
    const refreshed = this.#refresh(query, next, key, entry);
    if (!stale.verify) return give();
    const limit = new AbortController();
    const late =
      stale.timeout === 0
        ? new Promise<undefined>(() => {})
        : this.#site.env.clock.sleep(stale.timeout, limit.signal).then(() => undefined);
    return Promise.race([refreshed, late]).then((reply) => {
      limit.abort();
      return reply ?? give();
    });
  }

  #prefetch(query: Query, next: Next, key: string, entry: Entry, now: number, left: number): void {
    const { prefetch } = this.#options;
    if (prefetch === undefined) return;
    entry.use(now, prefetch.pause);
    if (entry.uses < prefetch.amount || left > Math.ceil((prefetch.percentage / 100) * entry.ttl)) return;
    if (entry.refreshing) return;
    this.#metrics.prefetches.add(1);
    void this.#refresh(query, next, key, entry);
  }

  /**
   * Asks the plugins behind for a new reply and keeps it. One at a time for an entry.
   *
   * @returns undefined if they fail: what is kept is better than an error, which is not kept then.
   */
  async #refresh(query: Query, next: Next, key: string, entry: Entry): Promise<Reply> {
    entry.refreshing = true;
    try {
      const fresh = new Query(query.message, query.client);
      fresh.state.zone = query.state.zone;
      const found = await next(fresh);
      if (found?.rcode !== RCODE.NOERROR && found?.rcode !== RCODE.NXDOMAIN) return undefined;
      const reply = this.#keep(fresh, key, found);
      const kept = this.#success.get(key) ?? this.#denial.get(key);
      if (kept !== undefined && kept !== entry) {
        kept.uses = entry.uses;
        kept.lastUse = entry.lastUse;
      }
      return reply;
    } catch {
      return undefined;
    } finally {
      entry.refreshing = false;
    }
  }
}

function isIn(zones: readonly string[], name: string): boolean {
  for (const zone of zones) if (isWithin(name, zone)) return true;
  return false;
}

/** What must be the same for a kept reply to be given. */
function keyOf({ name, type, message }: Query): string {
  return `${name}${type}${message.edns?.do ? "d" : ""}${message.cd ? "c" : ""}`;
}

/** Records of the name that was asked for, in the case in which it was asked for this time. */
function inCaseOf(records: readonly ResourceRecord[], asked: string): readonly ResourceRecord[] {
  const [first] = records;
  if (first === undefined || first.name === asked || first.name.toLowerCase() !== asked.toLowerCase()) return records;
  return records.map((record) => (record.name === first.name ? { ...record, name: asked } : record));
}

function metricsOf(site: Site, { zones }: CacheOptions) {
  const { metrics } = site.env;
  const where = ["server", "zones", "view"];
  const values = [serverLabel(site), zones.join(","), site.settings.viewName];
  const plain = (name: string, help: string) => metrics.counters(name, help, ...where).labels(...values);
  const byType = <M>(find: (type: string) => M) => {
    const known = { success: find("success"), denial: find("denial") };
    return (type: "success" | "denial") => known[type];
  };
  const [server = "", ...rest] = values;
  const typed = ["server", "type", "zones", "view"];
  const entries = metrics.gauges("coredns_cache_entries", "Replies that are kept.", ...typed);
  const hits = metrics.counters("coredns_cache_hits_total", "Queries answered with a kept reply.", ...typed);
  const evictions = metrics.counters("coredns_cache_evictions_total", "Replies that had to make room.", ...typed);
  return {
    requests: plain("coredns_cache_requests_total", "Queries."),
    misses: plain("coredns_cache_misses_total", "Queries for which no reply was kept."),
    drops: plain("coredns_cache_drops_total", "Replies that were not kept because they were to another question."),
    prefetches: plain("coredns_cache_prefetch_total", "Replies that were fetched again before their time was over."),
    servedStale: plain("coredns_cache_served_stale_total", "Queries answered with a reply past its time."),
    hits: byType((type) => hits.labels(server, type, ...rest)),
    evictions: byType((type) => evictions.labels(server, type, ...rest)),
    entries: byType((type) => entries.labels(server, type, ...rest)),
  };
}
