/** What iptables' match `recent` remembers. */
import { address, list, object } from "../shape.ts";
import { count, million, name, u8 } from "./values.ts";

/** All lists of a namespace. */
export const recent = list(
  object({ name, entries: list(object({ address, ttl: u8, ages: list(count, 65_536) }), million) }),
);
