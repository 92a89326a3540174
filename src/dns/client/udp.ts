/** Asking over UDP. */
import { createSocket, type Socket } from "node:dgram";
import { type Exchange, IdlePool, type OnConnection } from "./exchange.ts";

/** Where to, and where from. */
export interface UdpTarget {
  readonly address: string;
  readonly port: number;
  /** The address of this machine to ask from; any if undefined. */
  readonly sourceAddress?: string | undefined;
  /** How long idle connections are kept, in milliseconds, and how many. */
  readonly pool?: { readonly keepFor: number; readonly max: number };
}

/** Queries that a socket asks before its port is given back: ports must stay hard to guess. */
const queriesPerPort = 32;

interface Link {
  readonly socket: Socket;
  uses: number;
}

/**
 * Asks over connected sockets, each for one query at a time: the kernel drops what others than the server send, and an
 * answer must have the port and the id of its query.
 */
export function udpExchange(target: UdpTarget, onConnection: OnConnection = () => {}): Exchange {
  const pool = new IdlePool<Link>(({ socket }) => socket.close(), target.pool);
  return {
    async ask(query, timeout) {
      const idle = pool.take();
      onConnection(idle !== undefined);
      const link = idle ?? { socket: await connect(target), uses: 0 };
      link.uses++;
      try {
        const answer = await askOnce(link.socket, query, timeout);
        if (link.uses < queriesPerPort) pool.give(link);
        else link.socket.close();
        return answer;
      } catch (error) {
        link.socket.close();
        throw error;
      }
    },
    close: () => pool.clear(),
  };
}

async function connect({ address, port, sourceAddress }: UdpTarget): Promise<Socket> {
  const six = address.includes(":");
  const socket = createSocket({
    type: six ? "udp6" : "udp4",
    lookup: (host, _options, callback) => callback(null, host, six ? 6 : 4),
  });
  socket.unref();
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      const start = () => socket.connect(port, address, resolve);
      if (sourceAddress === undefined) start();
      else socket.bind({ address: sourceAddress }, start);
    });
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.removeAllListeners("error");
  socket.on("error", () => {});
  return socket;
}

function askOnce(socket: Socket, query: Uint8Array, timeout: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const finish = () => {
      clearTimeout(timer);
      socket.off("message", onMessage);
      socket.off("error", onError);
    };
    const onMessage = (bytes: Buffer) => {
      if (bytes.length < 12 || bytes[0] !== query[0] || bytes[1] !== query[1]) return;
      finish();
      resolve(bytes);
    };
    const onError = (error: Error) => {
      finish();
      reject(error);
    };
    const timer = setTimeout(() => onError(new Error("read udp: i/o timeout")), timeout);
    socket.on("message", onMessage);
    socket.on("error", onError);
    socket.send(query, (error) => {
      if (error) onError(error);
    });
  });
}
