/** IP sets. */
import { address, flag, list, maybe, object, text, whole } from "../shape.ts";
import { family, mac, million, name, u8, u16, u32 } from "./values.ts";

const length = whole(0, 128);
const element = object({
  address: maybe(address),
  prefixLength: maybe(length),
  second: maybe(address),
  secondPrefixLength: maybe(length),
  protocol: maybe(u8),
  port: maybe(u16),
  mark: maybe(u32),
  mac: maybe(mac),
  interface: maybe(name),
  wildcard: maybe(flag),
  physical: maybe(flag),
  name: maybe(name),
  nomatch: maybe(flag),
});

/** All sets of a namespace. */
export const ipsets = list(
  object({
    name,
    type: text(64),
    family: maybe(family),
    index: maybe(u16),
    netmask: maybe(length),
    markMask: maybe(u32),
    elements: list(element, 4 * million),
  }),
);
