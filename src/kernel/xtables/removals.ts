/** Chains of the nft variant that somebody removes, told by the kernel at once. */
import { protocols } from "../netlink/constants.ts";
import { NetlinkListener } from "../netlink/listener.ts";
import { changesGroup, headerLength, messageType, operation } from "../nftables/protocol.ts";

/** `NFTA_CHAIN_NAME`. */
const chainName = 3;

/**
 * Calls back when a chain of this name has been removed from any table of nf_tables in the current network namespace,
 * or may have been because events were lost; until the signal. All other events are passed over unread, for loads of
 * iptables rules make hundreds of thousands.
 *
 * @throws {SystemError} EPERM without CAP_NET_ADMIN.
 */
export function onChainRemoved(name: string, callback: () => void, signal: AbortSignal): void {
  if (signal.aborted) return;
  const listener = new NetlinkListener(protocols.netfilter, [changesGroup], { receiveBuffer: 1 << 20 });
  signal.addEventListener("abort", () => listener.close(), { once: true });
  const removed = messageType(operation.deleteChain);
  listener.listen((event) => {
    if (event.kind === "overrun") {
      callback();
      return;
    }
    for (const message = event.messages; message.next(); ) {
      if (message.type !== removed) continue;
      for (const attribute = message.attributes(headerLength); attribute.next(); ) {
        if (attribute.type === chainName && attribute.string() === name) callback();
      }
    }
  });
}
