/** Named packet counters of netfilter (`linux/netfilter/nfnetlink_acct.h`): rules count into them, anyone reads them. */
import { isAlreadyExists, isBusy } from "./netlink/errors.ts";
import { messageFlags, NetlinkSocket, type NetlinkWriter, protocols } from "./netlink/index.ts";

/** What a counter has seen since it was made. */
export interface NamedCounter {
  readonly name: string;
  readonly packets: number;
  readonly bytes: number;
}

/** `NFNL_SUBSYS_ACCT << 8`, with `NFNL_MSG_ACCT_*`. */
const messageType = { add: 0x700, get: 0x701 } as const;
/** `NFACCT_*`. */
const attribute = { name: 1, packets: 2, bytes: 3 } as const;
/** `struct nfgenmsg`: family unspecified, version 0, resource 0. */
const header = new Uint8Array(4);

/**
 * Makes a counter in the current network namespace; one that exists stays as it is.
 *
 * @param name at most 31 characters.
 * @throws {NetlinkError} if the kernel refuses, for want of nfnetlink_acct or of privileges.
 */
export function ensureNamedCounter(name: string): void {
  using socket = new NetlinkSocket(protocols.netfilter);
  try {
    socket.request(`make counter ${name}`, messageType.add, messageFlags.create, (writer: NetlinkWriter) => {
      writer.bytes(header);
      writer.attributeString(attribute.name, name);
    });
  } catch (error) {
    if (!isBusy(error) && !isAlreadyExists(error)) throw error;
  }
}

/**
 * All counters of the current network namespace.
 *
 * @throws {NetlinkError} if the kernel refuses, for want of nfnetlink_acct.
 */
export function readNamedCounters(): readonly NamedCounter[] {
  using socket = new NetlinkSocket(protocols.netfilter);
  const write = (writer: NetlinkWriter) => writer.bytes(header);
  return socket.dump("read counters", messageType.get, write, (message) => {
    let name = "";
    let packets = 0;
    let bytes = 0;
    for (const each = message.attributes(4); each.next(); ) {
      if (each.type === attribute.name) name = each.string();
      else if (each.type === attribute.packets) packets = each.u64BE();
      else if (each.type === attribute.bytes) bytes = each.u64BE();
    }
    return { name, packets, bytes };
  });
}
