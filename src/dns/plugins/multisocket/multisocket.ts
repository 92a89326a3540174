/** Plugin multisocket: several sockets that share each UDP port. */

import { availableParallelism } from "node:os";
import { single } from "../../corefile/stanza.ts";
import type { Plugin } from "../../server/plugin.ts";

const most = 1024;

/** The plugin. */
export const multisocket: Plugin = {
  name: "multisocket",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const [text] = stanza.expect(0, 1);
    site.settings.sockets = text === undefined ? availableParallelism() : stanza.number(0, "the number", 1, most);
    return undefined;
  },
};
