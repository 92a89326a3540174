/**
 * What Node's TCP sockets lack: the destination before translation, and sockets of another network namespace than the
 * calling thread's. Node makes the kernel's socket when it binds or
 * connects, which it may do in a later turn of the event loop; these functions have it done before they return.
 */
import { connect, type Server, type Socket } from "node:net";
import { type Address, familyOf } from "../../net/address.ts";
import { isSystemError } from "../errno.ts";
import { AF, bind, close, getsockopt, ioctl, SO, SOCK, SOL, setsockopt, socket } from "../ffi.ts";
import { inNamespace } from "../namespace.ts";
import { peerAddress, peerPort, socketAddress } from "./udp.ts";

/** A host name that is looked up nowhere: a name, unlike an address, is "resolved" by a function of ours, at once. */
const nowhere = "namespace.invalid";

/**
 * Begins to connect from a namespace.
 *
 * @returns the socket, which tells of the connection, or of its failure, as any socket does.
 */
export function connectInside(namespace: string, address: Address, port: number): Socket {
  const family = familyOf(address) === "IPv6" ? 6 : 4;
  return inNamespace(namespace, () =>
    connect({
      host: nowhere,
      port,
      autoSelectFamily: false,
      lookup: (_host, _options, found) => found(null, address, family),
    }),
  );
}

/**
 * Makes a server listen on a port of a namespace, on all its addresses of both families. Whatever fails, a port in use
 * for example, comes as the server's event `error`.
 */
export function listenInside(namespace: string, server: Server, port: number): void {
  inNamespace(namespace, () => {
    server.listen(port);
  });
}

/**
 * Binds a socket to a port, for a server of the program that this process becomes: it stays open on execve(2), and in
 * the network namespace that it was made in.
 *
 * @param port 0 for a free one.
 * @returns its file descriptor, to be handed to {@link keepFromPrograms} there.
 * @throws {SystemError} EADDRINUSE if the port is taken.
 */
export function bindForSuccessor(address: Address, port: number): number {
  const fd = socket(familyOf(address) === "IPv6" ? AF.inet6 : AF.inet, SOCK.stream, 0);
  try {
    setsockopt(fd, SOL.socket, SO.reuseaddr, 1);
    bind(fd, socketAddress(address, port));
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** `FIOCLEX` of asm-generic/ioctls.h. */
const closeOnExec = 0x5451;

/** Keeps a file descriptor from the programs that this process starts, unless they are given it. */
export function keepFromPrograms(fd: number): void {
  ioctl(fd, closeOnExec, new Uint8Array(0));
}

/** `SO_ORIGINAL_DST` of linux/netfilter_ipv4.h, `IP6T_SO_ORIGINAL_DST` of linux/netfilter_ipv6/ip6_tables.h. */
const originalDestinationOption = 80;

/**
 * Where the client of an accepted connection wanted to go before the connection tracker translated its destination.
 *
 * @returns undefined if nothing was translated, or if the connection is gone.
 */
export function originalDestination(socket: Socket): { readonly address: Address; readonly port: number } | undefined {
  // Node has no public way to a socket's file descriptor.
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null };
  if (handle?.fd === undefined || handle.fd < 0) return undefined;
  const level = socket.remoteFamily === "IPv6" ? SOL.ipv6 : SOL.ip;
  try {
    const peer = getsockopt(handle.fd, level, originalDestinationOption, 28);
    return { address: peerAddress(peer), port: peerPort(peer) };
  } catch (error) {
    if (isSystemError(error, "ENOENT") || isSystemError(error, "ENOTCONN")) return undefined;
    throw error;
  }
}
