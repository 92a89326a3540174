/** DNS over TCP and over TLS (RFC 7766, RFC 7858). */
import { createServer, type Socket } from "node:net";
import type { Dispatcher } from "../dispatch.ts";
import type { Settings } from "../site.ts";
import { openPort, refuseUnverified } from "./connections.ts";
import type { ListenAddress, Listener, ListenerContext } from "./listener.ts";
import { serveStream } from "./stream.ts";

/** Opens a TCP port; it serves TLS if the transport says so and plugin tls has given a certificate. */
export async function listenTcp(listen: ListenAddress, context: ListenerContext): Promise<Listener> {
  let settings: Settings = context.settings;
  let dispatcher: Dispatcher | undefined;
  const secure =
    listen.transport === "tls" && settings.tls !== undefined
      ? process
          .getBuiltinModule("node:tls")
          .createServer({ ...settings.tls, ALPNProtocols: ["dot"], handshakeTimeout: 10_000 })
      : undefined;
  const server = secure ?? createServer({ allowHalfOpen: true });
  if (settings.tls?.refuseUnverified) secure?.on("secureConnection", refuseUnverified);
  server.on(secure ? "secureConnection" : "connection", (socket: Socket) => {
    if (socket.destroyed) return;
    // A client may end its side after its last query; not before, so that a handshake that it gives up is over.
    socket.allowHalfOpen = true;
    const current = dispatcher;
    if (current === undefined) socket.destroy();
    else serveStream(socket, secure ? "tls" : "tcp", settings, () => dispatcher ?? current);
  });
  const { port, close } = await openPort(server, listen.address, listen.port);
  return {
    port,
    close,
    serve(next, nextSettings) {
      dispatcher = next;
      settings = nextSettings;
      if (settings.tls !== undefined) secure?.setSecureContext(settings.tls);
    },
  };
}
