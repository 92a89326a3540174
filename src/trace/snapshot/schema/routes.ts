/** Policy rules and routes. */
import { address, byKind, flag, list, maybe, object, oneOf, prefix, whole } from "../shape.ts";
import { family, million, name, u8, u32 } from "./values.ts";

const range = object({ first: u32, last: u32 });
const policyRule = object({
  family,
  priority: u32,
  action: byKind({
    lookup: { table: u32 },
    goto: { priority: u32 },
    nop: {},
    blackhole: {},
    unreachable: {},
    prohibit: {},
  }),
  invert: flag,
  source: maybe(prefix),
  destination: maybe(prefix),
  inInterface: maybe(name),
  outInterface: maybe(name),
  mark: maybe(object({ value: u32, mask: u32 })),
  tos: maybe(u8),
  protocol: maybe(u8),
  sourcePorts: maybe(range),
  destinationPorts: maybe(range),
  users: maybe(range),
  suppressPrefixLength: maybe(whole(-1, 0xffff_ffff)),
  vrf: flag,
});
const route = object({
  type: oneOf("unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw"),
  destination: prefix,
  source: maybe(prefix),
  table: u32,
  protocol: u8,
  scope: u8,
  priority: u32,
  tos: u8,
  preferredSource: maybe(address),
  mtu: maybe(u32),
  nextHops: list(
    object({
      interface: maybe(u32),
      gateway: maybe(address),
      weight: whole(1, 256),
      onLink: flag,
      dead: flag,
      linkDown: flag,
    }),
    4096,
  ),
  nextHopObject: maybe(u32),
});

export const rules = list(policyRule);
export const routes = list(route, 4 * million);
