/** Asking over TCP and TLS. */
import { connect as connectTcp, type Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { type Exchange, IdlePool, type OnConnection } from "./exchange.ts";

/** Where to, and how. */
export interface StreamTarget {
  readonly address: string;
  readonly port: number;
  /** TLS with these options; plain TCP if undefined. */
  readonly tls?: ConnectionOptions | undefined;
  readonly sourceAddress?: string | undefined;
  /** How long idle connections are kept, in milliseconds, and how many. */
  readonly pool?: { readonly keepFor: number; readonly max: number };
}

/** Asks over connections, each for one query at a time. A connection that the server has closed meanwhile is replaced. */
export function streamExchange(target: StreamTarget, onConnection: OnConnection = () => {}): Exchange {
  const pool = new IdlePool<Socket>((socket) => socket.destroy(), target.pool);
  const open = async (timeout: number) => {
    const socket = await connect(target, timeout);
    socket.on("close", () => pool.drop(socket));
    socket.on("error", () => socket.destroy());
    return socket;
  };
  return {
    async ask(query, timeout) {
      const end = performance.now() + timeout;
      for (let idle = pool.take(); idle !== undefined; idle = pool.take()) {
        if (idle.destroyed || idle.readableEnded) continue;
        onConnection(true);
        try {
          return await askOver(idle, query, end - performance.now(), pool);
        } catch (error) {
          if (performance.now() >= end) throw error;
        }
      }
      onConnection(false);
      return askOver(await open(timeout), query, end - performance.now(), pool);
    },
    close: () => pool.clear(),
  };
}

/** Opens a connection. */
export function connect({ address, port, tls, sourceAddress }: StreamTarget, timeout: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const where = { host: address, port, ...(sourceAddress !== undefined && { localAddress: sourceAddress }) };
    const ready = () => {
      clearTimeout(timer);
      socket.off("error", fail);
      socket.setNoDelay(true);
      resolve(socket);
    };
    const socket: Socket =
      tls === undefined
        ? connectTcp(where, ready)
        : process.getBuiltinModule("node:tls").connect({ ...tls, ...where }, ready);
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(new Error(`dial tcp ${address}:${port}: i/o timeout`)), Math.max(1, timeout));
    socket.once("error", fail);
  });
}

async function askOver(
  socket: Socket,
  query: Uint8Array,
  timeout: number,
  pool: IdlePool<Socket>,
): Promise<Uint8Array> {
  const frame = Buffer.allocUnsafe(2 + query.length);
  frame.writeUInt16BE(query.length, 0);
  frame.set(query, 2);
  socket.ref();
  socket.write(frame);
  for await (const message of messages(socket, timeout)) {
    if (message[0] !== query[0] || message[1] !== query[1]) continue;
    socket.unref();
    pool.give(socket);
    return message;
  }
  throw new Error("read tcp: connection closed");
}

/**
 * The messages that arrive on a connection, until whoever reads them stops.
 *
 * @param timeout milliseconds for each of them.
 * @throws if the connection fails or nothing comes in time; then it is destroyed.
 */
export async function* messages(socket: Socket, timeout: number): AsyncGenerator<Buffer> {
  let buffer = Buffer.alloc(0);
  for (;;) {
    while (buffer.length >= 2) {
      const length = buffer.readUInt16BE(0);
      if (buffer.length < 2 + length) break;
      const message = buffer.subarray(2, 2 + length);
      buffer = buffer.subarray(2 + length);
      yield message;
    }
    const bytes = await nextBytes(socket, timeout);
    if (bytes === undefined) return;
    buffer = Buffer.concat([buffer, bytes]);
  }
}

/** The next bytes of a connection; undefined at its end. */
function nextBytes(socket: Socket, timeout: number): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const finish = () => {
      clearTimeout(timer);
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
      socket.off("error", onError);
    };
    const onData = (bytes: Buffer) => {
      socket.pause();
      finish();
      resolve(bytes);
    };
    const onEnd = () => {
      finish();
      resolve(undefined);
    };
    const onError = (error: Error) => {
      finish();
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => onError(new Error("read tcp: i/o timeout")), Math.max(1, timeout));
    if (socket.destroyed) {
      onEnd();
      return;
    }
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    socket.on("error", onError);
    socket.resume();
  });
}
