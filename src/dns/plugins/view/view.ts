/** Plugin view: a server block that serves only queries for which an expression holds. */

import { single } from "../../corefile/stanza.ts";
import { compileExpression } from "../../expression/expression.ts";
import { queryNames, queryScope } from "../../expression/scope.ts";
import { messageOf } from "../../server/log.ts";
import type { Plugin } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import type { Site } from "../../server/site.ts";

/** The plugin. */
export const view: Plugin = {
  name: "view",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const [name = ""] = stanza.expect(1);
    site.settings.viewName = name;
    const tests = stanza.properties.map((property) => {
      if (property.name !== "expr") throw stanza.unknown(property);
      try {
        return compileExpression(property.expect(1, Number.POSITIVE_INFINITY).join(" "), queryNames);
      } catch (error) {
        throw property.error(messageOf(error));
      }
    });
    if (tests.length > 0) site.settings.views.push((query) => tests.every((test) => holds(test, query, site)));
    return undefined;
  },
};

/** What cannot be calculated for a query does not hold for it. */
function holds(test: ReturnType<typeof compileExpression>, query: Query, site: Site): boolean {
  try {
    return test(queryScope(query, site)) === true;
  } catch {
    return false;
  }
}
