/** Plugin chaos: tells the server's version, authors and name to queries of class CH. */

import { hostname } from "node:os";
import { single } from "../../corefile/stanza.ts";
import type { Plugin } from "../../server/plugin.ts";
import { reply } from "../../server/reply.ts";
import { CLASS, TYPE } from "../../wire/codes.ts";
import { record } from "../../wire/record.ts";

const defaultVersion = "portolan";
const defaultAuthors = ["The Portolan authors"];

/** The plugin. */
export const chaos: Plugin = {
  name: "chaos",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const [version = defaultVersion, ...given] = stanza.args;
    const authors = given.length === 0 ? defaultAuthors : given;
    for (const text of [version, ...authors]) {
      if (Buffer.byteLength(text) > 255) throw stanza.error("a text is longer than 255 bytes");
    }
    site.settings.anyClass = true;
    const answers = new Map<string, readonly string[]>([
      ["authors.bind.", authors],
      ["version.bind.", [version]],
      ["version.server.", [version]],
      ["hostname.bind.", [hostname()]],
      ["id.server.", [hostname()]],
    ]);
    return {
      name: "chaos",
      serve(query, next) {
        const texts = answers.get(query.name);
        if (query.question.class !== CLASS.CH || query.type !== TYPE.TXT || texts === undefined) return next(query);
        const bytes = texts.map((text) => Buffer.from(text).toString("latin1"));
        const answer = bytes.map((text) => ({
          ...record(query.question.name, "TXT", 0, { texts: [text] }),
          class: CLASS.CH,
        }));
        return reply(query.message, { answer });
      },
    };
  },
};
