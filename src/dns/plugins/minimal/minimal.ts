/** Plugin minimal: leaves out of replies what clients can do without. */
import { after, type Plugin } from "../../server/plugin.ts";
import { RCODE, TYPE } from "../../wire/codes.ts";

/** The plugin. */
export const minimal: Plugin = {
  name: "minimal",
  setup(stanzas) {
    for (const stanza of stanzas) stanza.expect(0);
    return {
      name: "minimal",
      serve: (query, next) =>
        after(next(query), (reply) => {
          if (reply === undefined || reply.rcode !== RCODE.NOERROR || reply.answer.length === 0) return reply;
          // Those whose answer is of no use without more stay whole.
          if (query.type === TYPE.AXFR || query.type === TYPE.IXFR || query.type === TYPE.NS) return reply;
          if (reply.authority.length === 0 && reply.additional.length === 0) return reply;
          return { ...reply, authority: [], additional: [] };
        }),
    };
  },
};
