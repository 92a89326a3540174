/** HTTP requests from inside a network namespace. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connectInside } from "../../kernel/sockets/tcp.ts";
import type { Address } from "../../net/address.ts";
import { formatHostPort } from "../../net/protocol.ts";

/** Whom to ask for what. */
export interface InsideRequest {
  readonly namespace: string;
  readonly address: Address;
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer. */
export interface InsideAnswer {
  readonly status: number;
  /** At most 64 KiB of it. */
  readonly text: string;
}

const maximumText = 65_536;

/** Asks over a connection of its own. @throws an Error where there is no answer, or the signal's reason. */
export async function getInside(wanted: InsideRequest, signal: AbortSignal): Promise<InsideAnswer> {
  const { namespace, address, port, path, headers = {} } = wanted;
  const socket = connectInside(namespace, address, port);
  socket.on("error", () => {});
  const asked = request({
    path: path.startsWith("/") ? path : `/${path}`,
    headers: { host: formatHostPort(address, port), ...headers, connection: "close" },
    createConnection: () => socket,
    signal,
  });
  try {
    asked.end();
    const [response] = (await once(asked, "response", { signal })) as [IncomingMessage];
    let text = "";
    for await (const piece of response.setEncoding("utf8")) if (text.length < maximumText) text += piece;
    return { status: response.statusCode ?? 0, text };
  } finally {
    socket.destroy();
  }
}
