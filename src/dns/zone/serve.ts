/** Replies from zones, for the plugins that have some. */
import type { Fallthrough, Next, Outcome } from "../server/plugin.ts";
import type { Query } from "../server/query.ts";
import { errorReply, reply } from "../server/reply.ts";
import type { Site } from "../server/site.ts";
import { RCODE, TYPE } from "../wire/codes.ts";
import { lookUp } from "./lookup.ts";
import type { Zone } from "./zone.ts";

/**
 * Answers a query for a name in the zone, or passes it on if the name does not exist and falls through. The target of
 * an alias outside of the zone is asked of the server itself.
 */
export function serveZone(zone: Zone, query: Query, next: Next, fallthrough: Fallthrough, site: Site): Outcome {
  const { question, type, dnssec } = query;
  // Transfers are for plugin transfer; what it has let pass is not to be had.
  if (type === TYPE.AXFR || type === TYPE.IXFR) return errorReply(query.message, RCODE.REFUSED);
  const found = lookUp(zone, question.name, type, dnssec);
  if (found.rcode === RCODE.NXDOMAIN && fallthrough(query.name)) return next(query);
  const own = reply(query.message, { ...found, aa: !found.referral });
  if (found.alias === undefined) return own;
  return site.ask(query.ask({ name: found.alias })).then((answer) => {
    if (answer === undefined || answer.rcode === RCODE.REFUSED) return own;
    return { ...own, answer: [...own.answer, ...answer.answer], tc: answer.tc };
  });
}
