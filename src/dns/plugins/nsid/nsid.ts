/** Plugin nsid: tells which server answers, to clients that ask for it (RFC 5001). */

import { hostname } from "node:os";
import { single } from "../../corefile/stanza.ts";
import { after, type Plugin } from "../../server/plugin.ts";
import { OPTION } from "../../wire/codes.ts";

const longest = 1024;

/** The plugin. */
export const nsid: Plugin = {
  name: "nsid",
  setup(stanzas) {
    const stanza = single(stanzas);
    const data = new Uint8Array(Buffer.from(stanza.args.length === 0 ? hostname() : stanza.args.join(" ")));
    if (data.length > longest) throw stanza.error(`the id is longer than ${longest} bytes`);
    return {
      name: "nsid",
      serve(query, next) {
        const { edns } = query.message;
        if (edns === undefined || !edns.options.some(({ code }) => code === OPTION.NSID)) return next(query);
        return after(next(query), (reply) => {
          if (reply === undefined) return undefined;
          const others = (reply.edns ?? edns).options.filter(({ code }) => code !== OPTION.NSID);
          return { ...reply, edns: { ...edns, options: [...others, { code: OPTION.NSID, data }] } };
        });
      },
    };
  },
};
