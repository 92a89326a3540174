/** Requests to an API server. */
import { arch, platform } from "node:os";
import type { Dispatcher } from "undici";
import { type Clock, systemClock } from "../telemetry/clock.ts";
import { errorText } from "../telemetry/log.ts";
import type { ClusterAccess } from "./access.ts";
import type { ClientCertificate } from "./auth/credentials.ts";
import { isFields, noFields } from "./objects/fields.ts";
import { apiVersionOf, type Resource } from "./objects/resource.ts";
import { RateLimiter } from "./ratelimit.ts";
import { parseJson, readText } from "./stream.ts";
import { makeAgent, makeProxyAgent, request as sendRequest } from "./undici.ts";

/** A request that the server refused: its `Status` object, or what stood in its place. */
export class KubeError extends Error {
  override readonly name = "KubeError";
  /** HTTP status, e.g. 404. */
  readonly status: number;
  /** The machine-readable reason, e.g. `NotFound`; empty where the server gave none. */
  readonly reason: string;
  /** Milliseconds after which the server wants to be asked again; 0 where it did not say. */
  readonly retryAfter: number;

  constructor(status: number, reason: string, message: string, retryAfter = 0) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfter = retryAfter;
  }
}

/** What the API server says; undefined if it does not have the object. */
export async function ifThere(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof KubeError && error.status === 404) return undefined;
    throw error;
  }
}

/** A request to the API. */
export interface ApiRequest {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From the root of the API, e.g. `/api/v1/nodes`: see {@link resourcePath}. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Of the body; a patch needs `application/merge-patch+json` or its like. */
  readonly contentType?: string;
}

/** What became of a request, for metrics. */
export interface ApiResponse {
  readonly method: string;
  readonly host: string;
  /** The HTTP status, or `<error>` without one. */
  readonly code: string;
  /** Seconds until the head of the response was there. */
  readonly seconds: number;
}

/** How a client behaves. */
export interface ClientOptions {
  /** `User-Agent`. */
  readonly userAgent?: string;
  /** Requests each second; 0 or less: no limit. */
  readonly qps?: number;
  /** Requests at once before `qps` counts. */
  readonly burst?: number;
  readonly clock?: Clock;
  /** Called for every response. */
  readonly onResponse?: (response: ApiResponse) => void;
}

/** Milliseconds to connect, TLS included. */
const connectTimeout = 10_000;
/** Milliseconds for the head of a response. */
const headersTimeout = 60_000;
/** Milliseconds between two pieces of an answer that is not a watch. */
const bodyTimeout = 60_000;
/** Milliseconds after which the kernel begins to ask whether a silent peer is still there. */
const keepAliveDelay = 30_000;
/** Bytes of an answer read as a whole. */
const maximumAnswer = 16 << 20;

/**
 * A client of one API server.
 *
 * It speaks HTTP/1.1, on as many connections as there are requests at once: an agent has a handful of watches, which
 * then fail alone, and HTTP/2 moves a large list no faster.
 */
export class KubeClient {
  /** What the server is called in messages: its URL. */
  readonly server: string;
  readonly #access: ClusterAccess;
  readonly #options: ClientOptions;
  readonly #clock: Clock;
  readonly #limiter: RateLimiter;
  #dispatcher: { readonly certificate: ClientCertificate | undefined; readonly dispatcher: Dispatcher } | undefined;

  constructor(access: ClusterAccess, options: ClientOptions = {}) {
    this.server = access.server.href.replace(/\/$/, "");
    this.#access = access;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#limiter = new RateLimiter(options.qps ?? 0, options.burst ?? 10, this.#clock);
  }

  /**
   * Sends a request and reads the answer whole.
   *
   * @returns the parsed JSON.
   * @throws {KubeError} if the server refuses; an Error that names the URL if it cannot be reached; the signal's
   *   reason.
   */
  async send(request: ApiRequest, signal: AbortSignal): Promise<unknown> {
    const body = await this.open(request, signal);
    return parseJson(await readText(body, maximumAnswer), `the answer to ${this.#describe(request)}`);
  }

  /**
   * Sends a request and hands over the answer while it arrives.
   *
   * @param silence milliseconds that may pass between two pieces of the answer; 0: forever.
   * @throws as {@link send}; reading the body throws if the connection fails.
   */
  async open(request: ApiRequest, signal: AbortSignal, silence = bodyTimeout): Promise<AsyncIterable<Uint8Array>> {
    const first = await this.#dispatch(request, signal, silence);
    if (first.statusCode !== 401) return this.#accept(request, first);
    // A token may have been renewed behind our back: once more with a new one, if there is one.
    const error = await this.#accept(request, first).catch((caught: unknown) => caught);
    this.#access.credentials.refused();
    const second = await this.#dispatch(request, signal, silence);
    return second.statusCode === 401 ? discard(second, error) : this.#accept(request, second);
  }

  /** Closes connections that are not in use, and those in use when they are done. */
  async close(): Promise<void> {
    await this.#dispatcher?.dispatcher.close();
  }

