/** Plugin any: a small answer to queries for everything (RFC 8482). */
import type { Plugin } from "../../server/plugin.ts";
import { reply } from "../../server/reply.ts";
import { TYPE } from "../../wire/codes.ts";
import { record } from "../../wire/record.ts";

/** The plugin. */
export const any: Plugin = {
  name: "any",
  setup(stanzas) {
    for (const stanza of stanzas) stanza.expect(0);
    return {
      name: "any",
      serve(query, next) {
        if (query.type !== TYPE.ANY) return next(query);
        const data = { cpu: "ANY obsoleted", os: "See RFC 8482" };
        return reply(query.message, { answer: [record(query.question.name, "HINFO", 8482, data)] });
      },
    };
  },
};
