/**
 * What Node's TCP sockets lack: the destination before translation, and sockets of another network namespace than the
 * calling thread's. Node makes the kernel's socket when it binds or
 * connects, which it may do in a later turn of the event loop; these functions have it done before they return.
 */
import { connect, type Server, type Socket } from "node:net";
import { type Address, familyOf } from "../../net/address.ts";
import { isSystemError } from "../errno.ts";
import { getsockopt, SOL } from "../ffi.ts";
import { inNamespace } from "../namespace.ts";
import { peerAddress, peerPort } from "./udp.ts";

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
