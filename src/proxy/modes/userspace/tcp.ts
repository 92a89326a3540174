/** Takes TCP connections to services, connects to an endpoint for each, and passes on what both sides say. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { originalDestination } from "../../../kernel/sockets/tcp.ts";
import { type Address, familyOf, tryParseAddress } from "../../../net/address.ts";
import type { Endpoint } from "../../../service/decision.ts";
import { type Balancer, endpointKey, type Pool } from "./balancer.ts";
import type { Places } from "./limits.ts";

/** Milliseconds in which an endpoint must have taken a connection; endpoints are a few hops away. */
const connectTimeout = 3000;
/** As many endpoints are tried for one connection. */
const mostTries = 5;
/** Connections that wait to be accepted; the kernel allows net.core.somaxconn at most. */
const backlog = 4096;
/** A peer that is gone without a word is noticed after this, and some probes. Milliseconds. */
const keepAlive = 60_000;

/** Finds the balancer of the service port that a client wanted to reach. */
export type Route = (address: Address, port: number) => Balancer | undefined;

/** What a listener is told. */
export interface TcpParts {
  readonly pool: Pool;
  readonly route: Route;
  /** For connections: those for which there is none are reset as they come. */
  readonly places: Places;
}

/** Listens for the connections of all services that are balanced over one kind of pool, in one family. */
export class TcpListener {
  readonly port: number;
  readonly #server: Server;
  readonly #parts: TcpParts;

  private constructor(server: Server, port: number, parts: TcpParts) {
    this.#server = server;
    this.#parts = parts;
    this.port = port;
    server.on("connection", (client) => void this.#serve(client));
    // Beside EMFILE and the like, which pass, nothing comes here.
    server.on("error", () => {});
  }

  /** Listens on a free port of an address. @throws as `bind` does. */
  static async open(address: Address, parts: TcpParts): Promise<TcpListener> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    server.listen({ host: address, port: 0, backlog, exclusive: true });
    await once(server, "listening");
    server.unref();
    const at = server.address();
    return new TcpListener(server, typeof at === "object" && at !== null ? at.port : 0, parts);
  }

  /** Takes no more connections. @returns when those that there are have ended. */
  close(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(client: Socket): Promise<void> {
    const { pool, route, places } = this.#parts;
    client.on("error", () => {});
    if (!places.take()) {
      client.resetAndDestroy();
      return;
    }
    client.once("close", () => places.free());
    const wanted = originalDestination(client);
    const from = tryParseAddress(client.remoteAddress ?? "");
    const balancer = wanted && route(wanted.address, wanted.port);
    const server = from && balancer && (await connectToOne(balancer, from, pool, client));
    if (server === undefined) client.resetAndDestroy();
    else relay(client, server);
  }
}

/** Connects to an endpoint, or to another one if that fails. @returns undefined if none can be reached. */
async function connectToOne(
  balancer: Balancer,
  from: Address,
  pool: Pool,
  client: Socket,
): Promise<Socket | undefined> {
  const tried = new Set<string>();
  while (tried.size < mostTries && !client.destroyed) {
    const endpoint = balancer.choose(from, pool, tried, performance.now());
    if (endpoint === undefined) return undefined;
    const socket = await dial(endpoint);
    if (socket !== undefined) return socket;
    balancer.failed(endpoint, performance.now());
    tried.add(endpointKey(endpoint));
  }
  return undefined;
}

function dial({ address, port }: Endpoint): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({
      host: address,
      port,
      family: familyOf(address) === "IPv4" ? 4 : 6,
      autoSelectFamily: false,
      allowHalfOpen: true,
      noDelay: true,
    });
    const done = (result: Socket | undefined) => {
      clearTimeout(timer);
      if (result === undefined) socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => done(undefined), connectTimeout);
    socket.once("connect", () => done(socket));
    // Also later, when the connection is relayed.
    socket.on("error", () => done(undefined));
  });
}

/**
 * Passes on in both directions until both have ended, each for itself. A side that takes nothing stops the other one
 * from being read once the stream's buffer is full.
 */
function relay(client: Socket, server: Socket): void {
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.setKeepAlive(true, keepAlive);
    one.once("close", () => {
      // An end that both sides have agreed on needs no reset; everything else was broken off.
      if (!one.readableEnded || !one.writableFinished) other.resetAndDestroy();
    });
    one.pipe(other);
  }
}
