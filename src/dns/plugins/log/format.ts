/** Formats of log lines: text with `{placeholders}`. */
import type { Reply } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { className, rcodeName, typeName } from "../../wire/codes.ts";
import type { Message } from "../../wire/message.ts";

const common = `{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}`;

/** Formats with names of their own. */
export const formats: ReadonlyMap<string, string> = new Map(
  // The second one has the opcode, too.
  [
    ["{common}", common],
    ["{combined}", `${common} "{>opcode}"`],
  ],
);

type Value = (query: Query, reply: Reply, size: number, seconds: number) => string;

/** What stands for a value that there is not. */
const absent = "-";

const values: Readonly<Record<string, Value>> = {
  type: ({ type }) => typeName(type),
  name: ({ question }) => question.name,
  class: ({ question }) => className(question.class),
  proto: ({ client }) => (client.protocol === "udp" ? "udp" : "tcp"),
  size: ({ length }) => String(length),
  remote: ({ client }) => bracketed(client.address),
  port: ({ client }) => String(client.port),
  local: ({ client }) => bracketed(client.localAddress),
  duration: (_query, _reply, _size, seconds) => `${seconds.toFixed(9)}s`,
  rcode: (_query, reply) => (reply === undefined ? absent : rcodeName(reply.rcode)),
  rsize: (_query, _reply, size) => String(size),
  common: () => "",
  ">id": ({ message }) => String(message.id),
  ">opcode": ({ message }) => String(message.opcode),
  ">do": ({ dnssec }) => String(dnssec),
  ">bufsize": ({ size }) => String(size),
  ">rflags": (_query, reply) => (reply === undefined ? absent : flagsOf(reply)),
};

/** Makes a function of a format. `{/name}` is a value of plugin metadata; unknown placeholders stay as they are. */
export function compileFormat(format: string): Value {
  const parts = format.split(/(\{[^{}]+\})/).map((part): Value => {
    const key = /^\{(.+)\}$/.exec(part)?.[1];
    if (key === undefined) return () => part;
    if (key.startsWith("/")) return ({ state }) => state.metadata?.get(key.slice(1))?.() || absent;
    return values[key] ?? (() => part);
  });
  return (query, reply, size, seconds) => parts.map((part) => part(query, reply, size, seconds)).join("");
}

/** Addresses of IPv6 in brackets. */
function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** The flags of a message: `qr,aa,rd`. */
function flagsOf(message: Message): string {
  return (["qr", "aa", "tc", "rd", "ra", "ad", "cd"] as const).filter((flag) => message[flag]).join(",");
}
