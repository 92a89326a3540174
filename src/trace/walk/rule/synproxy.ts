/** A proxy in the kernel that answers SYNs itself (`nft_synproxy`, `xt_SYNPROXY`, `nf_synproxy_core.c`). */
import { protocolNumber } from "../packet.ts";
import { type State, withoutPlace } from "../state.ts";
import { end, lost, miss, type Next, type Thread } from "./thread.ts";

/**
 * The client's SYN ends here. Once the client has answered the cookie, which is taken for granted, this node sends a SYN of
 * its own in the client's name: that one is followed (`synproxy_send_server_syn`).
 */
export function runSynproxy(thread: Thread): readonly Next[] {
  const { packet, awaited, midst, apart } = thread.state;
  if (packet.protocol !== protocolNumber.tcp) return miss(thread, "it is not TCP");
  if (awaited !== undefined || midst) return lost(thread, "synproxy takes it for a part of its handshake");
  // What is compared with the kernel's own trace is one packet, which ends here.
  if (apart) return lost(thread, "synproxy answers for the server");
  const effect = "answers the client itself, and opens the connection to the server once the client has answered";
  return end({ ...thread, effects: [...thread.effects, effect] }, { kind: "again" });
}

/** The SYN that the node then sends: a packet of its own with the client's address, which passes hook output. */
export function reopened(state: State): State {
  const { frame: _f, narrow: _n, widest: _s, ...rest } = withoutPlace(state);
  const { ttl: _t, service: _q, ...packet } = state.packet;
  return { ...rest, packet: { ...packet, mark: 0, priority: 0 }, touched: [], traced: false };
}
