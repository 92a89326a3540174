/** The kernel's numbers for the namespaces that links lead to (`linux/net_namespace.h`). */
import { AF } from "../ffi.ts";
import { withNamespaceFile } from "../namespace.ts";
import type { NetlinkSocket } from "../netlink/index.ts";

/** `RTM_GETNSID`. */
const getNamespaceId = 90;
/** `NETNSA_NSID`, `NETNSA_FD`. */
const attributeType = { id: 1, fd: 3 } as const;

/**
 * The number that the socket's namespace has for a named one: what `linkNamespace` says of links that lead
 * there. Undefined if it has none, for no link ever did.
 */
export function namespaceNumber(socket: NetlinkSocket, name: string): number | undefined {
  let number = -1;
  withNamespaceFile(name, (fd) =>
    socket.request(
      `get the number of namespace ${name}`,
      getNamespaceId,
      0,
      (writer) => {
        writer.u32(AF.unspec);
        writer.attributeU32(attributeType.fd, fd);
      },
      (message) => {
        for (const attribute = message.attributes(4); attribute.next(); ) {
          if (attribute.type === attributeType.id) number = attribute.i32();
        }
      },
    ),
  );
  return number < 0 ? undefined : number;
}
