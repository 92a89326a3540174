/** IPVS: virtual services and their destinations. */
import { address, byKind, list, maybe, object, oneOf, text, whole } from "../shape.ts";
import { count, family, million, u16, u32 } from "./values.ts";

const service = object({
  key: byKind({
    address: { address, protocol: oneOf("TCP", "UDP", "SCTP"), port: u16 },
    mark: { family, mark: u32 },
  }),
  scheduler: text(64),
  flags: u32,
  timeout: u32,
  netmask: whole(0, 128),
  destinations: list(
    object({
      address,
      port: u16,
      forwarding: oneOf("masquerade", "local", "tunnel", "route", "bypass"),
      weight: u32,
      active: count,
      inactive: count,
      persistent: count,
      tunnel: maybe(oneOf("gue", "gre")),
      upperThreshold: maybe(u32),
    }),
  ),
});

export const ipvs = object({
  services: list(service, million),
  timeouts: object({ tcp: u32, tcpFin: u32, udp: u32 }),
});
