/** Connections that become something else: how the client wants to go on, and the answer that it may. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { badRequest } from "../../errors.ts";
import { acceptOf } from "./websocket.ts";

/** How a connection goes on. */
export type Carrier = "websocket" | "spdy";

/** Ways that both ends know, the best first. */
export interface Protocols {
  /** Subprotocols of WebSockets. */
  readonly websocket: readonly string[];
  /** Versions of what SPDY streams carry. */
  readonly spdy: readonly string[];
}

function listed(header: string | readonly string[] | undefined): readonly string[] {
  return [header ?? []].flat().flatMap((text) => text.split(",").map((name) => name.trim()));
}

/**
 * Chooses how a connection goes on.
 *
 * @returns what carries it, and the answer that says so, to be sent when nothing can fail any more.
 * @throws {ApiError} 400 if the client offers nothing that is known here.
 */
export function negotiate(
  { headers }: IncomingMessage,
  known: Protocols,
): { readonly carrier: Carrier; accept(socket: Duplex): void } {
  const upgrade = (headers.upgrade ?? "").toLowerCase();
  if (upgrade === "websocket") {
    const offered = listed(headers["sec-websocket-protocol"]);
    const protocol = known.websocket.find((name) => offered.includes(name));
    const key = headers["sec-websocket-key"];
    if (protocol === undefined || key === undefined)
      throw badRequest(`the client speaks none of ${known.websocket.join(", ")}`);
    return {
      carrier: "websocket",
      accept: (socket) =>
        answer(socket, {
          Upgrade: "websocket",
          "Sec-WebSocket-Accept": acceptOf(key),
          "Sec-WebSocket-Protocol": protocol,
        }),
    };
  }
  if (upgrade !== "spdy/3.1")
    throw badRequest("unable to upgrade connection: the request is for WebSockets or SPDY/3.1");
  const offered = listed(headers["x-stream-protocol-version"]);
  const protocol = known.spdy.find((name) => offered.includes(name));
  if (protocol === undefined)
    throw badRequest(`unable to upgrade connection: the client speaks none of ${known.spdy.join(", ")}`);
  return {
    carrier: "spdy",
    accept: (socket) => answer(socket, { Upgrade: "SPDY/3.1", "X-Stream-Protocol-Version": protocol }),
  };
}

function answer(socket: Duplex, headers: Readonly<Record<string, string>>): void {
  const lines = Object.entries({ Connection: "Upgrade", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
}
