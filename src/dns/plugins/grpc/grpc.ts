/** Plugin grpc: asks other servers over gRPC. */

import { existsSync, readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { tryParseAddress } from "../../../net/address.ts";
import { formatHostPort } from "../../../net/protocol.ts";
import type { Exchange } from "../../client/exchange.ts";
import { grpcExchange } from "../../client/http2.ts";
import type { Stanza } from "../../corefile/stanza.ts";
import { messageOf } from "../../server/log.ts";
import { timeBuckets } from "../../server/metrics.ts";
import { type Handler, type Next, type Outcome, type Plugin, type Reply, ServeError } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import type { Site } from "../../server/site.ts";
import { readTlsFiles } from "../../server/tlsfiles.ts";
import { fallthroughOf, namesOf, noFallthrough } from "../../server/zones.ts";
import { RCODE, rcodeName } from "../../wire/codes.ts";
import { decodeMessage, encodeCopy } from "../../wire/message.ts";
import { isWithin } from "../../wire/names.ts";
import { Writer } from "../../wire/writer.ts";
import { nameServersOf, parseDestination } from "../forward/destination.ts";

const deadline = 5000;
const attempt = 2000;
const maxDestinations = 15;
const defaultPort = 443;
/** Of servers that a file names. */
const dnsPort = 53;
const writer = new Writer();

/** The plugin. */
export const grpc: Plugin = {
  name: "grpc",
  setup: (stanzas, site) => stanzas.map((stanza) => new Grpc(stanza, site)),
};

class Grpc implements Handler {
  readonly name = "grpc";
  readonly #from: string;
  readonly #except: readonly string[];
  readonly #upstreams: readonly { readonly address: string; readonly exchange: Exchange }[];
  readonly #policy: string;
  readonly #fallthrough;
  readonly #site: Site;
  readonly #metrics: ReturnType<typeof metricsOf>;
  #turn = 0;

  constructor(stanza: Stanza, site: Site) {
    const [fromText = "", ...to] = stanza.expect(2, maxDestinations + 1);
    const [from = "."] = namesOf(stanza, [fromText]);
    let except: readonly string[] = [];
    let tls: ConnectionOptions | undefined;
    let servername = "";
    this.#policy = "random";
    this.#fallthrough = noFallthrough;
    for (const property of stanza.properties) {
      switch (property.name) {
        case "except":
          except = namesOf(property, property.expect(1, Number.POSITIVE_INFINITY));
          break;
        case "tls":
          tls = readTlsFiles(property, site);
          break;
        case "tls_servername":
          [servername = ""] = property.expect(1);
          break;
        case "policy": {
          const [policy = ""] = property.expect(1);
          if (!["random", "round_robin", "sequential"].includes(policy)) {
            throw property.error(`'${policy}' must be random, round_robin or sequential`);
          }
          this.#policy = policy;
          break;
        }
        case "fallthrough":
          this.#fallthrough = fallthroughOf(property);
          break;
        default:
          throw stanza.unknown(property);
      }
    }
    const options = tls === undefined ? undefined : { ...tls, ...(servername !== "" && { servername }) };
    this.#upstreams = to
      .flatMap((text) => destinationsOf(stanza, text, site))
      .map(({ address, port, text }) => ({ address: text, exchange: grpcExchange({ address, port, tls: options }) }));
    this.#from = from;
    this.#except = except;
    this.#site = site;
    this.#metrics = metricsOf(site);
    site.onStart((signal) => {
      signal.addEventListener("abort", () => {
        for (const { exchange } of this.#upstreams) exchange.close();
      });
    });
  }

  serve(query: Query, next: Next): Outcome {
    if (!isWithin(query.name, this.#from) || this.#except.some((zone) => isWithin(query.name, zone)))
      return next(query);
    return this.#ask(query).then((reply): Outcome => {
      const missing = reply?.rcode === RCODE.NXDOMAIN;
      return missing && this.#fallthrough(query.name) ? next(query) : reply;
    });
  }

  async #ask(query: Query): Promise<Reply> {
    const { clock, random } = this.#site.env;
    const end = clock.monotonic() + deadline;
    const count = this.#upstreams.length;
    const first =
      this.#policy === "random"
        ? Math.floor(random() * count)
        : this.#policy === "round_robin"
          ? this.#turn++ % count
          : 0;
    let failure: unknown;
    for (let i = 0; i < count && clock.monotonic() < end; i++) {
      const upstream = this.#upstreams[(first + i) % count];
      if (upstream === undefined) break;
      const start = clock.monotonic();
      this.#metrics.requests.labels(upstream.address).add(1);
      try {
        const bytes = encodeCopy(writer, query.message);
        const reply = decodeMessage(await upstream.exchange.ask(bytes, Math.max(1, Math.min(attempt, end - start))));
        this.#metrics.duration.labels(upstream.address).observe((clock.monotonic() - start) / 1000);
        this.#metrics.responses.labels(upstream.address, rcodeName(reply.rcode)).add(1);
        return { ...reply, id: query.message.id };
      } catch (error) {
        failure = error;
      }
    }
    throw new ServeError(RCODE.SERVFAIL, `plugin/grpc: ${messageOf(failure)}`, { cause: failure });
  }
}

function metricsOf({ env: { metrics } }: Site) {
  return {
    requests: metrics.counters("coredns_grpc_requests_total", "Queries to destinations.", "to"),
    duration: metrics.histograms(
      "coredns_grpc_request_duration_seconds",
      "Seconds that destinations took.",
      timeBuckets,
      "to",
    ),
    responses: metrics.counters("coredns_grpc_responses_total", "Replies of destinations by code.", "to", "rcode"),
  };
}

interface Destination {
  readonly address: string;
  readonly port: number;
  /** As it stands in metrics. */
  readonly text: string;
}

/** The destinations of an argument: `IP[:port]`, `unix:///path`, or the name servers of a file like resolv.conf. */
function destinationsOf(stanza: Stanza, text: string, site: Site): readonly Destination[] {
  const [, socket] = /^unix:\/\/(\/.+)$/.exec(text) ?? [];
  if (socket !== undefined) return [{ address: socket, port: 0, text }];
  const found = parseDestination(/:\d+$/.test(text) ? text : `${text}:${defaultPort}`);
  if (found?.kind === "dns" && tryParseAddress(found.host) !== undefined)
    return [{ address: found.host, port: found.port, text: formatHostPort(found.host, found.port) }];
  const path = site.path(text);
  const servers = existsSync(path) ? nameServersOf(readFileSync(path, "utf8")) : [];
  if (servers.length === 0) throw stanza.error(`'${text}' is not an address and port, a Unix socket or a file of them`);
  return servers.map((address) => ({ address, port: dnsPort, text: formatHostPort(address, dnsPort) }));
}
