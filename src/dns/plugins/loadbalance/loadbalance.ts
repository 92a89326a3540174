/** Plugin loadbalance: the order of addresses in answers. */
import { readFileSync } from "node:fs";
import type { Address } from "../../../net/address.ts";
import { type Prefix, prefixContains, tryParsePrefix } from "../../../net/prefix.ts";
import { type Stanza, single } from "../../corefile/stanza.ts";
import { isMissing, messageOf } from "../../server/log.ts";
import { after, type Plugin, type Reply } from "../../server/plugin.ts";
import type { Site } from "../../server/site.ts";
import { TYPE } from "../../wire/codes.ts";
import { is, type ResourceRecord } from "../../wire/record.ts";
import { parseWeights, type Weights } from "./weights.ts";

/** Gives the records of one group (addresses, or mail exchangers) the order in which they are sent. */
type Order = (records: ResourceRecord[], name: string) => ResourceRecord[];

/** The plugin. */
export const loadbalance: Plugin = {
  name: "loadbalance",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const { order, preferred } = parse(stanza, site);
    return {
      name: "loadbalance",
      serve: (query, next) =>
        after(next(query), (answer) => {
          if (
            answer === undefined ||
            answer.answer.length < 2 ||
            query.type === TYPE.AXFR ||
            query.type === TYPE.IXFR
          ) {
            return answer;
          }
          return { ...answer, answer: prefer(arrange(answer, order), preferred) };
        }),
    };
  },
};

function parse(stanza: Stanza, site: Site): { readonly order: Order; readonly preferred: readonly Prefix[] } {
  const { env } = site;
  const policy = stanza.args[0] ?? "round_robin";
  let order: Order = (records) => shuffle(records, env.random);
  let reload = 30_000;
  const preferred: Prefix[] = [];
  for (const property of stanza.properties) {
    if (property.name === "reload" && policy === "weighted") {
      property.expect(1);
      reload = property.duration(0, "reload");
    } else if (property.name === "prefer" || property.name === "preferred") {
      for (const text of property.expect(1, Number.POSITIVE_INFINITY)) {
        const prefix = tryParsePrefix(text);
        if (prefix === undefined) throw property.error(`'${text}' is not a prefix such as 10.0.0.0/8`);
        preferred.push(prefix);
      }
    } else {
      throw stanza.unknown(property);
    }
  }
  if (policy === "round_robin") {
    stanza.expect(0, 1);
  } else if (policy === "weighted") {
    const [, file = ""] = stanza.expect(2);
    const path = site.path(file);
    let weights: Weights = new Map();
    const read = () => {
      weights = parseWeights(readFileSync(path, "utf8"), path);
    };
    try {
      read();
    } catch (error) {
      if (!isMissing(error) || reload === 0) throw stanza.error(messageOf(error));
      env.log.plugin("loadbalance").warn(`${path} is not there: looking again every ${reload / 1000}s`);
    }
    site.onStart((signal) => {
      const follow = async () => {
        while (reload > 0 && (await env.clock.sleep(reload, signal))) {
          try {
            read();
          } catch (error) {
            env.log.plugin("loadbalance").error(`the old weights stay: ${messageOf(error)}`);
          }
        }
      };
      void follow();
    });
    order = (records, name) => weighted(records, weights.get(name), env.random);
  } else {
    throw stanza.error(`policy '${policy}' must be round_robin or weighted`);
  }
  return { order, preferred };
}

/** CNAMEs first, then the rest as it is, then addresses and mail exchangers in a new order. */
function arrange({ answer }: NonNullable<Reply>, order: Order): ResourceRecord[] {
  const aliases: ResourceRecord[] = [];
  const rest: ResourceRecord[] = [];
  const addresses: ResourceRecord[] = [];
  const exchangers: ResourceRecord[] = [];
  for (const record of answer) {
    if (record.type === TYPE.CNAME) aliases.push(record);
    else if (record.type === TYPE.A || record.type === TYPE.AAAA) addresses.push(record);
    else if (record.type === TYPE.MX) exchangers.push(record);
    else rest.push(record);
  }
  const name = addresses[0]?.name.toLowerCase() ?? "";
  return [...aliases, ...rest, ...order(addresses, name), ...order(exchangers, "")];
}

/** Addresses in preferred prefixes before others, in the order of the prefixes. */
function prefer(records: ResourceRecord[], prefixes: readonly Prefix[]): ResourceRecord[] {
  if (prefixes.length === 0) return records;
  const rank = (record: ResourceRecord) => {
    if (!is(record, "A") && !is(record, "AAAA")) return -1;
    const { address } = record.data;
    const index = prefixes.findIndex((prefix) => prefixContains(prefix, address));
    return index < 0 ? prefixes.length : index;
  };
  return records.sort((a, b) => rank(a) - rank(b));
}

/** A random order, each as probable as any other (Fisher and Yates). */
function shuffle<T>(items: T[], random: () => number): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const item = items[i] as T;
    items[i] = items[j] as T;
    items[j] = item;
  }
  return items;
}

/** One address, chosen by weight, first; the others as they were. Addresses without a weight have weight 1. */
function weighted(
  records: ResourceRecord[],
  weights: ReadonlyMap<Address, number> | undefined,
  random: () => number,
): ResourceRecord[] {
  if (weights === undefined) return shuffle(records, random);
  const weightOf = (record: ResourceRecord) =>
    is(record, "A") || is(record, "AAAA") ? (weights.get(record.data.address) ?? 1) : 1;
  let rest = random() * records.reduce((sum, record) => sum + weightOf(record), 0);
  const index = records.findIndex((record) => {
    rest -= weightOf(record);
    return rest < 0;
  });
  const [first] = records.splice(Math.max(0, index), 1);
  return first === undefined ? records : [first, ...records];
}
