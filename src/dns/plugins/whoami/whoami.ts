/** Plugin whoami: tells clients their own address, port and protocol. */
import { tryParseAddress } from "../../../net/address.ts";
import type { Plugin } from "../../server/plugin.ts";
import { reply } from "../../server/reply.ts";
import { tryParseName } from "../../wire/names.ts";
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
        // A name that is as long as names may be has none below it.
        const below = tryParseName(client.protocol === "udp" ? "_udp" : "_tcp", question.name);
        const data = { priority: 0, weight: 0, port: client.port, host: "." };
        const srv = below === undefined ? [] : [record(below, "SRV", 0, data)];
        const additional = [...own, ...srv].map((one) => ({ ...one, class: question.class }));
        return reply(message, { additional });
      },
    };
  },
};
