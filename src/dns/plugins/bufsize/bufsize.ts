/** Plugin bufsize: limits the size of replies over UDP, so that they are not fragmented. */
import { single } from "../../corefile/stanza.ts";
import type { Plugin } from "../../server/plugin.ts";

/** What travels everywhere without being fragmented (DNS Flag Day 2020). */
const defaultSize = 1232;

/** The plugin. */
export const bufsize: Plugin = {
  name: "bufsize",
  setup(stanzas) {
    const stanza = single(stanzas);
    const [text] = stanza.expect(0, 1);
    const limit = text === undefined ? defaultSize : stanza.number(0, "the size", 512, 4096);
    return {
      name: "bufsize",
      serve(query, next) {
        const { edns } = query.message;
        if (edns === undefined || edns.udpSize <= limit || query.client.protocol !== "udp") return next(query);
        query.state.udpSize = limit;
        return next(query.with({ ...query.message, edns: { ...edns, udpSize: limit } }));
      },
    };
  },
};
