/**
 * TCP sockets of another network namespace than the calling thread's. Node makes the kernel's socket when it binds or
 * connects, which it may do in a later turn of the event loop; these functions have it done before they return.
 */
import { connect, type Server, type Socket } from "node:net";
import { type Address, familyOf } from "../../net/address.ts";
import { inNamespace } from "../namespace.ts";

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
