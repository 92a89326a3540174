/** Plugin forward (also `proxy`, its old name): asks other servers. */
import { type DnsLog, messageOf } from "../../server/log.ts";
import { timeBuckets } from "../../server/metrics.ts";
import { type Handler, type Next, type Outcome, type Plugin, type Reply, ServeError } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { errorReply } from "../../server/reply.ts";
import type { Site } from "../../server/site.ts";
import { RCODE, rcodeName } from "../../wire/codes.ts";
import type { Message } from "../../wire/message.ts";
import { isWithin } from "../../wire/names.ts";
import { type ForwardOptions, parseOptions } from "./options.ts";
import { Upstream } from "./upstream.ts";

/** All attempts for one query together, in milliseconds. */
const deadline = 5000;

const plugin = (name: string): Plugin => ({
  name,
  async setup(stanzas, site) {
    const handlers: Forward[] = [];
    for (const stanza of stanzas) handlers.push(new Forward(await parseOptions(stanza, site), site));
    return handlers;
  },
});

/** The plugin. */
export const forward: Plugin = plugin("forward");
/** The plugin by its old name. */
export const proxy: Plugin = plugin("proxy");

class Forward implements Handler {
  readonly name = "forward";
  readonly #options: ForwardOptions;
  readonly #site: Site;
  readonly #log: DnsLog;
  readonly #upstreams: readonly Upstream[];
  readonly #metrics: ReturnType<typeof metricsOf>;
  #turn = 0;
  #running = 0;
  #signal: AbortSignal | undefined;

  constructor(options: ForwardOptions, site: Site) {
    this.#options = options;
    this.#site = site;
    this.#log = site.env.log.plugin(this.name);
    const { env } = site;
    const metrics = metricsOf(site);
    this.#metrics = metrics;
    this.#upstreams = options.destinations.map(
      (destination) =>
        new Upstream(destination, options, {
          clock: env.clock,
          random: env.random,
          signal: () => this.#signal,
          onConnection: (protocol, to) => {
            const hits = metrics.hits.labels("forward", to, protocol);
            const misses = metrics.misses.labels("forward", to, protocol);
            return (reused) => (reused ? hits : misses).add(1);
          },
          onHealthFailure: (to) => metrics.healthFailures.labels("forward", to).add(1),
        }),
    );
    site.settings.anyClass = true;
    site.onStart((signal) => {
      this.#signal = signal;
      signal.addEventListener("abort", () => {
        for (const upstream of this.#upstreams) upstream.close();
      });
    });
  }

