/** Connections that are tracked. */
import { address, list, maybe, object, oneOf } from "../shape.ts";
import { count, family, million, name, u8, u16, u32 } from "./values.ts";

const tuple = object({
  source: address,
  destination: address,
  protocol: u8,
  sourcePort: maybe(u16),
  destinationPort: maybe(u16),
  zone: maybe(u16),
  icmp: maybe(object({ type: u8, code: u8, id: u16 })),
});
const counters = object({ packets: count, bytes: count });

export const conntrack = list(
  object({
    family,
    original: tuple,
    reply: tuple,
    status: u32,
    timeout: count,
    mark: u32,
    zone: u16,
    id: u32,
    tcpState: maybe(
      oneOf(
        "none",
        "synSent",
        "synReceived",
        "established",
        "finWait",
        "closeWait",
        "lastAck",
        "timeWait",
        "close",
        "synSent2",
      ),
    ),
    helper: maybe(name),
    counters: maybe(object({ original: counters, reply: counters })),
  }),
  4 * million,
);
