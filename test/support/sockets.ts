/**
 * Clients and servers in the namespaces of a test network, on the event loop of this thread: a socket belongs to the
 * namespace in which it was made, whoever uses it.
 */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { createServer, type Server, Socket } from "node:net";
import { isSystemError } from "../../src/kernel/errno.ts";
import * as ffi from "../../src/kernel/ffi.ts";
import { socketAddress } from "../../src/kernel/sockets/udp.ts";
import { type Address, familyOf, tryParseAddress } from "../../src/net/address.ts";
import type { Host } from "./network.ts";

/** What became of an attempt to reach somebody. */
export type Attempt =
  /** Somebody answered: what it said, and the client's own address as the client sees it. */
  | { readonly kind: "answered"; readonly answer: string; readonly own: Address }
  /** Refused at once: a reset, or an ICMP error that says that the port cannot be reached. */
  | { readonly kind: "refused" }
  /** Nothing came within the time. */
  | { readonly kind: "silent" }
  /** Another error, such as `EHOSTUNREACH`. */
  | { readonly kind: "failed"; readonly code: string };

/** Whom to reach, and from where. */
export interface AttemptOptions {
  /** The client's address; one that the host's routes choose if not given. */
  readonly from?: Address;
  readonly to: Address;
  readonly port: number;
  /** Milliseconds. */
  readonly timeout: number;
}

/** What a server says to a client. */
export type Answer = (client: { readonly address: Address; readonly port: number }) => string;

/** Something that listens. */
export interface Listener {
  close(): void;
}

/** Connects by TCP and waits for what the server says first; then resets the connection, so that nothing lingers. */
export function attemptTcp(host: Host, options: AttemptOptions): Promise<Attempt> {
  const { from, to, port, timeout } = options;
  return new Promise((resolve) => {
    const socket = openClient(host, to, from);
    const done = (attempt: Attempt) => {
      clearTimeout(timer);
      // A reset waits for the connection, which may never come.
      if (socket.connecting) socket.destroy();
      else socket.resetAndDestroy();
      resolve(attempt);
    };
    const timer = setTimeout(() => done({ kind: "silent" }), timeout);
    socket.on("error", (error) => done(failureOf(error)));
    socket.once("data", (data) => {
      done({ kind: "answered", answer: data.toString(), own: addressOf(socket.localAddress) });
    });
    socket.once("close", () => done({ kind: "failed", code: "closed without an answer" }));
    socket.connect({ host: to, port });
  });
}

/** Sends a UDP datagram and waits for the answer. */
export function attemptUdp(host: Host, options: AttemptOptions): Promise<Attempt> {
  const { from, to, port, timeout } = options;
  return new Promise((resolve) => {
    const fd = openSocket(host, "UDP", from, to);
    const socket = createSocket(familyOf(to) === "IPv4" ? "udp4" : "udp6");
    let closed = false;
    const done = (attempt: Attempt) => {
      if (closed) return;
      closed = true;
      clearTimeout(timer);
      socket.close();
      resolve(attempt);
    };
    const timer = setTimeout(() => done({ kind: "silent" }), timeout);
    socket.on("error", (error) => done(failureOf(error)));
    socket.once("message", (message) => {
      done({ kind: "answered", answer: message.toString(), own: addressOf(socket.address().address) });
    });
    socket.bind({ fd }, () => {
      if (closed) return;
      socket.connect(port, to, () => {
        if (closed) return;
        // A packet that a rule drops on its way out fails with EPERM; whether it was rejected, ICMP says later.
        socket.send("?", (error) => {
          if (error !== null && !isSystemError(error, "EPERM")) done(failureOf(error));
        });
      });
    });
  });
}

/** Listens by TCP and says something to everyone who connects. @throws {SystemError} as `bind` does. */
export function serveTcp(host: Host, address: Address, port: number, answer: Answer): Listener {
  const clients = new Set<Socket>();
  const server: Server = createServer((socket) => {
    clients.add(socket);
    socket.on("close", () => clients.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.on("data", () => {});
    const { remoteAddress, remotePort = 0 } = socket;
    // A client that has gone already has no address any more.
    if (remoteAddress === undefined) socket.destroy();
    else socket.end(answer({ address: addressOf(remoteAddress), port: remotePort }));
  });
  const fd = openBound(host, "TCP", address, port);
  server.listen({ fd });
  return {
    close() {
      server.close();
      // The reset of a client may have been lost on a way that is no more.
      for (const socket of clients) socket.destroy();
    },
  };
}

/** Answers every UDP datagram. @throws {SystemError} as `bind` does. */
export function serveUdp(host: Host, address: Address, port: number, answer: Answer): Listener {
  const socket: DatagramSocket = createSocket(familyOf(address) === "IPv4" ? "udp4" : "udp6");
  const fd = openBound(host, "UDP", address, port);
  socket.on("message", (_, from) => {
    const client = { address: addressOf(from.address), port: from.port };
    socket.send(answer(client), from.port, from.address);
  });
  // ICMP errors about answers to clients that have gone.
  socket.on("error", () => {});
  socket.bind({ fd });
  return { close: () => void socket.close() };
}

/** A TCP socket of a host that is ready to connect, bound to the client's address if it has one. */
export function openClient(host: Host, to: Address, from?: Address): Socket {
  // Without manualStart, which the types lack, it would read before it is connected.
  const adopted = { fd: openSocket(host, "TCP", from, to), manualStart: true };
  return new Socket(adopted);
}

/** A socket of a host that is bound to an address and port, 0 for a free one. @throws {SystemError} as `bind` does. */
export function openBound(host: Host, protocol: "TCP" | "UDP", address: Address, port: number): number {
  return host.run((): number => {
    const fd = ffi.socket(familyNumber(address), typeFlags(protocol), 0);
    try {
      ffi.setsockopt(fd, ffi.SOL.socket, ffi.SO.reuseaddr, 1);
      // An IPv6 socket of one address takes no IPv4 packets anyway, but would take the port from IPv4 sockets.
      if (familyOf(address) === "IPv6") ffi.setsockopt(fd, ffi.SOL.ipv6, ipv6Only, 1);
      ffi.bind(fd, socketAddress(address, port));
      return fd;
    } catch (error) {
      ffi.close(fd);
      throw error;
    }
  });
}

function openSocket(host: Host, protocol: "TCP" | "UDP", from: Address | undefined, to: Address): number {
  if (from !== undefined) return openBound(host, protocol, from, 0);
  return host.run(() => ffi.socket(familyNumber(to), typeFlags(protocol), 0));
}

function typeFlags(protocol: "TCP" | "UDP"): number {
  return (protocol === "TCP" ? ffi.SOCK.stream : ffi.SOCK.dgram) | ffi.SOCK.nonblock | ffi.SOCK.cloexec;
}

/** `IPV6_V6ONLY`. */
const ipv6Only = 26;

function familyNumber(address: Address): number {
  return familyOf(address) === "IPv4" ? ffi.AF.inet : ffi.AF.inet6;
}

function failureOf(error: Error): Attempt {
  if (isSystemError(error, "ECONNREFUSED")) return { kind: "refused" };
  return { kind: "failed", code: "code" in error ? String(error.code) : error.message };
}

function addressOf(text: string | undefined): Address {
  const address = tryParseAddress((text ?? "").replace(/%.*/, ""));
  if (address === undefined) throw new Error(`${text} is not an address`);
  return address;
}
