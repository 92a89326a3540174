/** The open ports of a server. They are handed from one instance to the next, so that a reload drops no query. */
import type { Counter, Family } from "../../../telemetry/metrics.ts";
import type { Dispatcher } from "../dispatch.ts";
import { type DnsLog, messageOf } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Settings } from "../site.ts";
import { listenGrpc } from "./grpc.ts";
import { listenHttps } from "./https.ts";
import { formatListen, type ListenAddress, type Listener } from "./listener.ts";
import { listenTcp } from "./tcp.ts";
import { listenUdp } from "./udp.ts";

/** What an instance wants to serve at an address. */
export interface Wanted extends ListenAddress {
  readonly settings: Settings;
  readonly dispatcher: Dispatcher;
}

/** Opens, keeps and closes listeners. */
export class ListenerPool {
  #open: ReadonlyMap<string, Listener> = new Map();
  readonly #log: DnsLog;
  readonly #statuses: Family<Counter>;

  constructor(log: DnsLog, metrics: Metrics) {
    this.#log = log;
    this.#statuses = metrics.counters(
      "coredns_dns_https_responses_total",
      "Responses of DNS over HTTPS by status.",
      "server",
      "status",
    );
  }

  /** The ports that are open, by listen address. */
  get ports(): ReadonlyMap<string, number> {
    return new Map([...this.#open].map(([key, { port }]) => [key, port]));
  }

  /**
   * Opens what is wanted and not open yet.
   *
   * @returns a function that moves all ports over to the new dispatchers and closes those that nobody wants any more,
   * and one that closes again what was opened.
   * @throws if a port cannot be had; then all is as it was.
   */
  async prepare(wanted: readonly Wanted[]): Promise<{ commit(): Promise<void>; abandon(): Promise<void> }> {
    const fresh = new Map<string, Listener>();
    const next = new Map<string, Listener>();
    const abandon = async () => void (await Promise.all([...fresh.values()].map((listener) => listener.close())));
    try {
      for (const one of wanted) {
        for (const key of keysOf(one)) {
          const listener = this.#open.get(key) ?? (await this.#listen(key, one, next));
          if (!this.#open.has(key)) fresh.set(key, listener);
          next.set(key, listener);
        }
      }
    } catch (error) {
      await abandon();
      throw error;
    }
    const commit = async () => {
      for (const one of wanted) {
        for (const key of keysOf(one)) next.get(key)?.serve(one.dispatcher, one.settings);
      }
      const closing = [...this.#open].filter(([key]) => !next.has(key));
      this.#open = next;
      await Promise.all(closing.map(([, listener]) => listener.close()));
    };
    return { commit, abandon };
  }

  /** Closes all ports. */
  async close(): Promise<void> {
    const open = [...this.#open.values()];
    this.#open = new Map();
    await Promise.all(open.map((listener) => listener.close()));
  }

  async #listen(key: string, wanted: Wanted, opened: ReadonlyMap<string, Listener>): Promise<Listener> {
    try {
      return await this.#openPort(key, wanted, opened);
    } catch (error) {
      throw new Error(`cannot listen at ${key}: ${messageOf(error)}${remedyFor(error)}`, { cause: error });
    }
  }

  #openPort(key: string, wanted: Wanted, opened: ReadonlyMap<string, Listener>): Promise<Listener> {
    const context = { settings: wanted.settings, log: this.#log };
    if (wanted.transport === "https") {
      const server = formatListen(wanted);
      return listenHttps(wanted, context, (status) => this.#statuses.labels(server, String(status)).add(1));
    }
    if (wanted.transport === "grpc") return listenGrpc(wanted, context);
    if (key.startsWith("udp ")) {
      // With port 0 TCP has chosen a port, and UDP must be reachable at the same one.
      const port = opened.get(key.replace("udp ", "tcp "))?.port ?? wanted.port;
      return listenUdp({ ...wanted, port }, context);
    }
    return listenTcp(wanted, context);
  }
}

/** What is opened for a listen address: two ports for plain DNS. Whether there is TLS, and what it asks of clients, is part of the key. */
function keysOf(wanted: Wanted): readonly string[] {
  const address = formatListen(wanted);
  if (wanted.transport === "dns") return [`tcp ${address}`, `udp ${address}`];
  const { tls } = wanted.settings;
  if (tls === undefined) return [`plain ${address}`];
  const { requestCert, rejectUnauthorized, refuseUnverified } = tls;
  return [`secure-${Number(requestCert)}${Number(rejectUnauthorized)}${Number(refuseUnverified)} ${address}`];
}

const remedies: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program has the port: end it, or name another port in the Corefile or with -dns.port",
  EACCES: "ports below 1024 are for root and programs with CAP_NET_BIND_SERVICE",
  EADDRNOTAVAIL: "no interface of this machine has the address: see plugin bind",
};

/** What can be done about an error of listening, after a colon; empty where that is not known. */
function remedyFor(error: unknown): string {
  const code = /\bE[A-Z]+\b/.exec(messageOf(error))?.[0] ?? "";
  const remedy = Object.hasOwn(remedies, code) ? remedies[code] : undefined;
  return remedy === undefined ? "" : ` (${remedy})`;
}
