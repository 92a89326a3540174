/** DNS over streams (TCP, TLS): messages with a length in front of each (RFC 1035 4.2.2, RFC 7766). */
import type { Socket } from "node:net";
import type { Dispatcher } from "../dispatch.ts";
import type { Client, Protocol } from "../query.ts";
import type { Settings } from "../site.ts";
import { clientOf } from "./listener.ts";

/** Queries of one connection that may be under way; more are not read. */
const maxPending = 128;
/** Bytes of replies that a slow client may have waiting. */
const maxBacklog = 1024 * 1024;

/** The limits of a connection, in milliseconds; `queries` 0 for no limit. */
type Limits = Pick<Settings, "readTimeout" | "writeTimeout" | "idleTimeout" | "maxTcpQueries">;

/**
 * Serves one connection until the client ends it, is too slow, or is idle for too long. Replies are sent as they are
 * ready, in any order.
 */
export function serveStream(socket: Socket, protocol: Protocol, limits: Limits, dispatcher: () => Dispatcher): void {
  new StreamConnection(socket, protocol, limits, dispatcher);
}

class StreamConnection {
  readonly #socket: Socket;
  readonly #limits: Limits;
  readonly #dispatcher: () => Dispatcher;
  readonly #client: Client;
  #buffer: Buffer = Buffer.alloc(0);
  #pending = 0;
  #queries = 0;
  #ended = false;
  #timer: NodeJS.Timeout | undefined;
  /** What {@link #timer} is for; a message that comes in pieces has one time for all of them. */
  #waitingFor = "";

  constructor(socket: Socket, protocol: Protocol, limits: Limits, dispatcher: () => Dispatcher) {
    this.#socket = socket;
    this.#limits = limits;
    this.#dispatcher = dispatcher;
    this.#client = clientOf(protocol, socket);
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => clearTimeout(this.#timer));
    socket.on("data", (bytes: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? bytes : Buffer.concat([this.#buffer, bytes]);
      this.#read();
    });
    socket.on("end", () => {
      this.#ended = true;
      this.#endIfDone();
    });
    socket.on("drain", () => this.#read());
    this.#wait();
  }

  /** Handles the complete messages of the buffer, as many as may be under way. */
  #read(): void {
    while (this.#buffer.length >= 2 && !this.#busy() && !this.#socket.destroyed) {
      const length = this.#buffer.readUInt16BE(0);
      if (this.#buffer.length < 2 + length) break;
      const message = this.#buffer.subarray(2, 2 + length);
      this.#buffer = this.#buffer.subarray(2 + length);
      this.#queries++;
      this.#handle(message);
      if (this.#queries === this.#limits.maxTcpQueries) {
        this.#ended = true;
        break;
      }
    }
    if (this.#busy()) this.#socket.pause();
    else this.#socket.resume();
    this.#wait();
    this.#endIfDone();
  }

  #busy(): boolean {
    return this.#pending >= maxPending || this.#socket.writableLength > maxBacklog;
  }

  #handle(message: Buffer): void {
    this.#pending++;
    this.#dispatcher().handle(message, this.#client, (bytes, more = false) => {
      const wasBusy = this.#busy();
      if (!more) this.#pending--;
      if (this.#socket.destroyed) return more ? Promise.reject(new Error("the client has gone")) : undefined;
      if (bytes !== undefined) {
        const frame = Buffer.allocUnsafe(2 + bytes.length);
        frame.writeUInt16BE(bytes.length, 0);
        frame.set(bytes, 2);
        this.#socket.write(frame);
      }
      if (more) return this.#welcome();
      if (wasBusy) setImmediate(() => this.#read());
      else this.#endIfDone();
      return undefined;
    });
  }

  /** When the client has taken enough of what was written; rejected if it never will. */
  #welcome(): Promise<void> | undefined {
    this.#wait();
    const socket = this.#socket;
    if (socket.writableLength <= maxBacklog) return undefined;
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => () => {
        socket.off("drain", drained);
        socket.off("close", closed);
        act();
      };
      const drained = settle(resolve);
      const closed = settle(() => reject(new Error("the client has gone")));
      socket.on("drain", drained);
      socket.on("close", closed);
    });
  }

  /** Starts the time that the client has: to complete a message, to take its replies, or to send another query. */
  #wait(): void {
    const { readTimeout, writeTimeout, idleTimeout } = this.#limits;
    const reading = !this.#busy() && (this.#buffer.length > 0 || this.#queries === 0);
    const waitingFor = reading ? `message ${this.#queries}` : "";
    if (reading && waitingFor === this.#waitingFor) return;
    clearTimeout(this.#timer);
    this.#waitingFor = waitingFor;
    const time = this.#busy() ? writeTimeout : reading ? readTimeout : idleTimeout;
    this.#timer = setTimeout(() => this.#socket.destroy(), time);
  }

  #endIfDone(): void {
    if (this.#ended && this.#pending === 0 && !this.#socket.destroyed) this.#socket.end();
  }
}
