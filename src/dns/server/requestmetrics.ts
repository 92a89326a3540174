/** The metrics about queries that every server has. */
import type { Family } from "../../net/address.ts";
import type { Counter, Histogram, Family as MetricFamily } from "../../telemetry/metrics.ts";
import { rcodeName, TYPE, typeName } from "../wire/codes.ts";
import { type Metrics, sizeBuckets, timeBuckets } from "./metrics.ts";
import type { Reply } from "./plugin.ts";
import type { Query } from "./query.ts";

/** Types that have a label value of their own; all others are `other`. */
const commonTypes: ReadonlySet<number> = new Set([
  TYPE.AAAA,
  TYPE.A,
  TYPE.CNAME,
  TYPE.DNSKEY,
  TYPE.DS,
  TYPE.HTTPS,
  TYPE.MX,
  TYPE.NSEC3,
  TYPE.NSEC,
  TYPE.NS,
  TYPE.PTR,
  TYPE.RRSIG,
  TYPE.SOA,
  TYPE.SRV,
  TYPE.TXT,
  TYPE.ANY,
]);

/** The counters of one server, zone, view and kind of client, bound once. */
interface Bound {
  readonly server: string;
  readonly zone: string;
  readonly view: string;
  readonly protocol: "udp" | "tcp";
  readonly family: Family;
  readonly requests: Map<number, Counter>;
  readonly responses: Map<string, Counter>;
  readonly duration: Histogram;
  readonly requestSize: Histogram;
  readonly responseSize: Histogram;
  readonly dnssec: Counter;
}

/** Counts queries and replies. */
export class RequestMetrics {
  /** Errors that are bugs: thrown by a plugin without being meant for the client. */
  readonly panics: Counter;
  readonly #requests: MetricFamily<Counter>;
  readonly #duration: MetricFamily<Histogram>;
  readonly #requestSize: MetricFamily<Histogram>;
  readonly #dnssec: MetricFamily<Counter>;
  readonly #responseSize: MetricFamily<Histogram>;
  readonly #responses: MetricFamily<Counter>;
  readonly #bound = new Map<string, Bound>();
  /** The counters that were used last, which the next query most probably counts in too. */
  #last: Bound | undefined;

  constructor(metrics: Metrics) {
    const zone = ["server", "zone", "view"];
    this.panics = metrics
      .counters("coredns_panics_total", "Queries that failed because of a fault in the server.")
      .labels();
    this.#requests = metrics.counters(
      "coredns_dns_requests_total",
      "Queries by server, zone, protocol, address family and type.",
      ...zone,
      "proto",
      "family",
      "type",
    );
    this.#duration = metrics.histograms(
      "coredns_dns_request_duration_seconds",
      "Time from a query to its reply, in seconds.",
      timeBuckets,
      ...zone,
    );
    this.#requestSize = metrics.histograms(
      "coredns_dns_request_size_bytes",
      "Sizes of queries.",
      sizeBuckets,
      ...zone,
      "proto",
    );
    this.#dnssec = metrics.counters("coredns_dns_do_requests_total", "Queries with the DO bit.", ...zone);
    this.#responseSize = metrics.histograms(
      "coredns_dns_response_size_bytes",
      "Sizes of replies.",
      sizeBuckets,
      ...zone,
      "proto",
    );
    this.#responses = metrics.counters(
      "coredns_dns_responses_total",
      "Replies by server, zone, code and the plugin that made them.",
      ...zone,
      "rcode",
      "plugin",
    );
  }

  /**
   * Counts a query that was answered.
   *
   * @param seconds from its arrival to its reply.
   */
  answered(server: string, view: string, query: Query, answer: Reply, size: number, seconds: number): void {
    const bound = this.#bind(server, view, query);
    const type = commonTypes.has(query.type) ? query.type : 0;
    let requests = bound.requests.get(type);
    if (requests === undefined) {
      const family = query.client.family === "IPv6" ? "2" : "1";
      const label = type === 0 ? "other" : typeName(type);
      requests = this.#requests.labels(server, query.state.zone, view, protocolLabel(query), family, label);
      bound.requests.set(type, requests);
    }
    requests.add(1);
    bound.duration.observe(seconds);
    bound.requestSize.observe(requestSize(query));
    if (query.dnssec) bound.dnssec.add(1);
    if (answer === undefined) return;
    bound.responseSize.observe(size);
    const key = answer.rcode === 0 ? query.state.plugin : `${answer.rcode} ${query.state.plugin}`;
    let responses = bound.responses.get(key);
    if (responses === undefined) {
      responses = this.#responses.labels(server, query.state.zone, view, rcodeName(answer.rcode), query.state.plugin);
      bound.responses.set(key, responses);
    }
    responses.add(1);
  }

  /** Counts a query that belongs to no server block. */
  dropped(server: string, query: Query, rcode: number): void {
    const family = query.client.family === "IPv6" ? "2" : "1";
    const type = commonTypes.has(query.type) ? typeName(query.type) : "other";
    this.#requests.labels(server, "dropped", "", protocolLabel(query), family, type).add(1);
    this.#responses.labels(server, "dropped", "", rcodeName(rcode), "").add(1);
  }

  #bind(server: string, view: string, query: Query): Bound {
    const { zone } = query.state;
    const { family } = query.client;
    const protocol = protocolLabel(query);
    const last = this.#last;
    if (
      last !== undefined &&
      last.server === server &&
      last.zone === zone &&
      last.view === view &&
      last.protocol === protocol &&
      last.family === family
    ) {
      return last;
    }
    const key = `${protocol} ${family} ${server} ${zone} ${view}`;
    let bound = this.#bound.get(key);
    if (bound === undefined) {
      bound = {
        server,
        zone,
        view,
        protocol,
        family,
        requests: new Map(),
        responses: new Map(),
        duration: this.#duration.labels(server, zone, view),
        requestSize: this.#requestSize.labels(server, zone, view, protocol),
        responseSize: this.#responseSize.labels(server, zone, view, protocol),
        dnssec: this.#dnssec.labels(server, zone, view),
      };
      this.#bound.set(key, bound);
    }
    this.#last = bound;
    return bound;
  }
}

/** DNS over TLS counts as TCP, as everything that is not UDP. */
function protocolLabel(query: Query): "udp" | "tcp" {
  return query.client.protocol === "udp" ? "udp" : "tcp";
}

/** The size of a query in bytes: header, question, and OPT without its options. */
function requestSize(query: Query): number {
  return 12 + query.question.name.length + 5 + (query.message.edns === undefined ? 0 : 11);
}
