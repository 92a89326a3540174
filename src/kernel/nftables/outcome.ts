/** The kernel's answer to a transaction. */
import { controlType } from "../netlink/constants.ts";
import { isOverrun, type NetlinkError, type Refusal } from "../netlink/errors.ts";
import type { MessageReader } from "../netlink/reader.ts";
import { type NetlinkSocket, readRefusal } from "../netlink/socket.ts";

/** The sequence numbers of a transaction's messages. */
export interface Sequences {
  readonly first: number;
  readonly last: number;
  /** The message that asked for an acknowledgement: the last change. */
  readonly acknowledged: number;
}

/** Which message was refused, and why. */
export interface Refused {
  readonly sequence: number;
  readonly refusal: Refusal;
}

/**
 * Receives the answer to a transaction that was sent. It is in the queue by then, in the order of the messages: if the
 * acknowledgement of the last change comes first, all is well, and nothing else comes. Otherwise all that there is is
 * taken out of the queue.
 *
 * @returns the first refusal; undefined if there is none.
 * @throws {NetlinkError} ENOBUFS if there was more than the socket holds, with no refusal in what is left of it: it is
 * not known then what happened.
 */
export function receiveOutcome(socket: NetlinkSocket, sequences: Sequences): Refused | undefined {
  const name = "nf_tables transaction";
  let waiting = true;
  let refused: Refused | undefined;
  let overrun: NetlinkError | undefined;
  for (;;) {
    let reply: MessageReader | undefined;
    try {
      reply = waiting ? socket.receive(name) : socket.tryReceive(name);
    } catch (error) {
      if (!isOverrun(error)) throw error;
      overrun = error;
      waiting = false;
      continue;
    }
    if (reply === undefined) break;
    while (reply.next()) {
      // Something may be left over from a request that failed.
      if (reply.type !== controlType.error || !isBetween(reply.sequence, sequences)) continue;
      waiting = false;
      if (reply.i32(0) !== 0) refused ??= { sequence: reply.sequence, refusal: readRefusal(reply) };
      else if (reply.sequence === sequences.acknowledged && !refused && !overrun) return undefined;
    }
  }
  if (refused === undefined && overrun !== undefined) throw overrun;
  return refused;
}

/** Sequence numbers wrap, so the distance counts. */
function isBetween(sequence: number, { first, last }: Sequences): boolean {
  return (sequence - first) >>> 0 <= (last - first) >>> 0;
}
