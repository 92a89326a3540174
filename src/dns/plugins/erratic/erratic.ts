/** Plugin erratic: a bad server, for tests of clients. */
import type { Address } from "../../../net/address.ts";
import { type Stanza, single } from "../../corefile/stanza.ts";
import type { Plugin, Reply } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { reply } from "../../server/reply.ts";
import { TYPE } from "../../wire/codes.ts";
import { type ResourceRecord, record } from "../../wire/record.ts";

/** What a directive says: every how-many-th reply suffers. 0: none. */
interface Options {
  readonly drop: number;
  readonly truncate: number;
  readonly delay: number;
  /** Milliseconds. */
  readonly delayFor: number;
  /** Replies have many records. */
  readonly large: boolean;
}

const ttl = 0;

/** The plugin. */
export const erratic: Plugin = {
  name: "erratic",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const options = parse(stanza);
    let queries = 0;
    const every = (count: number, amount: number) => amount > 0 && count % amount === 0;
    return {
      name: "erratic",
      serve(query) {
        const count = ++queries;
        if (every(count, options.drop)) return undefined;
        const answer = { ...answerOf(query, options.large), tc: every(count, options.truncate) };
        if (!every(count, options.delay)) return answer;
        return site.env.clock.sleep(options.delayFor, new AbortController().signal).then((): Reply => answer);
      },
    };
  },
};

function parse(stanza: Stanza): Options {
  stanza.expect(0);
  let options: Options = { drop: 2, truncate: 0, delay: 0, delayFor: 100, large: false };
  for (const property of stanza.properties) {
    const amount = () => (property.args.length === 0 ? 2 : property.number(0, "the amount", 0));
    switch (property.name) {
      case "drop":
        property.expect(0, 1);
        options = { ...options, drop: amount() };
        break;
      case "truncate":
        property.expect(0, 1);
        options = { ...options, truncate: amount() };
        break;
      case "delay":
        property.expect(0, 2);
        options = {
          ...options,
          delay: amount(),
          ...(property.args.length > 1 && { delayFor: property.duration(1, "the delay") }),
        };
        break;
      case "large":
        property.expect(0);
        options = { ...options, large: true };
        break;
      default:
        throw stanza.unknown(property);
    }
  }
  return options;
}

function answerOf({ message, question }: Query, large: boolean): NonNullable<Reply> {
  const { name, type } = question;
  const of = (count: number, make: (i: number) => ResourceRecord) => Array.from({ length: count }, (_, i) => make(i));
  if (type === TYPE.A) {
    const address = (i: number) => `192.0.2.${53 + i}` as Address;
    return reply(message, { answer: of(large ? 29 : 1, (i) => record(name, "A", ttl, { address: address(i) })) });
  }
  if (type === TYPE.AAAA) {
    const address = (i: number) => `2001:db8::${(53 + i).toString(16)}` as Address;
    return reply(message, { answer: of(large ? 29 : 1, (i) => record(name, "AAAA", ttl, { address: address(i) })) });
  }
  return reply(message);
}
