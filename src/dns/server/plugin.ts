/** What a plugin is. */
import type { Stanza } from "../corefile/stanza.ts";
import { RCODE, rcodeName } from "../wire/codes.ts";
import type { Message } from "../wire/message.ts";
import type { ResourceRecord } from "../wire/record.ts";
import type { Query } from "./query.ts";
import type { Site } from "./site.ts";

/** A plugin as it stands in the table of plugins: it can be loaded. */
export interface PluginEntry {
  /** Its directive in the Corefile. */
  readonly name: string;
  readonly load: () => Promise<Plugin>;
}

/** A kind of plugin. */
export interface Plugin {
  /** Its directive in the Corefile. */
  readonly name: string;
  /**
   * Makes the handlers of one server block.
   *
   * @param stanzas all directives of this name in the block, in their order; at least one.
   * @returns what joins the chain at the plugin's place; nothing for plugins that only configure the server.
   * @throws {CorefileError} if a stanza is wrong.
   */
  setup(stanzas: readonly Stanza[], site: Site): Setup | Promise<Setup>;
}

/** What {@link Plugin.setup} gives. */
export type Setup = Handler | readonly Handler[] | undefined;

/** The answer to a query; undefined to send nothing at all. */
export type Reply = Message | undefined;

/**
 * A reply, now or later. Most queries are answered without waiting for anything; a promise costs them more than the
 * rest of the work of a plugin, so that handlers give plain replies where they can ({@link after}).
 */
export type Outcome = Reply | Promise<Reply>;

/** The rest of the chain. */
export type Next = (query: Query) => Outcome;

/** A plugin in the chain of one server block. */
export interface Handler {
  readonly name: string;
  /**
   * Answers the query, or passes it on with `next(query)`.
   *
   * @throws {ServeError} if it cannot be answered; the client gets the error's code.
   */
  serve(query: Query, next: Next): Outcome;
  /** For plugin ready: false as long as the handler cannot do its work. */
  ready?(): boolean;
  /** For plugin metadata: values that the handler has for a query, by `plugin/name`. */
  metadata?(query: Query): Iterable<readonly [string, () => string]>;
  /** For plugin autopath: the search path of the query's client; undefined if the client is not known. */
  searchPath?(query: Query): readonly string[] | undefined;
  /**
   * For plugin transfer: all records of a zone, SOA first and last; undefined if the handler does not have the zone.
   * With `serial` being the current one, the SOA alone.
   */
  transfer?(zone: string, serial: number): Iterable<ResourceRecord> | undefined;
}

/** A query that cannot be answered. */
export class ServeError extends Error {
  override name = "ServeError";
  readonly rcode: number;

  /** @param message begins with `plugin/name: `. */
  constructor(rcode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.rcode = rcode;
  }
}

/** The code that a client gets for something that was thrown. */
export function rcodeOf(error: unknown): number {
  return error instanceof ServeError ? error.rcode : RCODE.SERVFAIL;
}

/** Does something with a reply, now if it is there, otherwise when it comes. */
export function after<T>(outcome: Outcome, then: (reply: Reply) => T | Promise<T>): T | Promise<T> {
  return outcome instanceof Promise ? outcome.then(then) : then(outcome);
}

/** Links handlers: each gets the one after it as `next`. Past the last one is SERVFAIL. */
export function link(handlers: readonly Handler[]): Next {
  let next: Next = (query) => {
    const { plugin } = query.state;
    throw new ServeError(RCODE.SERVFAIL, `plugin/${plugin}: no next plugin found (${rcodeName(RCODE.SERVFAIL)})`);
  };
  for (const handler of handlers.toReversed()) {
    const rest = next;
    next = (query) => {
      const { state } = query;
      state.plugin = handler.name;
      state.path?.push({ plugin: handler.name, question: query.question });
      return handler.serve(query, rest);
    };
  }
  return next;
}

/** Which names a plugin passes on instead of saying NXDOMAIN: `fallthrough [ZONES...]`. */
export type Fallthrough = (name: string) => boolean;
