/** Why a name is answered as it is: the names that a resolver goes through, and for each the way through the plugins. */
import type { Dispatcher } from "./server/dispatch.ts";
import type { Instance } from "./server/instance.ts";
import { formatListen } from "./server/listeners/listener.ts";
import { type Client, Query } from "./server/query.ts";
import { RCODE, rcodeName, TYPE, typeName } from "./wire/codes.ts";
import { makeQuery } from "./wire/message.ts";
import { countLabels, parseName } from "./wire/names.ts";
import { formatRecord } from "./wire/record.ts";

/** How a client's resolver makes names of what a program asks for (resolv.conf(5)). */
export interface Resolver {
  /** Domains, absolute. */
  readonly search: readonly string[];
  /** A name with so many dots is asked for as it is first. */
  readonly ndots: number;
}

/** What a client asks, and who it is. */
export interface ExplainQuestion {
  /** As a program gives it to its resolver: with a final dot no search path counts. */
  readonly name: string;
  /** Undefined: A and AAAA, as most programs ask. */
  readonly type: number | undefined;
  readonly client: Client;
  readonly resolver: Resolver;
}

/** One query that the client's resolver sends. */
export interface Step {
  readonly name: string;
  readonly type: string;
  /** The listen address and zone of the server block; undefined if none is for the name. */
  readonly server: string;
  readonly zone: string;
  readonly plugins: readonly Passage[];
  /** `NOERROR`, `NXDOMAIN`, ...; `dropped` if there is no reply. */
  readonly code: string;
  readonly answer: readonly string[];
}

/** What a plugin did. */
export interface Passage {
  readonly plugin: string;
  readonly action: "passed on" | "asked for something else" | "answered" | "failed";
  /** What it asked for instead. */
  readonly instead?: string;
}

/** The whole story. */
export interface Explanation {
  readonly steps: readonly Step[];
  /** Queries until the answer, and how many of them would have been enough. */
  readonly queries: number;
  readonly needed: number;
  /** What to do about it, if there is something. */
  readonly advice: string | undefined;
}

/** Names in the order in which a resolver asks for them. */
export function namesOf(name: string, { search, ndots }: Resolver): readonly string[] {
  if (name.endsWith(".")) return [name];
  const absolute = `${name}.`;
  const searched = search.map((domain) => parseName(name, domain));
  return countLabels(absolute) - 1 >= ndots ? [absolute, ...searched] : [...searched, absolute];
}

/** Asks an instance that is started, as the client would, and says what happens. */
export async function explain(instance: Instance, question: ExplainQuestion): Promise<Explanation> {
  const types = question.type === undefined ? [TYPE.A, TYPE.AAAA] : [question.type];
  const steps: Step[] = [];
  let needed = 0;
  for (const name of namesOf(question.name, question.resolver)) {
    const round = await Promise.all(types.map((type) => ask(instance, name, type, question.client)));
    steps.push(...round);
    if (round.some(({ answer }) => answer.length > 0)) {
      needed = types.length;
      break;
    }
  }
  return { steps, queries: steps.length, needed, advice: adviceOn(steps, needed) };
}

/** What to do about queries that were not needed, or failed. */
function adviceOn(steps: readonly Step[], needed: number): string | undefined {
  const count = steps.length;
  // Where the name was found, a type that failed there is no reason to look elsewhere.
  const failed = steps.slice(0, count - needed).filter(({ code }) => code !== "NOERROR" && code !== "NXDOMAIN").length;
  if (failed > 0) return `${failed} of ${count} queries were not answered: plugin errors logs why, debug says more.`;
  const last = steps.at(-1);
  const wasted = count - needed;
  if (needed === 0 || wasted === 0 || last === undefined) return undefined;
  return `${wasted} of ${count} queries are for names of the search path that do not exist: ask for "${last.name}" with its final dot, give the pod a smaller ndots in its dnsConfig, or load plugin autopath.`;
}

async function ask(instance: Instance, name: string, type: number, client: Client): Promise<Step> {
  const query = new Query(makeQuery(0, name, type), client);
  query.state.path = [];
  const found = listenerFor(instance, client);
  const reply = await found?.dispatcher.serve(query);
  const visits = query.state.path;
  const plugins = visits.map(({ plugin, question }, i): Passage => {
    const next = visits[i + 1];
    if (next === undefined) return { plugin, action: reply?.rcode === RCODE.SERVFAIL ? "failed" : "answered" };
    if (next.question.name === question.name && next.question.type === question.type)
      return { plugin, action: "passed on" };
    return {
      plugin,
      action: "asked for something else",
      instead: `${next.question.name} ${typeName(next.question.type)}`,
    };
  });
  return {
    name,
    type: typeName(type),
    server: found?.address ?? "",
    zone: visits.length === 0 ? "" : query.state.zone,
    plugins,
    code: reply === undefined ? "dropped" : rcodeName(reply.rcode),
    answer: reply?.answer.map((record) => formatRecord(record).replaceAll("\t", " ")) ?? [],
  };
}

/** The first plain listener on the client's port; any plain one if there is none. */
function listenerFor(instance: Instance, client: Client): { dispatcher: Dispatcher; address: string } | undefined {
  const plain = instance.wanted.filter(({ transport }) => transport === "dns");
  const wanted = plain.find(({ port }) => port === client.localPort) ?? plain[0];
  return wanted && { dispatcher: wanted.dispatcher, address: formatListen(wanted) };
}

/** The story as text, a paragraph for each query. */
export function formatExplanation({ steps, queries, advice }: Explanation): string {
  const paragraphs = steps.map(({ name, type, server, zone, plugins, code, answer }) => {
    const where = zone === "" ? `no server block of ${server} is for it` : `server block ${zone} of ${server}`;
    const width = Math.max(0, ...plugins.map(({ plugin }) => plugin.length));
    const lines = plugins.map(({ plugin, action, instead }) => {
      const detail = instead === undefined ? "" : `: ${instead}`;
      return `  ${plugin.padEnd(width)}  ${action}${detail}`;
    });
    return [`${name} ${type}: ${code}`, `  ${where}`, ...lines, ...answer.map((record) => `  = ${record}`)].join("\n");
  });
  const sum = `${queries} ${queries === 1 ? "query" : "queries"}`;
  return `${[...paragraphs, advice === undefined ? sum : `${sum}. ${advice}`].join("\n\n")}\n`;
}