  /** Ends all requests. */
  async destroy(): Promise<void> {
    await this.#dispatcher?.dispatcher.destroy();
  }

  async #dispatch(request: ApiRequest, signal: AbortSignal, silence: number): Promise<Dispatcher.ResponseData> {
    signal.throwIfAborted();
    await this.#limiter.take(signal);
    const credential = await this.#access.credentials.get(signal);
    const { method = "GET", body } = request;
    const started = this.#clock.monotonic();
    const report = (code: string) => {
      const seconds = (this.#clock.monotonic() - started) / 1000;
      this.#options.onResponse?.({ method, host: this.#access.server.host, code, seconds });
    };
    try {
      const response = await sendRequest(this.#dispatcherFor(credential.certificate), {
        origin: this.#access.server.origin,
        path: `${this.#access.server.pathname.replace(/\/$/, "")}${request.path}${formatQuery(request.query)}`,
        method,
        headers: {
          accept: "application/json",
          "user-agent": this.#options.userAgent ?? defaultUserAgent,
          ...(credential.authorization && { authorization: credential.authorization }),
          ...(body !== undefined && { "content-type": request.contentType ?? "application/json" }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal,
        headersTimeout,
        bodyTimeout: silence,
      });
      report(String(response.statusCode));
      return response;
    } catch (error) {
      signal.throwIfAborted();
      report("<error>");
      throw new Error(`${this.#describe(request)}: ${errorText(error)}`, { cause: error });
    }
  }

  /** The body of a response that is a success; everything else is thrown. */
  async #accept(request: ApiRequest, response: Dispatcher.ResponseData): Promise<AsyncIterable<Uint8Array>> {
    if (response.statusCode >= 200 && response.statusCode < 300) return response.body;
    const text = await readText(response.body, maximumAnswer).catch(() => "");
    const retryAfter = Math.max(0, Number(response.headers["retry-after"]) * 1000 || 0);
    throw statusError(this.#describe(request), response.statusCode, text, retryAfter);
  }

  /** Connections are made with the client certificate, so that a new one needs new connections. */
  #dispatcherFor(certificate: ClientCertificate | undefined): Dispatcher {
    const current = this.#dispatcher;
    if (current && sameCertificate(current.certificate, certificate)) return current.dispatcher;
    const { ca, tlsServerName, insecure, proxy } = this.#access;
    const connect = {
      timeout: connectTimeout,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveDelay,
      rejectUnauthorized: !insecure,
      ...(ca !== undefined && { ca }),
      ...(tlsServerName !== undefined && { servername: tlsServerName }),
      ...certificate,
    };
    const common = { allowH2: false, connectTimeout };
    const dispatcher = proxy
      ? makeProxyAgent({ ...common, uri: proxy.href, requestTls: connect })
      : makeAgent({ ...common, connect });
    this.#dispatcher = { certificate, dispatcher };
    void current?.dispatcher.close();
    return dispatcher;
  }

  #describe({ method = "GET", path }: ApiRequest): string {
    return `${method} ${this.server}${path}`;
  }
}

const defaultUserAgent = `portolan (${platform()}/${arch() === "x64" ? "amd64" : arch()})`;

/** The path of a kind of object, in one namespace or in all, or of one object, e.g. `/api/v1/namespaces/a/services/b`. */
export function resourcePath(
  resource: Pick<Resource<unknown>, "group" | "version" | "plural">,
  object: { readonly namespace?: string | undefined; readonly name?: string | undefined } = {},
): string {
  const root = resource.group === "" ? "/api" : "/apis";
  const namespace = object.namespace ? `/namespaces/${encodeURIComponent(object.namespace)}` : "";
  const name = object.name ? `/${encodeURIComponent(object.name)}` : "";
  return `${root}/${apiVersionOf(resource)}${namespace}/${resource.plural}${name}`;
}

/** The error that a `Status` object of the API tells of, or any other text in its place. */
export function statusError(what: string, code: number, text: string, retryAfter = 0): KubeError {
  let status: unknown;
  try {
    status = JSON.parse(text);
  } catch {
    status = undefined;
  }
  const { reason, message } = isFields(status) ? status : noFields;
  const said = typeof message === "string" ? message : text.replaceAll(/\s+/g, " ").trim();
  const named = typeof reason === "string" ? reason : "";
  const parts = [`${code}${named === "" ? "" : ` ${named}`}`, said.slice(0, 300)].filter((part) => part !== "");
  return new KubeError(code, named, `${what}: ${parts.join(": ")}`, retryAfter);
}

async function discard(response: Dispatcher.ResponseData, error: unknown): Promise<never> {
  await response.body.dump();
  throw error;
}

function formatQuery(query: ApiRequest["query"] = {}): string {
  const defined = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]));
  return defined.length === 0 ? "" : `?${new URLSearchParams(defined)}`;
}

function sameCertificate(a: ClientCertificate | undefined, b: ClientCertificate | undefined): boolean {
  return a?.cert === b?.cert && a?.key === b?.key;
}
