/** IP sets. */
import { setTypes } from "../../../kernel/ipset/index.ts";
import { address, type Fields, list, object, oneOf, prefix, type Shape } from "../shape.ts";
import { family, million, name, u16 } from "./values.ts";

const setEntry: Shape = (() => {
  const addressAndPort = { address, protocol: oneOf("TCP", "UDP", "SCTP"), port: u16 };
  const shapes: Readonly<Record<string, Fields>> = {
    "hash:ip": { address },
    "hash:ip,port": addressAndPort,
    "hash:ip,port,ip": { second: address, ...addressAndPort },
    "hash:ip,port,net": { prefix, ...addressAndPort },
    "bitmap:port": { port: u16 },
    "list:set": { name },
  };
  const known = new Map(
    Object.entries(shapes).map(([type, fields]) => [type, object({ type: oneOf(type), ...fields })]),
  );
  const typed = object({ type: oneOf(...setTypes) });
  return (value, path) => {
    const type = typeof value === "object" && value !== null && "type" in value ? String(value.type) : "";
    return (known.get(type) ?? typed)(value, path);
  };
})();

export const ipsets = list(object({ name, type: oneOf(...setTypes), family, entries: list(setEntry, million) }));
