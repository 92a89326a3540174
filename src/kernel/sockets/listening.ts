/** Sockets that wait for somebody, of all programs in a network namespace, over netlink (`linux/inet_diag.h`). */
import { type Address, addressFromBytes } from "../../net/address.ts";
import { AF } from "../ffi.ts";
import { inNamespace } from "../namespace.ts";
import { type MessageReader, NetlinkSocket, protocols } from "../netlink/index.ts";

/** A TCP socket that listens, or a UDP socket that takes datagrams from anybody. */
export interface ListeningSocket {
  readonly protocol: "TCP" | "UDP";
  /** The address that it is bound to: `0.0.0.0` or `::` for all. */
  readonly address: Address;
  readonly port: number;
  /** The index of the interface that it is bound to. */
  readonly interface?: number;
  /** Bound to IPv6 addresses and closed to IPv4. Absent for IPv4 sockets. */
  readonly onlyIPv6?: boolean;
}

/** `SOCK_DIAG_BY_FAMILY`. */
const byFamily = 20;
/** Bytes of `struct inet_diag_req_v2` and `struct inet_diag_msg`. */
const requestLength = 56;
const messageLength = 72;
/** `INET_DIAG_SKV6ONLY`. */
const onlyIPv6Attribute = 11;

/** The transport protocols by IANA number, with the state in which a socket waits (`TCP_LISTEN`, `TCP_CLOSE`). */
const kinds = [
  { protocol: "TCP", number: 6, state: 10 },
  { protocol: "UDP", number: 17, state: 7 },
] as const;

/** All of them, in a named namespace or in the calling thread's own. */
export function listListeningSockets(namespace?: string): readonly ListeningSocket[] {
  const open = () => new NetlinkSocket(protocols.sockDiag);
  using socket = namespace === undefined ? open() : inNamespace(namespace, open);
  return kinds.flatMap(({ protocol, number, state }) =>
    [AF.inet, AF.inet6].flatMap((family) =>
      socket.dump(
        `list ${protocol} sockets`,
        byFamily,
        (writer) => {
          const request = new Uint8Array(requestLength);
          request.set([family, number]);
          new DataView(request.buffer).setUint32(4, 1 << state, true);
          writer.bytes(request);
        },
        (message) => decode(message, protocol),
      ),
    ),
  );
}

function decode(message: MessageReader, protocol: "TCP" | "UDP"): ListeningSocket | undefined {
  const isIPv6 = message.u8(0) === AF.inet6;
  const bytes = Uint8Array.from({ length: isIPv6 ? 16 : 4 }, (_, i) => message.u8(8 + i));
  const index = message.u32(40);
  let onlyIPv6 = false;
  for (const a = message.attributes(messageLength); a.next(); ) {
    if (a.type === onlyIPv6Attribute) onlyIPv6 = a.u8() !== 0;
  }
  return {
    protocol,
    address: addressFromBytes(bytes),
    port: (message.u8(4) << 8) | message.u8(5),
    ...(index !== 0 && { interface: index }),
    ...(isIPv6 && { onlyIPv6 }),
  };
}
