/** Long-lived connections that mostly say nothing, to see whether a change of rules breaks any. */
import { createServer, type Socket } from "node:net";
import type { Address } from "../../src/net/address.ts";
import type { Host } from "./network.ts";
import { type Listener, openBound, openClient } from "./sockets.ts";

/** Echoes what it gets. @throws {SystemError} as `bind` does. */
export function serveEcho(host: Host, address: Address, port: number): Listener {
  const clients = new Set<Socket>();
  const server = createServer((socket) => {
    clients.add(socket);
    socket.on("close", () => clients.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen({ fd: openBound(host, "TCP", address, port) });
  return {
    close() {
      server.close();
      for (const socket of clients) socket.destroy();
    },
  };
}

/** Connections to an echo server that stay open. */
export class IdleConnections {
  readonly #sockets: readonly Socket[];
  readonly #broken = new Map<Socket, string>();

  private constructor(sockets: readonly Socket[]) {
    this.#sockets = sockets;
    for (const socket of sockets) {
      socket.on("error", (error) => this.#broken.set(socket, "code" in error ? String(error.code) : error.message));
      socket.on("close", () => this.#broken.has(socket) || this.#broken.set(socket, "closed"));
    }
  }

  /** Opens `count` connections. @throws if one cannot be made within two seconds. */
  static async open(host: Host, to: Address, port: number, count: number): Promise<IdleConnections> {
    const connecting = Array.from({ length: count }, () => connect(host, to, port));
    return new IdleConnections(await Promise.all(connecting));
  }

  /** How many have been reset or closed so far, by the reason. */
  get broken(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const reason of this.#broken.values()) counts[reason] = (counts[reason] ?? 0) + 1;
    return counts;
  }

  /** Sends something on each and waits for its echo. @returns how many still work. */
  async check(timeout = 1000): Promise<number> {
    const works = await Promise.all(this.#sockets.map((socket) => echoes(socket, timeout)));
    return works.filter(Boolean).length;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

function connect(host: Host, to: Address, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = openClient(host, to);
    const timer = setTimeout(() => socket.destroy(new Error(`no connection to ${to}:${port} in two seconds`)), 2000);
    socket.once("error", reject);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", reject);
      resolve(socket);
    });
    socket.connect({ host: to, port });
  });
}

function echoes(socket: Socket, timeout: number): Promise<boolean> {
  return new Promise((resolve) => {
    if (socket.destroyed) {
      resolve(false);
      return;
    }
    const done = (works: boolean) => {
      clearTimeout(timer);
      socket.off("data", onData);
      socket.off("close", onClose);
      resolve(works);
    };
    const onData = () => done(true);
    const onClose = () => done(false);
    const timer = setTimeout(() => done(false), timeout);
    socket.once("data", onData);
    socket.once("close", onClose);
    socket.write("?");
  });
}
