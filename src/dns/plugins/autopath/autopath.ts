/** Plugin autopath: walks the search path of clients for them, so that one query does for many. */

import { readFileSync } from "node:fs";
import { single } from "../../corefile/stanza.ts";
import { messageOf } from "../../server/log.ts";
import { type Handler, type Next, type Outcome, type Plugin, type Reply, ServeError } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import type { Site } from "../../server/site.ts";
import { zonesOf } from "../../server/zones.ts";
import { RCODE, TYPE } from "../../wire/codes.ts";
import type { Message } from "../../wire/message.ts";
import { isWithin, tryParseName } from "../../wire/names.ts";
import { record } from "../../wire/record.ts";
import { serverLabel } from "../prometheus/prometheus.ts";
import { searchDomains } from "./resolvconf.ts";

/** The search path of a client; undefined if it is not known. */
type SearchPath = (query: Query) => readonly string[] | undefined;

/** The plugin. */
export const autopath: Plugin = {
  name: "autopath",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    stanza.expect(1, Number.POSITIVE_INFINITY);
    const source = stanza.args.at(-1) ?? "";
    const zones = zonesOf(stanza, stanza.args.slice(0, -1), site);
    if (!source.startsWith("@")) {
      const path = site.path(source);
      try {
        const domains = searchDomains(readFileSync(path, "utf8"));
        return new Autopath(zones, () => domains, site);
      } catch (error) {
        throw stanza.error(messageOf(error));
      }
    }
    const name = source.slice(1);
    site.onStart(() => {
      if (site.handler(name)?.searchPath === undefined) {
        throw stanza.error(`plugin ${name} is not in this block, or knows no search paths`);
      }
    });
    return new Autopath(zones, (query) => site.handler(name)?.searchPath?.(query), site);
  },
};

class Autopath implements Handler {
  readonly name = "autopath";
  readonly #zones: readonly string[];
  readonly #searchPath: SearchPath;
  readonly #successes;

  constructor(zones: readonly string[], searchPath: SearchPath, site: Site) {
    this.#zones = zones;
    this.#searchPath = searchPath;
    this.#successes = site.env.metrics
      .counters(
        "coredns_autopath_success_total",
        "Queries for which the search path was walked with success.",
        "server",
      )
      .labels(serverLabel(site));
  }

  serve(query: Query, next: Next): Outcome {
    const { type, name, question } = query;
    if ((type !== TYPE.A && type !== TYPE.AAAA) || !this.#zones.some((zone) => isWithin(name, zone)))
      return next(query);
    const path = this.#searchPath(query);
    const [first] = path ?? [];
    // A client that walks its search path begins with its first domain; all other queries are none of our business.
    if (path === undefined || first === undefined || first === "." || name === first || !isWithin(name, first)) {
      return next(query);
    }
    const base = question.name.slice(0, question.name.length - first.length - 1);
    return this.#walk(query, next, base, path, 0, undefined);
  }

  /** Asks for the base name in each domain from `index` on; if none has it, the first reply stands. */
  #walk(query: Query, next: Next, base: string, path: readonly string[], index: number, first: Reply): Outcome {
    const domain = path[index];
    if (domain === undefined) return first;
    const name = tryParseName(domain === "." ? `${base}.` : `${base}.${domain}`);
    if (name === undefined) return this.#walk(query, next, base, path, index + 1, first);
    const then = (reply: Reply): Outcome => {
      if (reply !== undefined && reply.rcode !== RCODE.NXDOMAIN) {
        if (index > 0) this.#successes.add(1);
        return asAsked(query, reply);
      }
      const kept = index === 0 ? reply && asAsked(query, reply) : first;
      return this.#walk(query, next, base, path, index + 1, kept);
    };
    try {
      const outcome = next(query.ask({ name }));
      return outcome instanceof Promise ? outcome.then(then) : then(outcome);
    } catch (error) {
      if (error instanceof ServeError && index > 0) return first;
      throw error;
    }
  }
}

/** The reply to another name as one to the query: with an alias from the name that was asked for. */
function asAsked({ message, question }: Query, reply: Message): Message {
  const [first] = reply.answer;
  const { questions } = message;
  if (first === undefined || first.name.toLowerCase() === question.name.toLowerCase()) return { ...reply, questions };
  const alias = record(question.name, "CNAME", first.ttl, { host: first.name });
  return { ...reply, questions, answer: [alias, ...reply.answer] };
}
