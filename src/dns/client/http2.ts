/** Asking over HTTP/2: DNS over HTTPS (RFC 8484), and DNS over gRPC. */
import type { ClientHttp2Session, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { connect as connectSocket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { formatHostPort } from "../../net/protocol.ts";
import { frame, unframe } from "../wire/grpc.ts";
import type { Exchange, OnConnection } from "./exchange.ts";

/** Where to. */
export interface Http2Target {
  /** An address, or the path of a Unix socket. */
  readonly address: string;
  readonly port: number;
  /** The path of DNS over HTTPS. */
  readonly path: string;
  readonly method: "GET" | "POST";
  /** TLS with these options; plain HTTP/2 if undefined. */
  readonly tls?: ConnectionOptions | undefined;
}

/** The path of CoreDNS's gRPC method. */
export const grpcPath = "/coredns.dns.DnsService/Query";
const mediaType = "application/dns-message";
const maxAnswer = 65535 + 16;

/** Asks by DNS over HTTPS. */
export function httpsExchange(target: Http2Target, onConnection?: OnConnection): Exchange {
  const session = new Session(target, onConnection);
  return {
    async ask(query, timeout) {
      // Caches of HTTP work better with id 0 (RFC 8484 4.1).
      const anonymous = Buffer.from(query);
      anonymous.writeUInt16BE(0, 0);
      const get = target.method === "GET";
      const path = get ? `${target.path}?dns=${anonymous.toString("base64url")}` : target.path;
      const head = { ":method": target.method, ":path": path, accept: mediaType };
      const { headers, body } = await (get
        ? session.request(head, undefined, timeout)
        : session.request({ ...head, "content-type": mediaType }, anonymous, timeout));
      if (headers[":status"] !== 200) throw new Error(`https: status ${headers[":status"]}`);
      if (body.length < 12) throw new Error("https: the response is no message");
      const answer = Buffer.from(body);
      answer.set(query.subarray(0, 2));
      return answer;
    },
    close: () => session.close(),
  };
}

/** Asks by gRPC. */
export function grpcExchange(target: Omit<Http2Target, "path" | "method">): Exchange {
  const session = new Session({ ...target, path: grpcPath, method: "POST" });
  return {
    async ask(query, timeout) {
      const head = { ":method": "POST", ":path": grpcPath, "content-type": "application/grpc", te: "trailers" };
      const { headers, body, trailers } = await session.request(head, frame(query), timeout);
      const status = trailers["grpc-status"] ?? headers["grpc-status"];
      if (status !== "0") throw new Error(`grpc: status ${status} ${trailers["grpc-message"] ?? ""}`);
      const answer = unframe(body);
      if (answer === undefined) throw new Error("grpc: the response is no message");
      return answer;
    },
    close: () => session.close(),
  };
}

interface Response {
  readonly headers: IncomingHttpHeaders & { readonly ":status"?: number | undefined };
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
}

/** One connection, opened when it is needed. */
class Session {
  readonly #target: Http2Target;
  readonly #onConnection: OnConnection;
  #session: ClientHttp2Session | undefined;

  constructor(target: Http2Target, onConnection: OnConnection = () => {}) {
    this.#target = target;
    this.#onConnection = onConnection;
  }

  request(head: OutgoingHttpHeaders, body: Uint8Array | undefined, timeout: number): Promise<Response> {
    return new Promise((resolve, reject) => {
      const session = this.#connected();
      const stream = session.request(head, { endStream: body === undefined });
      const parts: Buffer[] = [];
      let length = 0;
      let headers: Response["headers"] = {};
      let trailers: IncomingHttpHeaders = {};
      const timer = setTimeout(() => {
        // The other side may be gone without a word, and nothing would tell for a quarter of an hour.
        if (this.#session === session) this.close();
        stream.destroy(new Error("http2: i/o timeout"));
      }, timeout);
      stream.on("response", (received) => {
        headers = received;
      });
      stream.on("trailers", (received) => {
        trailers = received;
      });
      stream.on("data", (part: Buffer) => {
        length += part.length;
        if (length > maxAnswer) stream.destroy(new Error("http2: the response is too long"));
        else parts.push(part);
      });
      stream.on("error", (error) => {
        clearTimeout(timer);
        reject(error);
      });
      stream.on("close", () => {
        clearTimeout(timer);
        resolve({ headers, body: Buffer.concat(parts), trailers });
      });
      if (body !== undefined) stream.end(body);
    });
  }

  close(): void {
    this.#session?.close();
    this.#session = undefined;
  }

  #connected(): ClientHttp2Session {
    const existing = this.#session;
    const usable = existing !== undefined && !existing.closed && !existing.destroyed;
    this.#onConnection(usable);
    if (usable) return existing;
    const { address, port, tls } = this.#target;
    const { connect } = process.getBuiltinModule("node:http2");
    const unix = address.startsWith("/");
    const authority = unix ? "localhost" : formatHostPort(address, port);
    const session = connect(`${tls === undefined ? "http" : "https"}://${authority}`, {
      ...tls,
      ...(unix && { createConnection: () => connectSocket(address) }),
    });
    session.on("error", () => session.destroy());
    session.setTimeout(60_000, () => session.close());
    session.unref();
    this.#session = session;
    return session;
  }
}
