/** What a rule of plugin rewrite is. */
import type { Query } from "../../server/query.ts";
import type { Message } from "../../wire/message.ts";

/** What a rule has done to a query. */
export interface Rewritten {
  readonly query: Query;
  /** Undoes it in the reply, or changes the reply as the rule wants; may have to ask somebody. */
  readonly reply?: (reply: Message) => Message | Promise<Message>;
}

/** A rule. */
export interface Rule {
  /** What is done if the rule matches: the rules after it are looked at too, or not. */
  readonly then: "continue" | "stop";
  /** The rewritten query; undefined if the rule does not match. */
  apply(query: Query): Rewritten | undefined;
}
