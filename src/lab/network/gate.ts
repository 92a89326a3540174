/** The way from a lab to its API server, which listens on the loopback interface of the machine. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { listenInside } from "../../kernel/sockets/tcp.ts";

/** Passes connections to a port of a namespace on to a port of this machine, until it is closed. */
export class Gate {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  /** @param to the port on 127.0.0.1, asked for each connection. */
  constructor(to: () => number) {
    this.#server = createServer((inner) => {
      const outer = connect(to(), "127.0.0.1");
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
  }

  /** Begins to listen. @throws {SystemError} if the port cannot be had. */
  async open(namespace: string, port: number): Promise<void> {
    listenInside(namespace, this.#server, port);
    await once(this.#server, "listening");
  }

  /** Ends all connections. */
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
