/** A port that speaks HTTP/2 and HTTP/1.1, with TLS or (behind a proxy that ends TLS) without. */
import type { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse, Http2Session } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import type { Dispatcher } from "../dispatch.ts";
import type { Protocol } from "../query.ts";
import type { Settings } from "../site.ts";
import { type OpenPort, openPort, refuseUnverified } from "./connections.ts";
import { clientOf, type ListenAddress, type Listener } from "./listener.ts";

/** A request of either version. */
export type WebRequest = IncomingMessage | Http2ServerRequest;
/** A response of either version. */
export type WebResponse = ServerResponse | Http2ServerResponse;

/** What a {@link openWeb} port may have at a time. */
export interface WebLimits {
  readonly connections: number;
  /** Streams of one HTTP/2 connection. */
  readonly streams: number;
}

/** The first bytes of an HTTP/2 connection (RFC 9113 3.4). */
const preface = Buffer.from("PRI ");
const headersTimeout = 10_000;

/** Answers a request with what `ask` gets for a query: undefined if nothing is to be sent. A connection ends if it rejects. */
export type WebAnswer = (
  request: WebRequest,
  response: WebResponse,
  ask: (query: Buffer, protocol: Protocol) => Promise<Buffer | undefined>,
) => Promise<void>;

/** Opens a web port. */
export async function listenWeb(
  listen: ListenAddress,
  settings: Settings,
  limits: WebLimits,
  answer: WebAnswer,
): Promise<Listener> {
  let dispatcher: Dispatcher | undefined;
  const port = await openWeb(listen, settings, limits, (request, response) => {
    const ask = (query: Buffer, protocol: Protocol) =>
      new Promise<Buffer | undefined>((resolve) => {
        if (dispatcher === undefined) resolve(undefined);
        else
          dispatcher.handle(query, clientOf(protocol, request.socket), (bytes) =>
            resolve(bytes === undefined ? undefined : Buffer.from(bytes)),
          );
      });
    limitTime(request, response, settings.readTimeout);
    answer(request, response, ask).catch(() => response.destroy());
  });
  return {
    port: port.port,
    close: () => port.close(),
    serve(next, { tls }) {
      dispatcher = next;
      port.secure(tls);
    },
  };
}

/** A client has one time for the body of a request, in however many pieces it sends it. */
function limitTime(request: WebRequest, response: WebResponse, time: number): void {
  if (request.method === "GET") return;
  const timer = setTimeout(() => request.destroy(), time);
  const done = () => clearTimeout(timer);
  (request as EventEmitter).on("end", done);
  (response as EventEmitter).on("close", done);
}

async function openWeb(
  { address, port }: ListenAddress,
  settings: Settings,
  limits: WebLimits,
  handle: (request: WebRequest, response: WebResponse) => void,
): Promise<OpenPort & { secure(tls: Settings["tls"]): void }> {
  // Loaded when used, as all that few servers need: with TLS and HTTP a process is 10 MB larger.
  const http1 = process.getBuiltinModule("node:http");
  const http2 = process.getBuiltinModule("node:http2");
  const options = { settings: { maxConcurrentStreams: limits.streams }, maxSessionMemory: 4 };
  let server: Server;
  const sessions = new Set<Http2Session>();
  const track = (session: Http2Session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.setTimeout(settings.idleTimeout, () => session.close());
    session.on("error", () => session.destroy());
  };
  if (settings.tls !== undefined) {
    const secure = http2.createSecureServer({ ...settings.tls, ...options, allowHTTP1: true }, handle);
    if (settings.tls.refuseUnverified) secure.prependListener("secureConnection", refuseUnverified);
    secure.on("session", track);
    secure.on("sessionError", () => {});
    server = secure;
  } else {
    const one = http1.createServer({ headersTimeout, requestTimeout: headersTimeout }, handle);
    const two = http2.createServer(options, handle);
    two.on("session", track);
    two.on("sessionError", () => {});
    server = createServer((socket) => sniff(socket, one, two));
  }
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => socket.destroy());
    socket.setTimeout(settings.idleTimeout, () => socket.destroy());
  });
  const open = await openPort(server, address, port);
  server.maxConnections = limits.connections;
  return {
    port: open.port,
    secure(tls) {
      if (tls !== undefined && "setSecureContext" in server)
        (server as { setSecureContext(o: object): void }).setSecureContext(tls);
    },
    async close() {
      for (const session of sessions) session.close();
      await open.close();
    },
  };
}

/** Gives a connection without TLS to the server of its version. */
function sniff(socket: Socket, one: { emit(event: "connection", socket: Socket): boolean }, two: typeof one): void {
  socket.once("data", (bytes: Buffer) => {
    socket.pause();
    socket.unshift(bytes);
    const start = Math.min(bytes.length, preface.length);
    const server = bytes.subarray(0, start).equals(preface.subarray(0, start)) ? two : one;
    server.emit("connection", socket);
    process.nextTick(() => socket.resume());
  });
}

/**
 * Reads a request's body.
 *
 * @returns undefined if it is longer than `limit` bytes.
 */
export async function readBody(request: WebRequest, limit: number): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > limit) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}
