/** Tables of nf_tables: chains, rules, sets, objects. */
import { byKind, bytes, flag, list, maybe, object, oneOf, whole } from "../shape.ts";
import { data, expression, objectType, verdict } from "./expressions.ts";
import { count, million, name, u32 } from "./values.ts";

const table = { family: oneOf("inet", "ip", "ip6", "arp", "bridge", "netdev"), table: name };
const given = { handle: maybe(count), use: maybe(count) };
const layout = object({
  type: u32,
  length: whole(0, 64),
  fields: maybe(list(whole(1, 64), 16)),
  byteOrder: maybe(oneOf("host")),
  typeOf: maybe(bytes(65_536)),
});
const setFlags = oneOf(
  "anonymous",
  "constant",
  "interval",
  "map",
  "timeout",
  "dynamic",
  "object",
  "concat",
  "expressions",
);
const element = object({
  key: data,
  keyEnd: maybe(data),
  intervalEnd: maybe(flag),
  catchAll: maybe(flag),
  data: maybe(data),
  verdict: maybe(verdict),
  object: maybe(name),
  timeout: maybe(count),
  expiration: maybe(count),
  expressions: maybe(list(expression, 16)),
  comment: maybe(name),
});

/** The rule set of nf_tables. */
export const nftables = object({
  generation: u32,
  consistent: flag,
  tables: list(
    object({ ...table, flags: maybe(list(oneOf("dormant", "owner", "persist"), 3)), comment: maybe(name), ...given }),
  ),
  chains: list(
    object({
      ...table,
      chain: name,
      base: maybe(
        object({
          type: oneOf("filter", "nat", "route"),
          hook: oneOf("prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"),
          priority: whole(-0x8000_0000, 0x7fff_ffff),
          policy: maybe(oneOf("accept", "drop")),
          devices: maybe(list(name, 1024)),
        }),
      ),
      comment: maybe(name),
      flags: maybe(list(oneOf("offload", "binding"), 2)),
      ...given,
    }),
    million,
  ),
  rules: list(
    object({
      ...table,
      chain: name,
      expressions: list(expression, 256),
      comment: maybe(name),
      userdata: maybe(bytes(65_536)),
      compat: maybe(object({ protocol: u32, flags: u32 })),
      handle: maybe(count),
    }),
    million,
  ),
  sets: list(
    object({
      ...table,
      set: name,
      flags: maybe(list(setFlags, 16)),
      key: layout,
      data: maybe(byKind({ value: { layout, interval: maybe(flag) }, verdict: {}, object: { type: objectType } })),
      size: maybe(u32),
      timeout: maybe(count),
      gcInterval: maybe(count),
      policy: maybe(oneOf("performance", "memory")),
      expressions: maybe(list(expression, 16)),
      comment: maybe(name),
      autoMerge: maybe(flag),
      userdata: maybe(bytes(65_536)),
      handle: maybe(count),
      elements: list(element, 4 * million),
    }),
  ),
  objects: list(object({ ...table, name, type: objectType, state: expression, comment: maybe(name), ...given })),
});
