/** What expressions can ask about a query. */
import { tryParseAddress } from "../../net/address.ts";
import { prefixContains, tryParsePrefix } from "../../net/prefix.ts";
import type { Query } from "../server/query.ts";
import type { Site } from "../server/site.ts";
import { className, typeName } from "../wire/codes.ts";

/** The names that {@link queryScope} has. */
export const queryNames = [
  "name",
  "type",
  "class",
  "client_ip",
  "port",
  "proto",
  "server_ip",
  "server_port",
  "bufsize",
  "do",
  "id",
  "opcode",
  "size",
  "metadata",
  "incidr",
] as const;

/** Functions over a query. `site` finds metadata where plugin metadata has not collected any. */
export function queryScope(query: Query, site: Site): Readonly<Record<(typeof queryNames)[number], unknown>> {
  const { client, message, question } = query;
  const cached = new Map<string, () => string>();
  const metadata = (label: unknown): string => {
    const values = query.state.metadata ?? cached;
    if (values === cached && cached.size === 0) {
      for (const handler of site.handlers) {
        for (const [name, value] of handler.metadata?.(query) ?? []) cached.set(name, value);
      }
    }
    return values.get(String(label))?.() ?? "";
  };
  return {
    name: () => query.name,
    type: () => typeName(question.type),
    class: () => className(question.class),
    client_ip: () => client.address,
    port: () => String(client.port),
    proto: () => (client.protocol === "udp" ? "udp" : "tcp"),
    server_ip: () => client.localAddress,
    server_port: () => String(client.localPort),
    bufsize: () => query.size,
    do: () => query.dnssec,
    id: () => message.id,
    opcode: () => message.opcode,
    size: () => query.length,
    metadata,
    incidr,
  };
}

/** True if an address lies in a prefix. */
function incidr(address: unknown, prefix: unknown): boolean {
  const parsed = tryParseAddress(String(address));
  const network = tryParsePrefix(String(prefix));
  if (parsed === undefined || network === undefined) throw new TypeError("incidr needs an address and a prefix");
  return prefixContains(network, parsed);
}
