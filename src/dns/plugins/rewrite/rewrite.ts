/** Plugin rewrite: changes queries on their way in and replies on their way out. */
import type { Stanza } from "../../corefile/stanza.ts";
import { after, type Plugin, type Reply } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import type { Site } from "../../server/site.ts";
import { tryParseClass, tryParseType } from "../../wire/codes.ts";
import { ednsRule } from "./ednsrule.ts";
import { cnameRule, nameRule, rcodeRule, ttlRule } from "./namerule.ts";
import type { Rewritten, Rule } from "./rule.ts";

/** The plugin. */
export const rewrite: Plugin = {
  name: "rewrite",
  setup(stanzas, site) {
    const rules = stanzas.map((stanza) => parse(stanza, site));
    return {
      name: "rewrite",
      serve(query, next) {
        const done: Rewritten[] = [];
        let current = query;
        for (const rule of rules) {
          const result = rule.apply(current);
          if (result === undefined) continue;
          done.push(result);
          current = result.query;
          if (rule.then === "stop") break;
        }
        if (done.length === 0) return next(query);
        return after(next(current), (reply) => turnBack(query, reply, done));
      },
    };
  },
};

/** Undoes the rewritings, the last one first; the question is the client's in any case. */
function turnBack(query: Query, reply: Reply, done: readonly Rewritten[]): Reply | Promise<Reply> {
  if (reply === undefined) return undefined;
  let result: Reply | Promise<Reply> = reply;
  for (const { reply: change } of done.toReversed()) {
    if (change === undefined) continue;
    result = result instanceof Promise ? result.then((one) => one && change(one)) : result && change(result);
  }
  const { questions } = query.message;
  return result instanceof Promise
    ? result.then((one) => one && { ...one, questions })
    : result && { ...result, questions };
}

/** A directive: its words on one line, or in a block whose first line says what is rewritten. */
function parse(stanza: Stanza, site: Site): Rule {
  const [first, ...others] = stanza.properties;
  const inBlock = first === undefined ? [] : [first.name, ...first.args];
  const words = [...stanza.args, ...inBlock, ...others.flatMap((property) => [property.name, ...property.args])];
  let then: Rule["then"] = "stop";
  if (words[0] === "continue" || words[0] === "stop") then = words.shift() as Rule["then"];
  const field = words.shift();
  switch (field) {
    case "name":
      return nameRule(stanza, then, words);
    case "cname":
      return cnameRule(stanza, then, words, site);
    case "ttl":
      return ttlRule(stanza, then, words);
    case "rcode":
      return rcodeRule(stanza, then, words);
    case "edns0":
      return ednsRule(stanza, then, words);
    case "type":
    case "class":
      return questionRule(stanza, then, field, words);
    case undefined:
      throw stanza.error("needs a field: name, type, class, edns0, ttl, cname or rcode");
    default:
      throw stanza.error(`'${field}' is not a field: name, type, class, edns0, ttl, cname or rcode`);
  }
}

/** `type FROM TO`, `class FROM TO` */
function questionRule(stanza: Stanza, then: Rule["then"], field: "type" | "class", words: readonly string[]): Rule {
  const [from, to] = words.map((word) => {
    const number = field === "type" ? tryParseType(word) : tryParseClass(word);
    if (number === undefined) throw stanza.error(`'${word}' is not a ${field} of records`);
    return number;
  });
  if (words.length !== 2 || from === undefined || to === undefined) {
    throw stanza.error(`${field} needs what to rewrite, and into what`);
  }
  return {
    then,
    apply: (query) => (query.question[field] === from ? { query: query.ask({ [field]: to }) } : undefined),
  };
}
