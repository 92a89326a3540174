/** DNS over UDP: many queries for one system call where that is possible, otherwise Node's own sockets. */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { whyUnavailable } from "../../../kernel/ffi.ts";
import {
  type ArrivalAddress,
  arrivalAddress,
  peerAddress,
  peerFamily,
  peerPort,
  type SocketAddress,
  UdpSocket,
} from "../../../kernel/sockets/udp.ts";
import { type Family, parseAddress } from "../../../net/address.ts";
import type { Dispatcher } from "../dispatch.ts";
import type { Client } from "../query.ts";
import { clientOf, type ListenAddress, type Listener, type ListenerContext } from "./listener.ts";

/** The largest query and reply over UDP, in bytes. */
const maxSize = 4096;

/** Opens UDP sockets that share one port, as many as the settings say. */
export async function listenUdp(listen: ListenAddress, { settings }: ListenerContext): Promise<Listener> {
  const open = whyUnavailable() === undefined ? openBatched : openDgram;
  const first = await open(listen);
  const others = Array.from({ length: settings.sockets - 1 }, () => open({ ...listen, port: first.port }));
  const sockets = [first, ...(await Promise.all(others))];
  return {
    port: first.port,
    serve: (dispatcher) => {
      for (const socket of sockets) socket.dispatcher = dispatcher;
    },
    close: async () => {
      for (const socket of sockets) socket.close();
    },
  };
}

interface OpenSocket {
  readonly port: number;
  dispatcher: Dispatcher | undefined;
  close(): void;
}

async function openBatched({ address, port }: ListenAddress): Promise<OpenSocket> {
  const socket = bindEither(address, port);
  let dispatcher: Dispatcher | undefined;
  return {
    port: socket.port,
    get dispatcher() {
      return dispatcher;
    },
    set dispatcher(value) {
      dispatcher = value;
      socket.start((datagram, from, arrival) => {
        const client = new UdpClient(from, arrival, address, socket.port);
        dispatcher?.handle(datagram, client, (bytes) => {
          if (bytes !== undefined) socket.send(bytes, client.peer, client.arrival);
        });
      });
    },
    close: () => socket.close(),
  };
}

/** All addresses of both families, or those of IPv4 where the kernel has no IPv6. */
function bindEither(address: string, port: number): UdpSocket {
  try {
    return new UdpSocket({ address: parseAddress(address), port, maxSize });
  } catch (error) {
    if (address !== "::" || !/EAFNOSUPPORT|EADDRNOTAVAIL/.test(String(error))) throw error;
    return new UdpSocket({ address: parseAddress("0.0.0.0"), port, maxSize });
  }
}

/** A client of a batched socket. Its address is made into text only if somebody asks. */
class UdpClient implements Client {
  readonly protocol = "udp";
  readonly peer: SocketAddress;
  readonly arrival: ArrivalAddress | undefined;
  readonly localPort: number;
  readonly #bound: string;
  #address: string | undefined;

  constructor(peer: SocketAddress, arrival: ArrivalAddress, bound: string, localPort: number) {
    this.peer = peer.slice();
    this.arrival = arrival.length === 0 ? undefined : arrival.slice();
    this.#bound = bound;
    this.localPort = localPort;
  }

  get family(): Family {
    return peerFamily(this.peer);
  }

  get address(): string {
    this.#address ??= peerAddress(this.peer);
    return this.#address;
  }

  get port(): number {
    return peerPort(this.peer);
  }

  get localAddress(): string {
    return (this.arrival && arrivalAddress(this.arrival)) ?? this.#bound;
  }
}

async function openDgram({ address, port }: ListenAddress): Promise<OpenSocket> {
  const socket = await bindDgram(address, port);
  let dispatcher: Dispatcher | undefined;
  return {
    port: socket.address().port,
    get dispatcher() {
      return dispatcher;
    },
    set dispatcher(value) {
      if (dispatcher === undefined) {
        const localPort = socket.address().port;
        socket.on("message", (bytes: Buffer, from: RemoteInfo) => {
          const local = { localAddress: address, localPort };
          const client = clientOf("udp", { remoteAddress: from.address, remotePort: from.port, ...local });
          dispatcher?.handle(bytes, client, (answer) => {
            if (answer !== undefined) socket.send(Buffer.from(answer), from.port, from.address);
          });
        });
      }
      dispatcher = value;
    },
    close: () => socket.close(),
  };
}

async function bindDgram(address: string, port: number): Promise<Socket> {
  const socket = createSocket({
    type: address.includes(":") ? "udp6" : "udp4",
    reusePort: true,
    // Addresses are numbers already: without this every reply would go through the resolver's queue.
    lookup: (host, _options, callback) => callback(null, host, host.includes(":") ? 6 : 4),
  });
  socket.bind({ address, port });
  await once(socket, "listening");
  socket.on("error", () => {});
  return socket;
}
