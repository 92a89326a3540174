/** Packets that a rule hands to a socket of this node, whatever their destination (`nft_tproxy`, `xt_TPROXY`). */
import type { Tproxy } from "../../../kernel/nftables/index.ts";
import { type Address, addressFromBytes } from "../../../net/address.ts";
import { formatHostPort } from "../../../net/protocol.ts";
import { isKnown } from "../registers.ts";
import { assuming } from "../state.ts";
import { type Context, end, go, lost, miss, type Next, type Thread } from "./thread.ts";

/** Whom a packet is handed to. Absent parts are those of the packet; port 0 is the packet's, too. */
export interface ProxyTarget {
  readonly address?: Address;
  readonly port: number;
  /** The mark that the packet gets. */
  readonly mark?: number;
}

/** Reads registers. */
export function runTproxy({ family, addressReg, portReg }: Tproxy, thread: Thread, context: Context): readonly Next[] {
  const { registers, state } = thread;
  const isIPv4 = state.packet.family === "IPv4";
  if (family !== "any" && (family === "ip") !== isIPv4) return miss(thread, `it is ${isIPv4 ? "IPv4" : "IPv6"}`);
  const address = addressReg === undefined ? undefined : registers.get(addressReg, isIPv4 ? 4 : 16);
  const port = portReg === undefined ? undefined : registers.get(portReg, 2);
  if ((address !== undefined && !isKnown(address)) || (port !== undefined && !isKnown(port))) {
    return lost(thread, "the socket that it is handed to is not known");
  }
  const target = {
    ...(address !== undefined && { address: addressFromBytes(address.data) }),
    port: port === undefined ? 0 : ((port.data[0] ?? 0) << 8) | (port.data[1] ?? 0),
  };
  return proxyTo(target, thread, context, { found: "go", none: "miss" });
}

/** Hands a packet over, if such a socket listens and is transparent, which a snapshot does not tell. */
export function proxyTo(
  { address, port, mark }: ProxyTarget,
  thread: Thread,
  { world }: Context,
  then: { readonly found: "go" | "accept"; readonly none: "miss" | "drop" },
): readonly Next[] {
  const { state } = thread;
  const { packet } = state;
  const wanted = { address: address ?? packet.destination, port: port === 0 ? packet.destinationPort : port };
  const otherwise = (without: Thread, why: string) =>
    then.none === "miss" ? miss(without, why) : end(without, { kind: "drop" });
  if (wanted.port === undefined) return lost(thread, "the socket that it is handed to is not known");
  const name = formatHostPort(wanted.address, wanted.port);
  const protocol = packet.protocol === 6 ? "TCP" : "UDP";
  const socket = world.snapshot.sockets.find(
    (each) =>
      each.protocol === protocol &&
      each.port === wanted.port &&
      (each.address === wanted.address || each.address === "0.0.0.0" || each.address === "::"),
  );
  if (socket === undefined) return otherwise(thread, `nobody listens on ${name}`);
  const text = `the socket on ${name} is transparent`;
  const held: Thread = {
    ...thread,
    effects: [...thread.effects, `hands it to the socket on ${name}`],
    state: {
      ...assuming(state, text),
      packet: mark === undefined ? packet : { ...packet, mark },
      proxy: { address: wanted.address, port: wanted.port },
    },
  };
  const not = { ...thread, state: assuming(state, `not: ${text}`) };
  return [...(then.found === "go" ? go(held) : end(held, { kind: "accept" })), ...otherwise(not, `not: ${text}`)];
}
