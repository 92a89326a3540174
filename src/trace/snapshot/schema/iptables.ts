/** The tables of iptables' old variant. */
import { list, maybe, object, oneOf, text } from "../shape.ts";
import { expression } from "./expressions.ts";
import { family, million, name } from "./values.ts";

export const iptables = list(
  object({
    family,
    name: oneOf("raw", "mangle", "nat", "filter", "security"),
    chains: list(
      object({
        name,
        policy: maybe(text(64)),
        rules: list(text(65_536), million),
        expressions: maybe(list(list(expression, 256), million)),
      }),
      million,
    ),
  }),
  10,
);
