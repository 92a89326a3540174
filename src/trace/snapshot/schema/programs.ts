/** eBPF programs, and filters of tc. */
import { list, maybe, object, oneOf } from "../shape.ts";
import { name, u32 } from "./values.ts";

export const programs = list(
  object({
    hook: oneOf("xdp", "ingress", "egress", "connect4", "connect6", "sendmsg4", "sendmsg6"),
    interface: maybe(u32),
    kind: name,
    name: maybe(name),
  }),
  100_000,
);
