/** Plugin timeouts: how long connections may take and idle. */
import { single } from "../../corefile/stanza.ts";
import type { Plugin } from "../../server/plugin.ts";

const shortest = 1000;
const longest = 24 * 3_600_000;

/** The plugin. */
export const timeouts: Plugin = {
  name: "timeouts",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    stanza.expect(0);
    if (stanza.properties.length === 0) throw stanza.error("needs a block with read, write or idle");
    for (const property of stanza.properties) {
      if (property.name === "maxtcpqueries") {
        property.expect(1);
        site.settings.maxTcpQueries = property.number(0, "maxtcpqueries", -1);
        continue;
      }
      if (property.name !== "read" && property.name !== "write" && property.name !== "idle") {
        throw stanza.unknown(property);
      }
      property.expect(1);
      const time = property.duration(0, property.name, 1000);
      if (time < shortest || time > longest) throw property.error(`${property.args[0]} must be from 1s to 24h`);
      site.settings[`${property.name}Timeout`] = time;
    }
    return undefined;
  },
};
