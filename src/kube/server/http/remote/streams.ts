/** The streams of a remote command, whatever carries them: channels of a WebSocket, or streams of SPDY. */
import { Duplex, Readable, Writable } from "node:stream";
import { SpdyConnection, type SpdyStream } from "./spdy.ts";
import { WebSocketConnection } from "./websocket.ts";

/** Which streams a command has, besides that of its outcome. */
export interface Wanted {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** True if the client tells of the size of its terminal. */
  readonly resize: boolean;
}

/** They. */
export interface RemoteStreams {
  readonly stdin?: Readable | undefined;
  readonly stdout?: Writable | undefined;
  readonly stderr?: Writable | undefined;
  /** JSON objects with `Width` and `Height`. */
  readonly resize?: Readable | undefined;
  /** For the outcome. */
  readonly error: Writable;
  /** Aborted when the client is gone. */
  readonly gone: AbortSignal;
  /** Ends the connection, with what was written sent before. */
  close(): void;
}

/** What the first byte of a message says it is (`v4.channel.k8s.io`; the last one is new in v5). */
const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** The streams of a WebSocket. */
export function webSocketStreams(socket: Duplex, head: Buffer): RemoteStreams {
  const gone = new AbortController();
  const behind: (() => void)[] = [];
  const input = () => new Readable({ read: () => connection.resume() });
  const [stdin, resize] = [input(), input()];
  const connection: WebSocketConnection = new WebSocketConnection(socket, head, {
    message(payload) {
      const [kind] = payload;
      const rest = payload.subarray(1);
      if (kind === channel.close) {
        if (rest[0] === channel.stdin && !stdin.readableEnded) stdin.push(null);
        return;
      }
      const target = kind === channel.stdin ? stdin : kind === channel.resize ? resize : undefined;
      if (target !== undefined && !target.readableEnded && !target.destroyed && !target.push(rest)) connection.pause();
    },
    drained() {
      for (const done of behind.splice(0)) done();
    },
    closed() {
      gone.abort();
      stdin.destroy();
      resize.destroy();
      for (const done of behind.splice(0)) done();
    },
  });
  const output = (kind: number) =>
    new Writable({
      write(chunk: Buffer, _, done) {
        if (connection.send(Buffer.concat([Uint8Array.of(kind), chunk]))) done();
        else behind.push(done);
      },
    });
  const [stdout, stderr, error] = [output(channel.stdout), output(channel.stderr), output(channel.error)];
  for (const stream of [stdin, resize, stdout, stderr, error]) stream.on("error", () => undefined);
  return { stdin, stdout, stderr, error, resize, gone: gone.signal, close: () => connection.close() };
}

/** Milliseconds that a client may take to open its streams. */
const patience = 30_000;

/** The streams of a SPDY connection, once the client has opened all of them. @throws an Error if it does not. */
export async function spdyStreams(socket: Duplex, head: Buffer, wanted: Wanted): Promise<RemoteStreams> {
  const names = ["error", ...(["stdin", "stdout", "stderr", "resize"] as const).filter((name) => wanted[name])];
  const found = new Map<string, SpdyStream>();
  const { promise: complete, resolve, reject } = Promise.withResolvers<void>();
  const connection = new SpdyConnection(socket, head, (stream) => {
    found.set(stream.headers.get("streamtype") ?? "", stream);
    if (names.every((name) => found.has(name))) resolve();
  });
  const fail = () =>
    reject(new Error(`the client opened no streams ${names.filter((name) => !found.has(name)).join(", ")}`));
  const timer = setTimeout(() => {
    fail();
    connection.close();
  }, patience);
  connection.gone.addEventListener("abort", fail, { once: true });
  try {
    await complete;
  } finally {
    clearTimeout(timer);
    connection.gone.removeEventListener("abort", fail);
  }
  const error = found.get("error");
  if (error === undefined) throw new Error("there is no stream for the outcome");
  return {
    error,
    stdin: found.get("stdin") as Readable | undefined,
    stdout: found.get("stdout"),
    stderr: found.get("stderr"),
    resize: found.get("resize") as Readable | undefined,
    gone: connection.gone,
    close: () => connection.close(),
  };
}

/** The bytes that a WebSocket carries, as a stream: for what is tunnelled through it. */
export function webSocketBytes(socket: Duplex, head: Buffer): Duplex {
  const behind: (() => void)[] = [];
  const stream: Duplex = new Duplex({
    read: () => connection.resume(),
    write(chunk: Buffer, _, done) {
      if (connection.send(chunk)) done();
      else behind.push(done);
    },
    final(done) {
      connection.close();
      done();
    },
    destroy(error, done) {
      connection.close();
      done(error);
    },
  });
  const connection: WebSocketConnection = new WebSocketConnection(socket, head, {
    message(payload) {
      if (!stream.destroyed && !stream.push(payload)) connection.pause();
    },
    drained() {
      for (const done of behind.splice(0)) done();
    },
    closed() {
      if (!stream.destroyed) stream.push(null);
      for (const done of behind.splice(0)) done();
    },
  });
  return stream;
}
