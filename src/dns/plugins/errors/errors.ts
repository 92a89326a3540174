/** Plugin errors: logs what goes wrong with queries. */
import { type Stanza, single } from "../../corefile/stanza.ts";
import { makePattern, type Pattern } from "../../pattern.ts";
import { messageOf } from "../../server/log.ts";
import { type Handler, type Plugin, rcodeOf } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import type { Site } from "../../server/site.ts";
import { typeName } from "../../wire/codes.ts";

type Level = "error" | "warning" | "info" | "debug";

/** Errors that match are counted, and written as one line at the end of each period. */
interface Consolidation {
  readonly period: number;
  readonly pattern: Pattern;
  readonly source: string;
  readonly level: Level;
  readonly showFirst: boolean;
  count: number;
}

/** The plugin. */
export const errors: Plugin = {
  name: "errors",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    return new Errors(parse(stanza), site);
  },
};

function parse(stanza: Stanza): { readonly consolidations: readonly Consolidation[]; readonly stacktrace: boolean } {
  if (stanza.args.length > 1 || (stanza.args.length === 1 && stanza.args[0] !== "stdout")) {
    throw stanza.error(`the log goes to standard output, not to '${stanza.args.join(" ")}'`);
  }
  let stacktrace = false;
  const consolidations: Consolidation[] = [];
  for (const property of stanza.properties) {
    if (property.name === "stacktrace") {
      property.expect(0);
      stacktrace = true;
    } else if (property.name === "consolidate") {
      consolidations.push(consolidation(property));
    } else {
      throw stanza.unknown(property);
    }
  }
  return { consolidations, stacktrace };
}

function consolidation(property: Stanza): Consolidation {
  const [, source = "", ...rest] = property.expect(2, 4);
  const period = property.duration(0, "the period");
  const pattern = makePattern(property, source);
  let level: Level = "error";
  let showFirst = false;
  for (const word of rest) {
    if (word === "show_first") showFirst = true;
    else if (word === "error" || word === "warning" || word === "info" || word === "debug") level = word;
    else throw property.error(`'${word}' is not a level (error, warning, info, debug) or show_first`);
  }
  return { period, pattern, source, level, showFirst, count: 0 };
}

class Errors implements Handler {
  readonly name = "errors";
  readonly #consolidations: readonly Consolidation[];
  readonly #stacktrace: boolean;
  readonly #site: Site;
  readonly #log;

  constructor({ consolidations, stacktrace }: ReturnType<typeof parse>, site: Site) {
    this.#consolidations = consolidations;
    this.#stacktrace = stacktrace;
    this.#site = site;
    this.#log = site.env.log.plugin("errors");
    site.onStart((signal) => {
      for (const one of consolidations) void this.#summarize(one, signal);
    });
  }

  serve(query: Query, next: (query: Query) => ReturnType<Handler["serve"]>): ReturnType<Handler["serve"]> {
    try {
      const outcome = next(query);
      return outcome instanceof Promise ? outcome.catch((error: unknown) => this.#report(query, error)) : outcome;
    } catch (error) {
      return this.#report(query, error);
    }
  }

  #report(query: Query, error: unknown): never {
    const text = this.#stacktrace && error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
    const line = `${rcodeOf(error)} ${query.question.name} ${typeName(query.type)}: ${text}`;
    const match = this.#consolidations.find(({ pattern }) => pattern.test(text));
    if (match === undefined) {
      this.#log.error(line);
    } else {
      match.count++;
      if (match.showFirst && match.count === 1) this.#write(match.level, line);
    }
    throw error;
  }

  async #summarize(one: Consolidation, signal: AbortSignal): Promise<void> {
    while (await this.#site.env.clock.sleep(one.period, signal)) {
      const { count } = one;
      one.count = 0;
      if (count > (one.showFirst ? 1 : 0)) {
        this.#write(one.level, `${count} errors like '${one.source}' occurred in last ${one.period / 1000}s`);
      }
    }
  }

  #write(level: Level, line: string): void {
    const { error, warn, info, debug } = this.#log;
    ({ error, warning: warn, info, debug: (text: string) => debug(() => text) })[level](line);
  }
}
