/** Takes the datagrams that clients send to one service port, and passes them on, a socket for each client. */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { type Address, familyOf, parseAddress } from "../../../net/address.ts";
import type { Endpoint } from "../../../service/decision.ts";
import { type Balancer, endpointKey, type Pool } from "./balancer.ts";

/** Milliseconds after which a client is forgotten: one that asked once, and one that goes on talking. */
const idle = { single: 10_000, stream: 120_000 };
/** Datagrams that wait for a session's socket to be there. */
const mostWaiting = 16;
/** As many endpoints are tried for one datagram. */
const mostTries = 5;
/** Milliseconds between two looks for idle sessions. */
const sweepEvery = 1000;

/** The sessions of all UDP listeners, the one that was silent longest first. */
export class UdpSessions {
  readonly #sessions = new Map<string, Session>();
  readonly #limit: number;
  #sweeping: NodeJS.Timeout | undefined;

  /** @param limit as many there are at a time; beyond that the one that was silent longest is forgotten. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The session of a client, which counts as used now. */
  use(key: string): Session | undefined {
    const session = this.#sessions.get(key);
    if (session === undefined) return undefined;
    this.#sessions.delete(key);
    if (session.closed) return undefined;
    this.#sessions.set(key, session);
    return session;
  }

  /** Adds a session, and forgets another one if there are too many. */
  add(key: string, session: Session): void {
    this.#sessions.set(key, session);
    if (this.#sessions.size > this.#limit) {
      const [oldest] = this.#sessions.entries();
      if (oldest !== undefined) this.#end(...oldest);
    }
    this.#sweeping ??= setInterval(() => this.endWhere((each) => each.isIdle(performance.now())), sweepEvery).unref();
  }

  /** Ends those of which this is true. */
  endWhere(isOver: (session: Session) => boolean): void {
    for (const [key, session] of this.#sessions) if (session.closed || isOver(session)) this.#end(key, session);
    if (this.#sessions.size > 0) return;
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
  }

  #end(key: string, session: Session): void {
    session.close();
    this.#sessions.delete(key);
  }
}

/** Listens for the datagrams to one service port that are balanced over one pool. */
export class UdpListener {
  readonly port: number;
  readonly #socket: Socket;
  readonly #balancer: Balancer;
  readonly #pool: Pool;
  readonly #sessions: UdpSessions;

  private constructor(socket: Socket, balancer: Balancer, pool: Pool, sessions: UdpSessions) {
    this.#socket = socket;
    this.#balancer = balancer;
    this.#pool = pool;
    this.#sessions = sessions;
    this.port = socket.address().port;
    socket.on("message", (message, from) => this.#receive(message, from));
    // Errors that ICMP reports about answers to clients that have gone.
    socket.on("error", () => {});
  }

  /** Listens on a free port of an address. @throws as `bind` does. */
  static async open(address: Address, balancer: Balancer, pool: Pool, sessions: UdpSessions): Promise<UdpListener> {
    const socket = makeSocket(address);
    const listening = once(socket, "listening");
    socket.bind({ address, port: 0, exclusive: true });
    await listening;
    socket.unref();
    return new UdpListener(socket, balancer, pool, sessions);
  }

  /** Ends the sessions of endpoints that are no longer in the pool: the next datagram goes to another one. */
  endStale(): void {
    this.#sessions.endWhere(
      (session) => session.listener === this && !this.#balancer.has(this.#pool, session.endpoint),
    );
  }

  /** Ends all sessions, and frees the port. */
  close(): void {
    this.#sessions.endWhere((session) => session.listener === this);
    this.#socket.close();
  }

  #receive(message: Buffer, from: RemoteInfo): void {
    const key = `${this.port} ${from.port} ${from.address}`;
    let session = this.#sessions.use(key);
    if (session === undefined) {
      const client = parseAddress(from.address.replace(/%.*/, ""));
      const choose = (tried: ReadonlySet<string>) =>
        this.#balancer.choose(client, this.#pool, tried, performance.now());
      const endpoint = choose(new Set());
      if (endpoint === undefined) return;
      session = new Session({
        listener: this,
        endpoint,
        choose,
        failed: (refusing) => this.#balancer.failed(refusing, performance.now()),
        reply: (answer) => this.#socket.send(answer, from.port, from.address),
      });
      this.#sessions.add(key, session);
    }
    session.send(message);
  }
}

interface SessionParts {
  readonly listener: UdpListener;
  readonly endpoint: Endpoint;
  readonly choose: (tried: ReadonlySet<string>) => Endpoint | undefined;
  readonly failed: (endpoint: Endpoint) => void;
  readonly reply: (message: Buffer) => void;
}

/** A client and its endpoint. While that has not answered and refuses, others are tried with what was sent last. */
class Session {
  readonly listener: UdpListener;
  endpoint: Endpoint;
  closed = false;
  readonly #parts: SessionParts;
  readonly #tried = new Set<string>();
  #socket: Socket;
  #connected = false;
  /** What is to be sent once the socket is there, or again to another endpoint. */
  #waiting: Buffer[] = [];
  #lastUsed = performance.now();
  #answered = false;
  #stream = false;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.listener = parts.listener;
    this.endpoint = parts.endpoint;
    this.#socket = this.#open();
  }

  send(message: Buffer): void {
    this.#lastUsed = performance.now();
    this.#stream ||= this.#answered;
    if (!this.#connected) {
      if (this.#waiting.length < mostWaiting) this.#waiting.push(message);
      return;
    }
    if (!this.#answered) this.#waiting = [message];
    this.#socket.send(message);
  }

  isIdle(now: number): boolean {
    return now - this.#lastUsed > (this.#stream ? idle.stream : idle.single);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#socket.close();
  }

  #open(): Socket {
    const { address, port } = this.endpoint;
    const socket = makeSocket(address);
    this.#connected = false;
    socket.on("error", () => this.#refused(socket));
    socket.on("message", (message) => {
      this.#lastUsed = performance.now();
      this.#answered = true;
      this.#waiting = [];
      this.#parts.reply(message);
    });
    socket.connect(port, address, () => {
      if (this.closed || socket !== this.#socket) return;
      this.#connected = true;
      for (const message of this.#waiting) socket.send(message);
      this.#waiting = this.#waiting.slice(-1);
    });
    socket.unref();
    return socket;
  }

  /** Nobody listens there, or there is no way there. */
  #refused(socket: Socket): void {
    if (this.closed || socket !== this.#socket) return;
    this.#parts.failed(this.endpoint);
    this.#tried.add(endpointKey(this.endpoint));
    const next = this.#answered || this.#tried.size >= mostTries ? undefined : this.#parts.choose(this.#tried);
    if (next === undefined) {
      this.close();
      return;
    }
    socket.close();
    this.endpoint = next;
    this.#socket = this.#open();
  }
}

/** Addresses are never looked up: the only names here are addresses. */
function makeSocket(address: Address): Socket {
  const six = familyOf(address) === "IPv6";
  return createSocket({
    type: six ? "udp6" : "udp4",
    ipv6Only: six,
    lookup: (host, _options, found) => found(null, host, six ? 6 : 4),
  });
}
