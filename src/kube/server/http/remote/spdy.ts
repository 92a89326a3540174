/** SPDY/3.1, the server's side, as far as clients of the API use it: streams that the client opens, in both directions. */
import { Duplex } from "node:stream";
import { emptyBlock, HeaderReader } from "./spdyheaders.ts";

/** Types of control frames. */
const control = { synStream: 1, synReply: 2, reset: 3, ping: 6, goAway: 7 } as const;
/** The flag of the last frame of a stream. */
const last = 1;
const protocolError = 1;
const refused = 3;
const cancelled = 5;
/** Bytes that one frame may have; clients send pieces of 32 KiB. */
const frameLimit = 1024 * 1024;
/** Bytes of a stream that wait for who reads it, before the whole connection waits. */
const waiting = 256 * 1024;
/** Streams that a connection may have open. */
const streamLimit = 2000;

/** A frame as it is on the wire. */
export type Frame =
  | { readonly kind: "data"; readonly stream: number; readonly flags: number; readonly payload: Buffer }
  | { readonly kind: "control"; readonly type: number; readonly flags: number; readonly payload: Buffer };

/** Reads the first frame of some bytes. @returns undefined if it is not complete. @throws an Error if it is too large. */
export function readSpdyFrame(bytes: Buffer): { readonly frame: Frame; readonly size: number } | undefined {
  if (bytes.length < 8) return undefined;
  const word = bytes.readUInt32BE(0);
  const flags = bytes.readUInt8(4);
  const length = bytes.readUIntBE(5, 3);
  if (length > frameLimit) throw new Error(`a frame may have ${frameLimit} bytes`);
  if (bytes.length < 8 + length) return undefined;
  const payload = bytes.subarray(8, 8 + length);
  const isControl = word >= 0x8000_0000;
  const frame: Frame = isControl
    ? { kind: "control", type: word & 0xffff, flags, payload }
    : { kind: "data", stream: word, flags, payload };
  return { frame, size: 8 + length };
}

/** A frame for the wire. */
export function writeSpdyFrame(frame: Frame): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(frame.kind === "data" ? frame.stream : 0x8003_0000 + frame.type);
  head.writeUInt8(frame.flags, 4);
  head.writeUIntBE(frame.payload.length, 5, 3);
  return Buffer.concat([head, frame.payload]);
}

/** One stream. Its end is the end of what the client sends; to end it is to send nothing more. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly #send: (frame: Frame, done: () => void) => void;
  #ready: (() => void) | undefined;
  #complete = false;

  constructor(id: number, headers: ReadonlyMap<string, string>, send: (frame: Frame, done: () => void) => void) {
    super({ readableHighWaterMark: waiting });
    this.id = id;
    this.headers = headers;
    this.#send = send;
  }

  /** Takes what the client sent. @returns when there is room for more. */
  async receive(payload: Buffer, isLast: boolean): Promise<void> {
    if (this.destroyed || this.#complete) return;
    this.#complete = isLast;
    const room = payload.length === 0 || this.push(payload);
    if (isLast) this.push(null);
    if (!room && !isLast)
      await new Promise<void>((resolve) => {
        this.#ready = resolve;
      });
  }

  override _read(): void {
    this.#ready?.();
    this.#ready = undefined;
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#send({ kind: "data", stream: this.id, flags: 0, payload: chunk }, done);
  }

  override _final(done: () => void): void {
    this.#send({ kind: "data", stream: this.id, flags: last, payload: Buffer.alloc(0) }, done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this._read();
    // An orderly end needs no word: both sides have said it.
    if (!this.readableEnded || !this.writableFinished) this.#send(reset(this.id, cancelled), () => undefined);
    done(error);
  }
}

/** A connection that speaks SPDY/3.1. */
export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #headers = new HeaderReader();
  readonly #gone = new AbortController();
  #replied = false;

  /** @param onStream is told of each stream that the client opens. */
  constructor(socket: Duplex, head: Buffer, onStream: (stream: SpdyStream) => void) {
    this.#socket = socket;
    this.#onStream = onStream;
    if (head.length > 0) socket.unshift(head);
    socket.on("error", () => this.close());
    socket.on("close", () => this.close());
    this.#read().then(
      () => this.close(),
      () => socket.destroy(),
    );
  }

  /** Aborted when the connection is over. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Ends the connection, with what was written sent before. */
  close(): void {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort();
    this.#headers.close();
    for (const stream of this.#streams.values()) stream.destroy();
    this.#streams.clear();
    this.#socket.end();
  }

  async #read(): Promise<void> {
    let pending: Buffer = Buffer.alloc(0);
    for await (const chunk of this.#socket.iterator({ destroyOnReturn: false })) {
      pending = Buffer.concat([pending, chunk as Buffer]);
      for (let next = readSpdyFrame(pending); next !== undefined; next = readSpdyFrame(pending)) {
        pending = pending.subarray(next.size);
        await this.#take(next.frame);
      }
    }
  }

  async #take(frame: Frame): Promise<void> {
    if (frame.kind === "data") {
      const stream = this.#streams.get(frame.stream);
      await stream?.receive(frame.payload, (frame.flags & last) !== 0);
      return;
    }
    const { type, payload, flags } = frame;
    if (type === control.ping) this.#write(writeSpdyFrame(frame));
    else if (type === control.goAway) this.close();
    else if (type === control.reset && payload.length >= 8) this.#streams.get(payload.readUInt32BE(0))?.destroy();
    else if (type === control.synStream) await this.#open(payload, flags);
  }

  async #open(payload: Buffer, flags: number): Promise<void> {
    if (payload.length < 10) throw new Error("a stream without a number");
    const id = payload.readUInt32BE(0) & 0x7fff_ffff;
    const headers = await this.#headers.read(payload.subarray(10));
    if (this.#streams.has(id) || this.#streams.size >= streamLimit) {
      this.#write(writeSpdyFrame(reset(id, this.#streams.has(id) ? protocolError : refused)));
      return;
    }
    const stream = new SpdyStream(id, headers, (frame, done) => this.#write(writeSpdyFrame(frame), done));
    stream.on("error", () => undefined);
    stream.on("close", () => this.#streams.delete(id));
    this.#streams.set(id, stream);
    const number = Buffer.alloc(4);
    number.writeUInt32BE(id);
    const block = emptyBlock(!this.#replied);
    this.#replied = true;
    this.#write(
      writeSpdyFrame({ kind: "control", type: control.synReply, flags: 0, payload: Buffer.concat([number, block]) }),
    );
    if ((flags & last) !== 0) await stream.receive(Buffer.alloc(0), true);
    this.#onStream(stream);
  }

  #write(bytes: Buffer, done: () => void = () => undefined): void {
    if (this.#socket.writable) this.#socket.write(bytes, () => done());
    else done();
  }
}

function reset(stream: number, status: number): Frame {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(stream);
  payload.writeUInt32BE(status, 4);
  return { kind: "control", type: control.reset, flags: 0, payload };
}
