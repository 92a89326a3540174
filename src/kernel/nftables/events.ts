/** Multicast messages of nf_tables as values. */
import { protocols } from "../netlink/constants.ts";
import { NetlinkListener, type NetlinkListenerOptions } from "../netlink/listener.ts";
import type { MessageReader } from "../netlink/reader.ts";

/** Messages were lost in a full buffer: what was derived from them must be read again. */
export interface Overrun {
  readonly kind: "overrun";
}

/**
 * What `decode` makes of the messages of a group, from the call on, until the signal aborts. Messages are decoded as
 * they are asked for; those of which it makes undefined are left out.
 */
export function watchGroup<T>(
  group: number,
  decode: (message: MessageReader) => T | undefined,
  signal: AbortSignal,
  options: NetlinkListenerOptions,
): AsyncGenerator<T | Overrun, void, undefined> {
  // Not inside the generator, which would wait for the first event to be asked for.
  const listener = new NetlinkListener(protocols.netfilter, [group], options);
  if (signal.aborted) listener.close();
  else signal.addEventListener("abort", () => listener.close(), { once: true });
  return read(listener, decode, signal);
}

async function* read<T>(
  listener: NetlinkListener,
  decode: (message: MessageReader) => T | undefined,
  signal: AbortSignal,
): AsyncGenerator<T | Overrun, void, undefined> {
  try {
    for await (const event of listener.events(signal)) {
      if (event.kind === "overrun") {
        yield event;
        continue;
      }
      while (event.messages.next()) {
        const value = decode(event.messages);
        if (value !== undefined) yield value;
      }
    }
  } finally {
    listener.close();
  }
}