  serve(query: Query, next: Next): Outcome {
    const { from, except, maxConcurrent } = this.#options;
    if (!isWithin(query.name, from) || except.some((zone) => isWithin(query.name, zone))) return next(query);
    if (maxConcurrent > 0 && this.#running >= maxConcurrent) {
      this.#metrics.rejected.add(1);
      throw new ServeError(RCODE.REFUSED, `plugin/forward: concurrent queries exceeded maximum ${maxConcurrent}`);
    }
    this.#running++;
    return this.#forward(query, next).finally(() => {
      this.#running--;
    });
  }

  async #forward(query: Query, next: Next): Promise<Reply> {
    const { forceTcp, preferUdp, failover, maxConnectAttempts, failFast, readTimeout } = this.#options;
    const { clock } = this.#site.env;
    const end = clock.monotonic() + deadline;
    const list = this.#ordered();
    let stream = forceTcp || (!preferUdp && query.client.protocol !== "udp");
    let attempts = 0;
    let skipped = 0;
    let failure: unknown;
    for (let i = 0; clock.monotonic() < end; i++) {
      let upstream = list[i % list.length];
      if (i % list.length === 0) skipped = 0;
      if (upstream === undefined) break;
      if (upstream.down) {
        if (++skipped < list.length) continue;
        this.#metrics.healthBroken.add(1);
        if (failFast) break;
        // All are down by their health checks: which may be at fault themselves, so that one is tried anyway.
        upstream = list[Math.floor(this.#site.env.random() * list.length)] ?? upstream;
      }
      let answer: Message;
      try {
        answer = await this.#ask(upstream, query, stream, Math.min(readTimeout, end - clock.monotonic()));
        if (answer.tc && !stream && preferUdp) {
          stream = true;
          answer = await this.#ask(upstream, query, stream, Math.min(readTimeout, end - clock.monotonic()));
        }
      } catch (error) {
        failure = error;
        this.#log.debug(() => `${upstream.address}: ${query.name}: ${messageOf(error)}`);
        upstream.checkHealth();
        if (++attempts < maxConnectAttempts || maxConnectAttempts === 0) continue;
        break;
      }
      if (!isAnswerTo(answer, query)) return errorReply(query.message, RCODE.FORMERR);
      if (failover.has(answer.rcode) && i + 1 < list.length) continue;
      return this.#orNext(query, next, answer);
    }
    const reason = failure instanceof Error ? failure.message : "no healthy upstream";
    throw new ServeError(RCODE.SERVFAIL, `plugin/forward: ${reason}`, { cause: failure });
  }

  /** The answer, or that of the forward behind this one if the answer is of a kind for which that is wanted. */
  #orNext(query: Query, next: Next, answer: Message): Outcome {
    const { next: codes, nextOnNoData } = this.#options;
    if (!(this.#site.handlerAfter(this) instanceof Forward)) return answer;
    const noData = answer.rcode === RCODE.NOERROR && answer.answer.length === 0;
    return codes.has(answer.rcode) || (nextOnNoData && noData) ? next(query) : answer;
  }

  async #ask(upstream: Upstream, query: Query, stream: boolean, timeout: number): Promise<Message> {
    const { clock } = this.#site.env;
    query.state.metadata?.set("forward/upstream", () => upstream.address);
    const start = clock.monotonic();
    const answer = await upstream.ask(query.message, stream, Math.max(1, timeout));
    this.#metrics.duration
      .labels("forward", upstream.address, rcodeName(answer.rcode))
      .observe((clock.monotonic() - start) / 1000);
    return answer;
  }

  /** The upstreams in the order in which this query tries them. */
  #ordered(): readonly Upstream[] {
    const all = this.#upstreams;
    if (all.length < 2 || this.#options.policy === "sequential") return all;
    const first =
      this.#options.policy === "round_robin"
        ? this.#turn++ % all.length
        : Math.floor(this.#site.env.random() * all.length);
    return [...all.slice(first), ...all.slice(0, first)];
  }
}

/** True if a reply is one to this question. */
function isAnswerTo(answer: Message, { question, name }: Query): boolean {
  const [echo] = answer.questions;
  if (!answer.qr) return false;
  // Servers that refuse may leave the question out.
  if (echo === undefined) return answer.rcode !== RCODE.NOERROR;
  return echo.type === question.type && echo.class === question.class && echo.name.toLowerCase() === name;
}

function metricsOf({ env: { metrics } }: Site) {
  const who = ["proxy_name", "to"];
  return {
    rejected: metrics
      .counters("coredns_forward_max_concurrent_rejects_total", "Queries refused because too many were under way.")
      .labels(),
    healthBroken: metrics
      .counters("coredns_forward_healthcheck_broken_total", "Queries for which every destination was down.")
      .labels(),
    duration: metrics.histograms(
      "coredns_proxy_request_duration_seconds",
      "Seconds that destinations took to reply.",
      timeBuckets,
      ...who,
      "rcode",
    ),
    healthFailures: metrics.counters(
      "coredns_proxy_healthcheck_failures_total",
      "Health checks of destinations that failed.",
      ...who,
    ),
    hits: metrics.counters("coredns_proxy_conn_cache_hits_total", "Connections that were reused.", ...who, "proto"),
    misses: metrics.counters("coredns_proxy_conn_cache_misses_total", "Connections that were opened.", ...who, "proto"),
  };
}
