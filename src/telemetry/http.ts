/** A small HTTP server for health, metrics and other pages of a daemon. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { formatHostPort } from "../net/protocol.ts";
import type { Clock } from "./clock.ts";
import type { Logger } from "./log.ts";

/** A request, read completely. */
export interface HttpRequest {
  readonly method: string;
  /** Path without query, percent signs not decoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Lower-case names; several values of a name are joined as Node does. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
}

/** An answer. */
export interface HttpReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Answers requests; what it throws becomes status 500. */
export type HttpHandler = (request: HttpRequest) => HttpReply | Promise<HttpReply>;

/** Handlers by path. A path that ends in `/` answers for everything below it too; the longest wins. */
export type Routes = Readonly<Record<string, HttpHandler>>;

/** A plain-text answer. */
export function textReply(status: number, body: string): HttpReply {
  return {
    status,
    headers: { "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff" },
    body,
  };
}

/** A JSON answer. */
export function jsonReply(status: number, value: unknown): HttpReply {
  const headers = { "Content-Type": "application/json", "X-Content-Type-Options": "nosniff" };
  return { status, headers, body: `${JSON.stringify(value)}\n` };
}

/** One handler of {@link Routes}. Only GET and HEAD are let through unless `methods` says otherwise for a path. */
export function router(routes: Routes, methods: Readonly<Record<string, readonly string[]>> = {}): HttpHandler {
  const folders = Object.keys(routes)
    .filter((path) => path.endsWith("/"))
    .sort((a, b) => b.length - a.length);
  return (request) => {
    const path = Object.hasOwn(routes, request.path)
      ? request.path
      : folders.find((folder) => request.path.startsWith(folder));
    const handler = path === undefined ? undefined : routes[path];
    if (path === undefined || handler === undefined) return textReply(404, "404 page not found\n");
    if (!(methods[path] ?? ["GET", "HEAD"]).includes(request.method)) return textReply(405, "Method Not Allowed\n");
    return handler(request);
  };
}

/** What {@link listenHttp} needs. */
export interface HttpListenOptions {
  /** For log lines, e.g. `metrics`. */
  readonly name: string;
  /** Address to listen on, in the network namespace that this process is in. */
  readonly host: string;
  /** True: `::` does not take IPv4 too. */
  readonly ipv6Only?: boolean;
  /** 0: a free one. */
  readonly port: number;
  readonly handler: HttpHandler;
  readonly log: Logger;
  readonly clock: Clock;
  /** True: a port that cannot be had is an error. False: it is tried again every 5 seconds. */
  readonly hardFail: boolean;
}

/** A server that listens, or tries to. */
export interface HttpListener {
  /** The port, or undefined while it could not be had. */
  readonly port: number | undefined;
  /** The last reason why the port could not be had; undefined while listening. */
  readonly failure: Error | undefined;
  /** Stops listening, lets running requests finish for up to a second, then cuts them. */
  close(): Promise<void>;
}

/** How large and how slow a client may be. Probes and scrapes stay far below. */
const limits = { header: 16 * 1024, body: 64 * 1024, requestMs: 10_000, idleMs: 60_000, connections: 512 };
const retryMs = 5000;
const graceMs = 1000;

/**
 * Starts a server that lives until `signal` is aborted or `close` is called.
 *
 * @returns after the first attempt to listen.
 * @throws if that attempt failed and `hardFail` is set.
 */
export async function listenHttp(options: HttpListenOptions, signal: AbortSignal): Promise<HttpListener> {
  const listener = new Listener(options, signal);
  await listener.start();
  return listener;
}

class Listener implements HttpListener {
  readonly #options: HttpListenOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #server: Server | undefined;
  #closed: Promise<void> | undefined;
  failure: Error | undefined;

  constructor(options: HttpListenOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
    this.#signal.addEventListener("abort", () => void this.close(), { once: true });
  }

  get port(): number | undefined {
    const address = this.#server?.address();
    return typeof address === "object" ? address?.port : undefined;
  }

  async start(): Promise<void> {
    await this.#listen();
    if (this.failure === undefined) return;
    if (this.#options.hardFail) throw this.failure;
    void this.#retry();
  }

  close(): Promise<void> {
    this.#stop.abort();
    this.#closed ??= closeServer(this.#server);
    this.#server = undefined;
    return this.#closed;
  }

  async #listen(): Promise<void> {
    if (this.#signal.aborted) return;
    const { name, host, port, ipv6Only = false, handler, log } = this.#options;
    // Not imported: an import of node:http also loads the web clients among its exports, 15 MB.
    const { createServer } = process.getBuiltinModule("node:http");
    const server = createServer({ maxHeaderSize: limits.header }, (request, response) => {
      answer(handler, request, response).catch((error: unknown) => {
        if (request.complete) log.error(error, "Answering an HTTP request failed", { server: name, path: request.url });
        response.destroy();
      });
    });
    server.headersTimeout = limits.requestMs;
    server.requestTimeout = limits.requestMs;
    server.keepAliveTimeout = limits.idleMs;
    server.maxConnections = limits.connections;
    const failure = await new Promise<Error | undefined>((resolve) => {
      server.once("error", resolve);
      server.listen({ host, port, ipv6Only, exclusive: true }, () => resolve(undefined));
    });
    const where = formatHostPort(host, port);
    if (failure === undefined) {
      this.failure = undefined;
      server.on("error", (error) => log.error(error, "HTTP server failed", { server: name }));
      if (this.#signal.aborted) return void closeServer(server);
      this.#server = server;
      return log.debug(1, "Listening", { server: name, address: where });
    }
    const first = this.failure === undefined;
    this.failure = new Error(`${name} server: cannot listen on ${where}: ${failure.message}`, { cause: failure });
    if (first && !this.#options.hardFail) {
      log.error(this.failure, "HTTP server not started, trying again every 5 seconds", { server: name });
    }
  }

  async #retry(): Promise<void> {
    while (this.failure !== undefined && (await this.#options.clock.sleep(retryMs, this.#signal))) await this.#listen();
  }
}

async function closeServer(server: Server | undefined): Promise<void> {
  if (!server?.listening) return;
  const cut = setTimeout(() => server.closeAllConnections(), graceMs);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  clearTimeout(cut);
}

async function answer(handler: HttpHandler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readBody(request);
  if (body === undefined) {
    response.setHeader("Connection", "close");
    return send(response, textReply(413, "Request body too large\n"));
  }
  const { pathname, searchParams } = new URL(`http://host${requestTarget(request.url)}`);
  const { method = "GET", headers } = request;
  try {
    send(response, await handler({ method, path: pathname, query: searchParams, headers, body }));
  } catch (error) {
    send(response, textReply(500, "Internal Server Error\n"));
    throw error;
  }
}

/** Everything that is not a path (a full URL to a proxy, `*`) is answered as the path `/`. */
function requestTarget(url: string | undefined): string {
  return url?.startsWith("/") && !url.startsWith("//") ? url : "/";
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > limits.body) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function send(response: ServerResponse, reply: HttpReply): void {
  response.writeHead(reply.status, { ...reply.headers, "Content-Length": Buffer.byteLength(reply.body) });
  response.end(reply.body);
}
