/** Plugin header: sets and clears flags of queries and replies. */
import type { Stanza } from "../../corefile/stanza.ts";
import { after, type Plugin } from "../../server/plugin.ts";
import type { Message } from "../../wire/message.ts";

const flags = ["aa", "ra", "rd"] as const;
type Flags = Partial<Record<(typeof flags)[number], boolean>>;

/** The plugin. */
export const header: Plugin = {
  name: "header",
  setup(stanzas) {
    const queries: Flags = {};
    const replies: Flags = {};
    for (const stanza of stanzas) {
      stanza.expect(0);
      for (const property of stanza.properties) {
        const [target, action, names] = parse(stanza, property);
        for (const name of names) (target === "query" ? queries : replies)[name] = action === "set";
      }
    }
    const changes = (message: Message, wanted: Flags) =>
      flags.some((flag) => (wanted[flag] ?? message[flag]) !== message[flag]);
    return {
      name: "header",
      serve(query, next) {
        const asked = changes(query.message, queries) ? query.with({ ...query.message, ...queries }) : query;
        return after(next(asked), (reply) =>
          reply !== undefined && changes(reply, replies) ? { ...reply, ...replies } : reply,
        );
      },
    };
  },
};

/** `[query|response] set|clear FLAG...`; without a selector the reply is meant. */
function parse(stanza: Stanza, property: Stanza): ["query" | "response", "set" | "clear", (keyof Flags)[]] {
  const words = [property.name, ...property.args];
  const target = words[0] === "query" || words[0] === "response" ? words.shift() : "response";
  const action = words.shift();
  if (action !== "set" && action !== "clear") throw stanza.unknown(property);
  if (words.length === 0) throw property.error("needs at least one flag");
  const names = words.map((word) => {
    const flag = flags.find((one) => one === word.toLowerCase());
    if (flag === undefined) throw property.error(`'${word}' must be one of ${flags.join(", ")}`);
    return flag;
  });
  return [target === "query" ? "query" : "response", action, names];
}
