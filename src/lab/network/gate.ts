/** The way to a lab's API server, which listens on a loopback interface, from other networks. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { listenInside } from "../../kernel/sockets/tcp.ts";

/** Passes connections to ports of other networks on to a port of this one, until it is closed. */
export class Gate {
  readonly #to: () => number;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  /** @param to the port on 127.0.0.1, asked for each connection. */
  constructor(to: () => number) {
    this.#to = to;
  }

  /** Begins to listen in a namespace. @throws {SystemError} if the port cannot be had. */
  async open(namespace: string, port: number): Promise<void> {
    const server = this.#makeServer();
    listenInside(namespace, server, port);
    await once(server, "listening");
  }

  /** Begins to listen on a socket that is bound. @returns its port. @throws {SystemError} if the port is taken. */
  async openSocket(fd: number): Promise<number> {
    const server = this.#makeServer().listen({ fd });
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  /** Ends all connections. */
  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #makeServer(): Server {
    const server = createServer((inner) => {
      const outer = connect(this.#to(), "127.0.0.1");
      for (const [socket, other] of [
        [inner, outer],
        [outer, inner],
      ] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => other.destroy());
        socket.on("close", () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    this.#servers.push(server);
    return server;
  }
}
