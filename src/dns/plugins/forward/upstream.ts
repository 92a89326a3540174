/** One destination: asked over the protocol that fits, and watched while it does not answer. */
import type { Clock } from "../../../telemetry/clock.ts";
import type { Exchange, OnConnection } from "../../client/exchange.ts";
import { httpsExchange } from "../../client/http2.ts";
import { streamExchange } from "../../client/stream.ts";
import { udpExchange } from "../../client/udp.ts";
import { TYPE } from "../../wire/codes.ts";
import { decodeMessage, encodeCopy, type Message, makeQuery } from "../../wire/message.ts";
import { Writer } from "../../wire/writer.ts";
import { type Destination, formatDestination } from "./destination.ts";
import type { ForwardOptions } from "./options.ts";

/** What an {@link Upstream} tells and needs. */
export interface UpstreamContext {
  readonly clock: Clock;
  readonly random: () => number;
  readonly signal: () => AbortSignal | undefined;
  /** Makes what is told of connections; `protocol` is the name that CoreDNS's metrics have for it. */
  readonly onConnection: (protocol: string, to: string) => OnConnection;
  readonly onHealthFailure: (to: string) => void;
}

const streamProtocols = { dns: "tcp", tls: "tcp-tls", https: "https" } as const;

const writer = new Writer();
const healthTimeout = 1000;

/** A destination. */
export class Upstream {
  /** `192.0.2.1:53`, for log lines and metrics. */
  readonly address: string;
  readonly #options: ForwardOptions;
  readonly #context: UpstreamContext;
  readonly #datagrams: Exchange | undefined;
  readonly #streams: Exchange;
  #fails = 0;
  #checking = false;

  constructor(destination: Destination, options: ForwardOptions, context: UpstreamContext) {
    const { kind, host: address, port, path } = destination;
    this.address = formatDestination(destination);
    this.#options = options;
    this.#context = context;
    const { sourceAddress, dohMethod, expire, maxIdleConnections } = options;
    const servername = destination.serverName === "" ? options.tlsServerName : destination.serverName;
    const tls = kind === "dns" ? undefined : { ...options.tls, ...(servername !== "" && { servername }) };
    const stream = context.onConnection(streamProtocols[kind], this.address);
    const pool = { keepFor: expire, max: maxIdleConnections };
    this.#streams =
      kind === "https"
        ? httpsExchange({ address, port, path, method: dohMethod, tls }, stream)
        : streamExchange({ address, port, tls, sourceAddress, pool }, stream);
    this.#datagrams =
      kind === "dns"
        ? udpExchange({ address, port, sourceAddress, pool }, context.onConnection("udp", this.address))
        : undefined;
  }

  /** True while so many health checks failed that it is not worth asking. */
  get down(): boolean {
    return this.#options.maxFails > 0 && this.#fails >= this.#options.maxFails;
  }

  /**
   * Asks.
   *
   * @param query its id is replaced by one that is hard to guess.
   * @param stream over TCP, where there is a choice.
   * @param timeout milliseconds.
   * @returns the reply with the id of the query.
   * @throws if no reply comes, or one that is not well formed.
   */
  async ask(query: Message, stream: boolean, timeout: number): Promise<Message> {
    const id = Math.floor(this.#context.random() * 65536);
    const exchange = stream ? this.#streams : (this.#datagrams ?? this.#streams);
    const bytes = await exchange.ask(encodeCopy(writer, { ...query, id }), timeout);
    return { ...decodeMessage(bytes), id: query.id };
  }

  /** Begins to check whether it answers at all, until it does; something has failed. */
  checkHealth(): void {
    if (this.#checking || this.#options.maxFails === 0) return;
    this.#checking = true;
    void this.#check();
  }

  close(): void {
    this.#datagrams?.close();
    this.#streams.close();
  }

  async #check(): Promise<void> {
    const { clock, signal, onHealthFailure } = this.#context;
    const { healthName, healthRecursion, healthEvery } = this.#options;
    const probe = { ...makeQuery(0, healthName, TYPE.NS), rd: healthRecursion };
    const stop = signal();
    while (stop !== undefined && !stop.aborted) {
      try {
        await this.ask(probe, false, healthTimeout);
        break;
      } catch {
        this.#fails++;
        onHealthFailure(this.address);
      }
      if (!(await clock.sleep(healthEvery, stop))) break;
    }
    this.#fails = 0;
    this.#checking = false;
  }
}
