/** How names are matched and rewritten: exactly, by their beginning, end or middle, or by a regular expression. */
import type { Stanza } from "../../corefile/stanza.ts";
import { fillGroups, makePattern } from "../../pattern.ts";
import { tryParseName } from "../../wire/names.ts";

/** The ways to match a name. */
export const matchKinds = ["exact", "prefix", "suffix", "substring", "regex"] as const;
export type MatchKind = (typeof matchKinds)[number];

/** Gives a name in lower case its new form; undefined if it does not match. */
export type NameRewrite = (name: string) => string | undefined;

/**
 * Makes a rewriting of names.
 *
 * @param stanza for errors.
 * @throws {CorefileError} if FROM or TO is not what the kind of match demands.
 */
export function makeRewrite(stanza: Stanza, kind: MatchKind, from: string, to: string): NameRewrite {
  switch (kind) {
    case "exact": {
      const [before, after] = [absolute(stanza, from), absolute(stanza, to)];
      return (name) => (name === before ? after : undefined);
    }
    case "prefix":
      return (name) => (name.startsWith(from.toLowerCase()) ? checked(to + name.slice(from.length)) : undefined);
    case "suffix": {
      const [before, after] = [withDot(from.toLowerCase()), withDot(to)];
      return (name) => (name.endsWith(before) ? checked(name.slice(0, -before.length) + after) : undefined);
    }
    case "substring": {
      const before = from.toLowerCase();
      return (name) => (name.includes(before) ? checked(name.replaceAll(before, () => to)) : undefined);
    }
    case "regex": {
      const pattern = makePattern(stanza, from);
      return (name) => {
        const match = pattern.exec(name);
        return match === null ? undefined : checked(withDot(fillGroups(to, match)));
      };
    }
  }
}

/** Makes a test of names of the same kinds. */
export function makeMatch(stanza: Stanza, kind: MatchKind, from: string): (name: string) => boolean {
  const rewrite =
    kind === "exact"
      ? makeRewrite(stanza, kind, from, from)
      : makeRewrite(stanza, kind, from, kind === "regex" ? "x" : from);
  return (name) => rewrite(name) !== undefined;
}

function absolute(stanza: Stanza, text: string): string {
  const name = tryParseName(text);
  if (name === undefined) throw stanza.error(`'${text}' is not a domain name`);
  return name.toLowerCase();
}

function withDot(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}

/** A name that came out of a rewriting, if it is one: otherwise nothing was matched. */
function checked(text: string): string | undefined {
  return tryParseName(text)?.toLowerCase();
}
