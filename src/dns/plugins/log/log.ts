/** Plugin log: a line for each query. */
import type { Stanza } from "../../corefile/stanza.ts";
import type { Plugin, Reply } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { namesOf } from "../../server/zones.ts";
import { isWithin } from "../../wire/names.ts";
import { compileFormat, formats } from "./format.ts";
import { type ReplyClass, replyClasses, replyClassOf } from "./replyclass.ts";

/** One directive: which queries are logged, and how. The first that fits a query counts. */
interface Rule {
  readonly zones: readonly string[];
  readonly format: (query: Query, reply: Reply, size: number, seconds: number) => string;
  readonly classes: ReadonlySet<ReplyClass | "all">;
}

/** The plugin. */
export const log: Plugin = {
  name: "log",
  setup(stanzas, site) {
    const rules = stanzas.flatMap(parse);
    const { env } = site;
    return {
      name: "log",
      serve(query, next) {
        const rule = rules.find(({ zones }) => zones.some((zone) => isWithin(query.name, zone)));
        if (rule === undefined) return next(query);
        const start = env.clock.monotonic();
        query.state.onSent.push((answer, size) => {
          if (!rule.classes.has("all") && !rule.classes.has(replyClassOf(answer))) return;
          env.log.info(rule.format(query, answer, size, (env.clock.monotonic() - start) / 1000));
        });
        return next(query);
      },
    };
  },
};

/** `log`, `log FORMAT`, `log NAMES... [FORMAT]`; the last argument is a format if it has braces. */
function parse(stanza: Stanza): readonly Rule[] {
  const last = stanza.args.at(-1) ?? "";
  const hasFormat = last.includes("{");
  const template = hasFormat ? (formats.get(last) ?? last) : (formats.get("{common}") ?? "");
  const names = hasFormat ? stanza.args.slice(0, -1) : stanza.args;
  const zones = names.length === 0 ? ["."] : namesOf(stanza, names);
  const classes = new Set<ReplyClass | "all">();
  for (const property of stanza.properties) {
    if (property.name !== "class") throw stanza.unknown(property);
    for (const text of property.expect(1, Number.POSITIVE_INFINITY)) {
      const known = replyClasses.find((one) => one === text);
      if (known === undefined) throw property.error(`'${text}' must be one of ${replyClasses.join(", ")}`);
      classes.add(known);
    }
  }
  if (classes.size === 0) classes.add("all");
  return [{ zones, format: compileFormat(template), classes }];
}
