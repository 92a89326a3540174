/** Listening sockets. */
import { address, flag, list, maybe, object, oneOf } from "../shape.ts";
import { million, u16, u32 } from "./values.ts";

export const sockets = list(
  object({ protocol: oneOf("TCP", "UDP"), address, port: u16, interface: maybe(u32), onlyIPv6: maybe(flag) }),
  million,
);
