/** Matches and targets of iptables, of both variants. */
import type { XtMatch } from "../../../kernel/nftables/index.ts";
import { chanceMatches } from "./chance.ts";
import { connectionMatches } from "./connections.ts";
import { headerMatches } from "./headers.ts";
import { type Condition, depends, type Matches, type Seen } from "./match.ts";
import { placeMatches } from "./places.ts";
import { recentMatches } from "./recent.ts";

export { type Action, readTarget } from "./target.ts";

const matches: Matches = {
  ...headerMatches,
  ...placeMatches,
  ...connectionMatches,
  ...chanceMatches,
  ...recentMatches,
};

/** Evaluates a match. What is not known here depends. */
export function evaluateMatch({ name, revision, info }: XtMatch, seen: Seen): Condition {
  // ebtables has matches of the same names with structures of their own.
  const match = seen.where.family === "bridge" ? undefined : matches[`${name} ${revision}`];
  if (match === undefined || info.length < match.length) return depends(`iptables' match ${name} holds`);
  return match.read(new DataView(info.buffer, info.byteOffset, info.length), seen);
}
