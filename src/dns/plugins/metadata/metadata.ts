/** Plugin metadata: lets plugins tell each other what they know about a query. */
import { single } from "../../corefile/stanza.ts";
import type { Plugin } from "../../server/plugin.ts";
import { zonesOf } from "../../server/zones.ts";
import { isWithin } from "../../wire/names.ts";

/** The plugin. */
export const metadata: Plugin = {
  name: "metadata",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    for (const property of stanza.properties) throw stanza.unknown(property);
    const zones = zonesOf(stanza, stanza.args, site);
    return {
      name: "metadata",
      serve(query, next) {
        if (zones.some((zone) => isWithin(query.name, zone))) {
          const { viewName } = site.settings;
          const values = new Map<string, () => string>(viewName === "" ? [] : [["view/name", () => viewName]]);
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
