/** Plugin debug: writes log lines that are for finding faults. */
import type { Plugin } from "../../server/plugin.ts";

/** The plugin. */
export const debug: Plugin = {
  name: "debug",
  setup(stanzas, site) {
    for (const stanza of stanzas) stanza.expect(0);
    site.settings.debug = true;
    return undefined;
  },
};
