/** HTTP servers for health, readiness and metrics that plugins, server blocks and instances share by address. */
import type { Clock } from "../../telemetry/clock.ts";
import { type HttpHandler, type HttpListener, listenHttp, textReply } from "../../telemetry/http.ts";
import type { Logger } from "../../telemetry/log.ts";

interface Entry {
  readonly listener: Promise<HttpListener>;
  /** Handlers by path; the last one that was added answers, so that a new instance takes over from an old one. */
  readonly routes: Map<string, HttpHandler[]>;
}

/** Listens on an address as long as somebody has a path there. */
export class HttpPool {
  readonly #entries = new Map<string, Entry>();
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Answers a path at an address until the signal is aborted.
   *
   * @param address `host:port`; without host all addresses.
   * @returns the port that it listens on.
   * @throws if the address cannot be had.
   */
  async route(address: string, path: string, handler: HttpHandler, signal: AbortSignal): Promise<number> {
    const entry = this.#entries.get(address) ?? this.#listen(address);
    const handlers = entry.routes.get(path) ?? [];
    handlers.push(handler);
    entry.routes.set(path, handlers);
    signal.addEventListener("abort", () => {
      handlers.splice(handlers.indexOf(handler), 1);
      // The instance that follows may want the address in the same moment.
      setImmediate(() => this.#tidy(address, entry));
    });
    const { port } = await entry.listener;
    return port ?? 0;
  }

  #listen(address: string): Entry {
    const colon = address.lastIndexOf(":");
    const routes: Entry["routes"] = new Map();
    const handler: HttpHandler = (request) =>
      routes.get(request.path)?.at(-1)?.(request) ?? textReply(404, "404 page not found\n");
    const listener = listenHttp(
      {
        name: "dns",
        host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1") || "::",
        port: Number(address.slice(colon + 1)),
        handler,
        log: this.#log,
        clock: this.#clock,
        hardFail: true,
      },
      new AbortController().signal,
    );
    const entry = { listener, routes };
    this.#entries.set(address, entry);
    listener.catch(() => this.#entries.delete(address));
    return entry;
  }

  #tidy(address: string, entry: Entry): void {
    if ([...entry.routes.values()].some((handlers) => handlers.length > 0)) return;
    if (this.#entries.get(address) === entry) this.#entries.delete(address);
    entry.listener.then((listener) => listener.close()).catch(() => {});
  }
}
