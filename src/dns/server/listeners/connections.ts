/** Servers of connections: opening a port, and closing it without cutting off who is being served. */
import type { Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";

/** How long connections may go on after their port was closed, in milliseconds. */
const graceMs = 5000;
/** Connections of one port at a time. */
const maxConnections = 10_000;

/** A port of a server of connections. */
export interface OpenPort {
  readonly port: number;
  /** Closes the port; idle connections end at once, others when they are idle, at the latest after 5 seconds. */
  close(): Promise<void>;
}

/**
 * Has a server listen, sharing the port with other processes of the same user where the system can (SO_REUSEPORT).
 *
 * @param server of TCP or TLS connections.
 * @throws if the port cannot be had.
 */
export async function openPort(server: Server, host: string, port: number): Promise<OpenPort> {
  const sockets = new Set<Socket>();
  server.maxConnections = maxConnections;
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await listen(server, host, port).catch((error: unknown) => {
    if (host !== "::" || !/EAFNOSUPPORT|EADDRNOTAVAIL/.test(String(error))) throw error;
    return listen(server, "0.0.0.0", port);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.end();
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Ends the connection of a client that shows a certificate which does not lead to the CA. */
export function refuseUnverified(socket: TLSSocket): void {
  const shown = Object.keys(socket.getPeerCertificate()).length > 0;
  if (shown && !socket.authorized) socket.destroy();
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, reusePort: true }, () => {
      server.off("error", reject);
      server.on("error", () => {});
      resolve();
    });
  });
}
