/** Rules of the fields `name`, `cname`, `ttl` and `rcode`: those that match the name of a query. */
import type { Stanza } from "../../corefile/stanza.ts";
import type { Query } from "../../server/query.ts";
import type { Site } from "../../server/site.ts";
import { TYPE, tryParseRcode } from "../../wire/codes.ts";
import type { Message } from "../../wire/message.ts";
import { is, type ResourceRecord } from "../../wire/record.ts";
import { mapRecords, rewriteOwner, rewriteValue } from "./answers.ts";
import { type MatchKind, makeMatch, makeRewrite, matchKinds, type NameRewrite } from "./names.ts";
import type { Rewritten, Rule } from "./rule.ts";

type RecordChange = (record: ResourceRecord) => ResourceRecord;

/** `name [KIND] FROM TO [answer auto] [answer name|value FROM TO]...` */
export function nameRule(stanza: Stanza, then: Rule["then"], words: readonly string[]): Rule {
  const { kind, rest } = takeKind(words, 2);
  const [from, to, ...options] = rest;
  if (from === undefined || to === undefined) throw stanza.error("name needs what to rewrite, and into what");
  const rewrite = makeRewrite(stanza, kind, from, to);
  const changes: RecordChange[] = [];
  // An exact match says by itself how answers are to be turned back.
  let auto = kind === "exact";
  for (let at = 0; at < options.length; ) {
    if (options[at] !== "answer") throw stanza.error(`'${options[at]}' is not an option: expected answer`);
    const [what, before, after] = options.slice(at + 1, at + 4);
    if (what === "auto") {
      auto = true;
      at += 2;
    } else {
      if ((what !== "name" && what !== "value") || before === undefined || after === undefined) {
        throw stanza.error("answer needs auto, or name or value with a pattern and its replacement");
      }
      const change = makeRewrite(stanza, "regex", before, after);
      changes.push((record) => (what === "name" ? rewriteOwner : rewriteValue)(record, change));
      at += 4;
    }
  }
  const back = auto ? reverseOf(stanza, kind, from, to) : undefined;
  return {
    then,
    apply(query) {
      const name = rewrite(query.name);
      if (name === undefined || name === query.name) return undefined;
      const restore: NameRewrite | undefined = auto
        ? (back ?? ((owner) => (owner === name ? query.question.name : undefined)))
        : undefined;
      return {
        query: query.ask({ name }),
        reply: (reply) => {
          if (restore === undefined && changes.length === 0) return reply;
          return mapRecords(reply, (record) => {
            let changed = restore === undefined ? record : rewriteOwner(record, restore);
            // The owner of what was asked for is spelled as it was asked for.
            if (changed !== record && changed.name === query.name) changed = { ...changed, name: query.question.name };
            return changes.reduce((one, change) => change(one), changed);
          });
        },
      };
    },
  };
}

/** The way back, for kinds of match that have one; the others give a rewritten name its one original. */
function reverseOf(stanza: Stanza, kind: MatchKind, from: string, to: string): NameRewrite | undefined {
  return kind === "suffix" || kind === "prefix" || kind === "exact" ? makeRewrite(stanza, kind, to, from) : undefined;
}

/** `ttl [KIND] NAME SECONDS|MIN-MAX` */
export function ttlRule(stanza: Stanza, then: Rule["then"], words: readonly string[]): Rule {
  const { kind, rest } = takeKind(words, 2);
  const [name = "", range = ""] = rest;
  const [, low, dash, high] = /^(\d{0,10})(-?)(\d{0,10})$/.exec(range) ?? [];
  if (rest.length !== 2 || low === undefined || (dash === "" && low === "")) {
    throw stanza.error("ttl needs a name and seconds, or a range such as 30-300");
  }
  const min = low === "" ? 0 : Number(low);
  const max = dash === "" ? min : high === "" || high === undefined ? 0x7fffffff : Number(high);
  if (max > 0x7fffffff || min > max) throw stanza.error(`the range ${range} of TTLs is wrong`);
  const matches = makeMatch(stanza, kind, name);
  return onReply(then, matches, (reply) =>
    mapRecords(reply, (record) => ({ ...record, ttl: Math.min(max, Math.max(min, record.ttl)) })),
  );
}

/** `rcode [KIND] NAME FROM TO` */
export function rcodeRule(stanza: Stanza, then: Rule["then"], words: readonly string[]): Rule {
  const { kind, rest } = takeKind(words, 3);
  const [name = "", from = "", to = ""] = rest;
  const [before, after] = [codeOf(from), codeOf(to)];
  if (rest.length !== 3 || before === undefined || after === undefined) {
    throw stanza.error("rcode needs a name, a response code, and the one that is given instead");
  }
  const matches = makeMatch(stanza, kind, name);
  return onReply(then, matches, (reply) => (reply.rcode === before ? { ...reply, rcode: after } : reply));
}

function codeOf(text: string): number | undefined {
  return /^\d{1,4}$/.test(text) ? Number(text) : tryParseRcode(text);
}

/** `cname [KIND] FROM TO`: aliases in answers lead elsewhere, whose addresses are asked for. */
export function cnameRule(stanza: Stanza, then: Rule["then"], words: readonly string[], site: Site): Rule {
  const { kind, rest } = takeKind(words, 2);
  const [from, to] = rest;
  if (rest.length !== 2 || from === undefined || to === undefined)
    throw stanza.error("cname needs a target and its replacement");
  const rewrite = makeRewrite(stanza, kind, from, to);
  return {
    then,
    apply: (query) => ({ query, reply: (reply) => redirect(query, reply, rewrite, site) }),
  };
}

async function redirectTo(
  query: Query,
  kept: readonly ResourceRecord[],
  target: string,
  site: Site,
): Promise<readonly ResourceRecord[]> {
  if (query.type === TYPE.CNAME) return kept;
  const answer = await site.ask(query.ask({ name: target }));
  return [...kept, ...(answer?.answer ?? [])];
}

function redirect(query: Query, reply: Message, rewrite: NameRewrite, site: Site): Message | Promise<Message> {
  for (const [i, record] of reply.answer.entries()) {
    const target = is(record, "CNAME") ? rewrite(record.data.host.toLowerCase()) : undefined;
    if (target === undefined) continue;
    const kept = [...reply.answer.slice(0, i), { ...record, data: { host: target } }];
    return redirectTo(query, kept, target, site).then((answer) => ({ ...reply, answer }));
  }
  return reply;
}

function onReply(then: Rule["then"], matches: (name: string) => boolean, change: (reply: Message) => Message): Rule {
  return {
    then,
    apply: (query): Rewritten | undefined => (matches(query.name) ? { query, reply: change } : undefined),
  };
}

/** The kind of match, if the words begin with one and enough are left for the rest. */
function takeKind(
  words: readonly string[],
  needed: number,
): { readonly kind: MatchKind; readonly rest: readonly string[] } {
  const kind = matchKinds.find((one) => one === words[0]?.toLowerCase());
  return kind !== undefined && words.length > needed ? { kind, rest: words.slice(1) } : { kind: "exact", rest: words };
}
