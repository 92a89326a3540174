/** Plugin metadata: lets plugins tell each other what they know about a query. */
import type { Plugin } from "../../server/plugin.ts";
import { zonesOf } from "../../server/zones.ts";
import { isWithin } from "../../wire/names.ts";

/** The plugin. */
export const metadata: Plugin = {
  name: "metadata",
  setup(stanzas, site) {
    const [stanza, second] = stanzas;
    if (stanza === undefined) return undefined;
    if (second !== undefined) throw second.error("may be given once in a server block");
    for (const property of stanza.properties) throw stanza.unknown(property);
    const zones = zonesOf(stanza, stanza.args, site);
    return {
      name: "metadata",
      serve(query, next) {
        if (zones.some((zone) => isWithin(query.name, zone))) {
          const values = new Map<string, () => string>();
          for (const handler of site.handlers) {
            for (const [name, value] of handler.metadata?.(query) ?? []) values.set(name, value);
          }
          query.state.metadata = values;
        }
        return next(query);
      },
    };
  },
};
