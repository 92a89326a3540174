/** Plugin whoami: tells clients their own address, port and protocol. */
import { tryParseAddress } from "../../../net/address.ts";
import type { Plugin } from "../../server/plugin.ts";
import { reply } from "../../server/reply.ts";
import { record } from "../../wire/record.ts";

/** The plugin. */
export const whoami: Plugin = {
  name: "whoami",
  setup(stanzas) {
    for (const stanza of stanzas) stanza.expect(0);
    return {
      name: "whoami",
      serve({ message, question, client }) {
        const address = tryParseAddress(client.address);
        const own =
          address === undefined ? [] : [record(question.name, address.includes(":") ? "AAAA" : "A", 0, { address })];
        const host = question.name === "." ? "." : question.name;
        const protocol = client.protocol === "udp" ? "udp" : "tcp";
        const srv = record(`_${protocol}.${host === "." ? "" : host}`, "SRV", 0, {
          priority: 0,
          weight: 0,
          port: client.port,
          host: ".",
        });
        return reply(message, { additional: [...own, srv] });
      },
    };
  },
};
