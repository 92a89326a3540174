/** Plugin root: where relative paths in a server block begin. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Plugin } from "../../server/plugin.ts";

/** The plugin. */
export const root: Plugin = {
  name: "root",
  setup(stanzas, site) {
    for (const stanza of stanzas) {
      const [path = ""] = stanza.expect(1);
      const found = statSync(path, { throwIfNoEntry: false });
      if (found === undefined) site.env.log.plugin("root").warn(`Root path does not exist: ${path}`);
      else if (!found.isDirectory()) throw stanza.error(`'${path}' is not a directory`);
      site.settings.root = resolve(path);
    }
    return undefined;
  },
};
