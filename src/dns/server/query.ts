/** A query on its way through the plugins. */

import type { Family } from "../../net/address.ts";
import { HEADER_SIZE, type Message, type Question } from "../wire/message.ts";
import type { ResourceRecord } from "../wire/record.ts";

/** How a query came in. */
export type Protocol = "udp" | "tcp" | "tls" | "https" | "grpc";

/** Who asks, and how. */
export interface Client {
  readonly protocol: Protocol;
  readonly family: Family;
  /** IPv4 addresses in dotted form, also those that came in as `::ffff:192.0.2.1`. */
  readonly address: string;
  readonly port: number;
  /** The address and port at which the query arrived; the address may be unspecified where that is not known. */
  readonly localAddress: string;
  readonly localPort: number;
}

/** A plugin that a query came to, and what was asked when it came. */
export interface Visit {
  readonly plugin: string;
  readonly question: Question;
}

/** What happens to one query beside its messages; shared by all rewritten forms of it. */
export class QueryState {
  /** The name of the plugin that was entered last: the one that answers. */
  plugin = "";
  /** The zone of the server block that the query was given to. */
  zone = ".";
  /** Values from plugins for other plugins, such as `kubernetes/namespace`; undefined unless plugin metadata is loaded. */
  metadata: Map<string, () => string> | undefined;
  /** The plugins that were entered, in order; undefined unless somebody wants to know. */
  path: Visit[] | undefined;
  /** The largest reply over UDP that the server wants to send, in bytes (at most 4096), whatever the client takes. */
  udpSize = 4096;
  /** Of a zone transfer: the records that the answer section of the reply is to have, in as many messages as they need. */
  records: Iterable<ResourceRecord> | undefined;
  /** How often the server has asked itself on behalf of this query. */
  depth = 0;
  /** Called when the reply is on its way, with it (undefined if the query was dropped) and its size in bytes. */
  readonly onSent: ((reply: Message | undefined, size: number) => void)[] = [];
}

/** A query. Plugins that change it pass on a changed copy ({@link Query.with}). */
export class Query {
  readonly message: Message;
  readonly client: Client;
  readonly state: QueryState;
  readonly question: Question;
  #name: string | undefined;

  constructor(message: Message, client: Client, state = new QueryState()) {
    const [question] = message.questions;
    if (question === undefined) throw new TypeError("a query has no question");
    this.message = message;
    this.client = client;
    this.state = state;
    this.question = question;
  }

  /** The name asked for, in lower case. */
  get name(): string {
    this.#name ??= this.question.name.toLowerCase();
    return this.#name;
  }

  /** The type asked for. */
  get type(): number {
    return this.question.type;
  }

  /** True if the client wants DNSSEC records. */
  get dnssec(): boolean {
    return this.message.edns?.do ?? false;
  }

  /** The size of the query itself, in bytes. */
  get length(): number {
    const { questions, edns } = this.message;
    const asked = questions.reduce((sum, { name }) => sum + (name === "." ? 1 : name.length + 1) + 4, HEADER_SIZE);
    return asked + (edns === undefined ? 0 : edns.options.reduce((sum, { data }) => sum + 4 + data.length, 11));
  }

  /** The largest reply that the client takes, in bytes. */
  get size(): number {
    if (this.client.protocol !== "udp") return 65535;
    return Math.min(this.state.udpSize, Math.max(512, this.message.edns?.udpSize ?? 512));
  }

  /** The same query with another message. */
  with(message: Message): Query {
    return new Query(message, this.client, this.state);
  }

  /** The same query with another question. */
  ask(question: Partial<Question>): Query {
    return this.with({ ...this.message, questions: [{ ...this.question, ...question }] });
  }
}
