/** WebSockets (RFC 6455), the server's side: the handshake, frames, and a connection over a socket. */
import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";

/** One frame as the client sent it, its mask taken off. */
export interface Frame {
  readonly final: boolean;
  /** 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong. */
  readonly opcode: number;
  readonly payload: Buffer;
}

/** Says what is wrong with what a client sent; `code` is for the close frame. */
export class WebSocketError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.name = "WebSocketError";
    this.code = code;
  }
}

/** Bytes that one message may have. */
export const messageLimit = 1024 * 1024;
/** Bytes that wait for a client before its sender is asked to pause. */
const highWater = 256 * 1024;

/** The value of `Sec-WebSocket-Accept` for a key. */
export function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/**
 * Reads the first frame of some bytes.
 *
 * @returns the frame and how many bytes it took, or undefined if it is not complete.
 * @throws {WebSocketError} if it is not masked, too large or uses extensions.
 */
export function readFrame(bytes: Buffer): { readonly frame: Frame; readonly size: number } | undefined {
  if (bytes.length < 2) return undefined;
  const [first = 0, second = 0] = bytes;
  if ((first & 0x70) !== 0) throw new WebSocketError(1002, "no extension was agreed on");
  if ((second & 0x80) === 0) throw new WebSocketError(1002, "frames of clients are masked");
  let length = second & 0x7f;
  let at = 2;
  if (length === 126) {
    if (bytes.length < 4) return undefined;
    length = bytes.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (bytes.length < 10) return undefined;
    length = Number(bytes.readBigUInt64BE(2));
    at = 10;
  }
  if (length > messageLimit) throw new WebSocketError(1009, `a message may have ${messageLimit} bytes`);
  if (bytes.length < at + 4 + length) return undefined;
  const mask = bytes.subarray(at, at + 4);
  const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + length));
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0);
  return { frame: { final: (first & 0x80) !== 0, opcode: first & 0x0f, payload }, size: at + 4 + length };
}

/** A frame as the server sends it: whole and not masked. */
export function writeFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  if (length < 126) head[1] = length;
  else if (length < 65_536) {
    head[1] = 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, payload]);
}

/** What a connection tells. */
export interface WebSocketEvents {
  /** A whole message. */
  message(payload: Buffer): void;
  /** The client has caught up after {@link WebSocketConnection.send} said that it is behind. */
  drained(): void;
  /** The connection is over; told once. */
  closed(): void;
}

/** A connection after its handshake. */
export class WebSocketConnection {
  readonly #socket: Duplex;
  readonly #events: WebSocketEvents;
  #pending: Buffer = Buffer.alloc(0);
  #message: Buffer[] = [];
  #closed = false;

  constructor(socket: Duplex, head: Buffer, events: WebSocketEvents) {
    this.#socket = socket;
    this.#events = events;
    if (head.length > 0) socket.unshift(head);
    socket.on("data", (bytes: Buffer) => {
      this.#pending = Buffer.concat([this.#pending, bytes]);
      this.#read();
    });
    socket.on("drain", () => events.drained());
    socket.on("error", () => this.#end());
    socket.on("close", () => this.#end());
  }

  /** Reads nothing more for now: whoever takes the messages is behind. */
  pause(): void {
    this.#socket.pause();
  }

  /** Reads on. */
  resume(): void {
    this.#socket.resume();
  }

  /** Sends a binary message; false if the client is behind and the sender should pause. */
  send(payload: Uint8Array): boolean {
    if (this.#closed) return true;
    this.#socket.write(writeFrame(2, payload));
    return this.#socket.writableLength < highWater;
  }

  /** Ends the connection in good order. */
  close(code = 1000): void {
    if (this.#closed) return;
    const reason = Buffer.alloc(2);
    reason.writeUInt16BE(code);
    this.#socket.end(writeFrame(8, reason));
    this.#end();
  }

  #read(): void {
    try {
      for (let next = readFrame(this.#pending); next !== undefined && !this.#closed; next = readFrame(this.#pending)) {
        this.#pending = this.#pending.subarray(next.size);
        this.#take(next.frame);
      }
    } catch (error) {
      this.close(error instanceof WebSocketError ? error.code : 1011);
    }
  }

  #take({ final, opcode, payload }: Frame): void {
    if (opcode === 8) this.close();
    else if (opcode === 9) this.#socket.write(writeFrame(10, payload));
    else if (opcode <= 2) {
      this.#message.push(payload);
      if (this.#message.reduce((sum, part) => sum + part.length, 0) > messageLimit) {
        throw new WebSocketError(1009, `a message may have ${messageLimit} bytes`);
      }
      if (!final) return;
      const whole = Buffer.concat(this.#message);
      this.#message = [];
      this.#events.message(whole);
    }
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events.closed();
  }
}
