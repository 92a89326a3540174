/** An HTTP(S) server that speaks list and watch of the Kubernetes API for one kind of object, with faults at will. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";

/** An object as the API has it. */
export interface ApiObject {
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
  };
  readonly [field: string]: unknown;
}

interface LogEntry {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: ApiObject;
}

/** Answers a request in the server's place: true if it did. */
export type Fault = (url: URL, response: ServerResponse, request: IncomingMessage) => boolean;

/** The server. Its state is changed by methods, as `kubectl` would. */
export class TestApiServer {
  readonly objects = new Map<string, ApiObject>();
  /** All requests so far, oldest first. */
  readonly requests: URL[] = [];
  /** True if `sendInitialEvents` is understood, "refuses" and "ignores" as older servers do. */
  streamedLists: true | "refuses" | "ignores" = true;
  fault: Fault = () => false;
  readonly #server;
  readonly #watches = new Set<{ readonly response: ServerResponse }>();
  readonly #pages = new Map<string, { readonly rest: readonly ApiObject[]; readonly version: number }>();
  #log: LogEntry[] = [];
  #version = 100;
  #compacted = 0;
  #uids = 0;

  constructor(tls?: ServerOptions) {
    const handle = (request: IncomingMessage, response: ServerResponse) => this.#handle(request, response);
    this.#server = tls ? createTlsServer(tls, handle) : createServer(handle);
  }

  /** Listens on a port of loopback, any unless given; returns it. */
  async listen(port = 0): Promise<number> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  get version(): string {
    return String(this.#version);
  }

  get watches(): number {
    return this.#watches.size;
  }

  /** Creates or changes an object; a new one has a new uid. */
  put(name: string, fields: object = {}): void {
    const before = this.objects.get(name);
    const uid = before?.metadata.uid ?? `uid-${this.#uids++}`;
    const metadata = { namespace: "default", name, uid, resourceVersion: String(++this.#version) };
    const object = { ...fields, metadata };
    this.objects.set(name, object);
    this.#append({ version: this.#version, type: before ? "MODIFIED" : "ADDED", object });
  }

  remove(name: string): void {
    const before = this.objects.get(name);
    if (before === undefined) return;
    this.objects.delete(name);
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(++this.#version) } };
    this.#append({ version: this.#version, type: "DELETED", object });
  }

  /** Forgets history: whoever resumes from before now gets 410. */
  compact(): void {
    this.#log = [];
    this.#compacted = this.#version;
  }

  /** Raises the version and tells all watches by a bookmark. */
  bookmark(): void {
    this.#version += 10;
    for (const watch of this.#watches) watch.response.write(line("BOOKMARK", bookmarkOf(this.#version)));
  }

  /** Writes these bytes to all watches. */
  writeRaw(text: string): void {
    for (const watch of this.#watches) watch.response.write(text);
  }

  /** Cuts the connections of all watches. */
  cut(): void {
    for (const watch of this.#watches) watch.response.destroy();
    this.#watches.clear();
  }

  #append(entry: LogEntry): void {
    this.#log.push(entry);
    for (const watch of this.#watches) watch.response.write(line(entry.type, entry.object));
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", "http://server");
    this.requests.push(url);
    if (this.fault(url, response, request)) return;
    if (url.searchParams.get("watch") === "true") this.#watch(url, response);
    else this.#list(url, response);
  }

  #list(url: URL, response: ServerResponse): void {
    const limit = Number(url.searchParams.get("limit") ?? Number.POSITIVE_INFINITY);
    const token = url.searchParams.get("continue");
    const page = token === null ? { rest: [...this.objects.values()], version: this.#version } : this.#pages.get(token);
    if (page === undefined || page.version < this.#compacted) {
      sendStatus(response, 410, "Expired", "too old");
      return;
    }
    const items = page.rest.slice(0, limit);
    const metadata: Record<string, string> = { resourceVersion: String(page.version) };
    if (page.rest.length > limit) {
      metadata.continue = `page-${this.#pages.size}`;
      this.#pages.set(metadata.continue, { rest: page.rest.slice(limit), version: page.version });
    }
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ kind: "List", apiVersion: "v1", metadata, items }));
  }

  #watch(url: URL, response: ServerResponse): void {
    const initial = url.searchParams.get("sendInitialEvents") === "true";
    if (initial && this.streamedLists === "refuses") {
      sendStatus(response, 422, "Invalid", "sendInitialEvents is forbidden");
      return;
    }
    response.setHeader("content-type", "application/json");
    response.flushHeaders();
    const from = Number(url.searchParams.get("resourceVersion") ?? 0);
    if (!initial && from < this.#compacted) {
      const object = { kind: "Status", code: 410, reason: "Expired", message: `too old resource version: ${from}` };
      response.end(line("ERROR", object));
      return;
    }
    if (initial) {
      for (const object of this.objects.values()) response.write(line("ADDED", object));
      const annotations = { "k8s.io/initial-events-end": "true" };
      if (this.streamedLists === true) response.write(line("BOOKMARK", bookmarkOf(this.#version, annotations)));
    } else {
      for (const entry of this.#log) if (entry.version > from) response.write(line(entry.type, entry.object));
    }
    const watch = { response };
    this.#watches.add(watch);
    response.on("close", () => this.#watches.delete(watch));
  }
}

/** An answer that is a `Status`. */
export function sendStatus(response: ServerResponse, code: number, reason: string, message: string): void {
  response.writeHead(code, { "content-type": "application/json" });
  response.end(JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message }));
}

/** A line of a watch. */
export function line(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`;
}

function bookmarkOf(version: number, annotations?: object): object {
  return { metadata: { resourceVersion: String(version), ...(annotations && { annotations }) } };
}
