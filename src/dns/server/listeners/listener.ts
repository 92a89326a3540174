/** What all listeners have in common. */
import type { Socket } from "node:net";
import type { Transport } from "../../corefile/key.ts";
import type { Dispatcher } from "../dispatch.ts";
import type { DnsLog } from "../log.ts";
import type { Client, Protocol } from "../query.ts";
import type { Settings } from "../site.ts";

/** Where to listen, and how. */
export interface ListenAddress {
  readonly transport: Transport;
  /** `::` for all addresses of both families. */
  readonly address: string;
  /** 0 for a free one. */
  readonly port: number;
}

/** An open port. It takes no queries before {@link Listener.serve}, and outlives the instance that opened it. */
export interface Listener {
  /** The port that it has. */
  readonly port: number;
  /** From now on gives all queries to this dispatcher. Limits and certificates count for new connections. */
  serve(dispatcher: Dispatcher, settings: Settings): void;
  /** Closes the port, and connections after the queries that are under way, at the latest after 5 seconds. */
  close(): Promise<void>;
}

/** What opening a listener needs. */
export interface ListenerContext {
  readonly settings: Settings;
  readonly log: DnsLog;
}

/** `tls://[::]:853`: how a listen address is written in messages and in the `server` label of metrics. */
export function formatListen({ transport, address, port }: ListenAddress): string {
  if (address === "::") return `${transport}://:${port}`;
  return `${transport}://${address.includes(":") ? `[${address}]` : address}:${port}`;
}

/** The client at the other end of a socket. */
export function clientOf(
  protocol: Protocol,
  socket: Pick<Socket, "remoteAddress" | "remotePort" | "localAddress" | "localPort">,
): Client {
  const address = plainAddress(socket.remoteAddress);
  return {
    protocol,
    family: address.includes(":") ? "IPv6" : "IPv4",
    address,
    port: socket.remotePort ?? 0,
    localAddress: plainAddress(socket.localAddress),
    localPort: socket.localPort ?? 0,
  };
}

/** IPv4 addresses in dotted form, as sockets of both families report them; without the scope of link-local ones. */
function plainAddress(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:(?=\d+\.)/, "").replace(/%.*/, "");
}
