/** From the bytes of a query to the bytes of its reply: the rules of the server around its plugins. */
import { CLASS, OPCODE, RCODE, rcodeName, TYPE } from "../wire/codes.ts";
import { decodeBody, encodeMessage, FLAG, HEADER_SIZE, type Message, readHeader } from "../wire/message.ts";
import { Reader, WireError } from "../wire/reader.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { Writer } from "../wire/writer.ts";
import { type DnsLog, messageOf } from "./log.ts";
import { type Next, type Outcome, type Reply, rcodeOf, ServeError } from "./plugin.ts";
import { type Client, Query } from "./query.ts";
import { errorReply, reply, withEdns } from "./reply.ts";
import type { RequestMetrics } from "./requestmetrics.ts";
import type { Site } from "./site.ts";
import { ZoneTable } from "./zonetable.ts";

/** A server block at one listen address. */
export interface Served {
  readonly site: Site;
  readonly next: Next;
}

/**
 * Takes a reply away: called once for each message, with undefined if there is nothing to send; for a zone transfer
 * several times, with `more` for all but the last part. The bytes are a view that is valid only during the call. After
 * a part it may give a promise of when the next one is welcome, which is rejected if none is any more.
 */
export type Send = (bytes: Uint8Array | undefined, more?: boolean) => Promise<void> | void;

/** How often a query may make the server ask itself. */
const maxDepth = 8;

const writer = new Writer();

/** Serves the zones of one listen address. */
export class Dispatcher {
  readonly #zones: ZoneTable;
  readonly #metrics: RequestMetrics;
  readonly #address: string;
  readonly #log: DnsLog;

  /** @param zones the blocks of each zone, in the order of the file; several if they have views. */
  constructor(address: string, zones: ReadonlyMap<string, readonly Served[]>, metrics: RequestMetrics, log: DnsLog) {
    this.#log = log;
    this.#address = address;
    this.#zones = new ZoneTable(zones);
    this.#metrics = metrics;
  }

  /**
   * Answers one message from a client, at once or later; junk and responses are not answered. It does not throw.
   */
  handle(bytes: Uint8Array, client: Client, send: Send): void {
    const message = readQuery(bytes);
    if (message === undefined) {
      send(undefined);
      return;
    }
    if (typeof message === "number") {
      this.#log.debug(() => `a message from ${client.address} is answered ${rcodeName(message)}`);
      send(bareReply(bytes, message));
      return;
    }
    const query = new Query(message, client);
    const outcome = this.serve(query);
    if (outcome instanceof Promise) outcome.then((answer) => this.#finish(query, answer, send));
    else this.#finish(query, outcome, send);
  }

  /** Answers a query. It neither throws nor rejects: what goes wrong becomes an error code. */
  serve(query: Query): Outcome {
    try {
      const outcome = this.#route(query);
      return outcome instanceof Promise ? outcome.catch((error: unknown) => this.#failed(query, error)) : outcome;
    } catch (error) {
      return this.#failed(query, error);
    }
  }

  /** Answers a query that the server asks itself, on behalf of another one. */
  async ask(query: Query): Promise<Reply> {
    const inner = new Query(query.message, query.client);
    inner.state.depth = query.state.depth + 1;
    if (inner.state.depth > maxDepth) throw new ServeError(RCODE.SERVFAIL, "the server asks itself without end");
    const answer = await this.serve(inner);
    for (const sent of inner.state.onSent) sent(answer, 0);
    return answer;
  }

  #route(query: Query): Outcome {
    const { edns } = query.message;
    if (edns !== undefined && edns.version !== 0) {
      return reply(query.message, { rcode: RCODE.BADVERS, aa: false });
    }
    const served = this.#find(query);
    if (served === undefined || (query.question.class !== CLASS.IN && !served.site.settings.anyClass)) {
      this.#dropped(query, RCODE.REFUSED);
      return errorReply(query.message, RCODE.REFUSED);
    }
    return served.next(query);
  }

  /** The block of the longest zone that the name is in; for DS records the one above it, if there is one. */
  #find(query: Query): Served | undefined {
    const { name } = query;
    let own: Served | undefined;
    for (const { zone, blocks } of this.#zones.covering(name)) {
      const served = blocks.find(({ site }) => site.settings.views.every((view) => view(query)));
      if (served === undefined) continue;
      query.state.zone = zone;
      if (query.type !== TYPE.DS || zone !== name) return served;
      own = served;
    }
    if (own !== undefined) query.state.zone = name;
    return own;
  }

  #failed(query: Query, error: unknown): Message {
    const rcode = rcodeOf(error);
    if (!(error instanceof ServeError)) {
      this.#metrics.panics.add(1);
      this.#log.error(`a fault of this program: ${error instanceof Error ? error.stack : String(error)}`);
    }
    return errorReply(query.message, rcode);
  }

  #finish(query: Query, answer: Reply, send: Send): void {
    if (answer === undefined) {
      send(undefined);
      tellSent(query, undefined, 0);
      return;
    }
    const sent = withEdns(query.message, answer);
    const { records } = query.state;
    if (records !== undefined && sent.rcode === RCODE.NOERROR) {
      const encode = (part: Message) => this.#encode(query, part);
      void sendZone(sent, records, encode, send).then((size) => tellSent(query, sent, size));
      return;
    }
    const bytes = this.#encode(query, sent);
    send(bytes);
    tellSent(query, sent, bytes.length);
  }

  /** The reply's bytes; if a plugin made something that cannot be written, SERVFAIL. */
  #encode(query: Query, message: Message): Buffer {
    try {
      return encodeMessage(writer, message, query.size);
    } catch (error) {
      this.#log.error(`a reply for ${query.name} cannot be encoded: ${messageOf(error)}`);
      return encodeMessage(writer, { ...errorReply(query.message, RCODE.SERVFAIL), edns: undefined }, query.size);
    }
  }

  #dropped(query: Query, rcode: number): void {
    this.#metrics.dropped(this.#address, query, rcode);
  }
}

/** The message, if it is a query; the code that it is refused with; or undefined for what is not answered at all. */
function readQuery(bytes: Uint8Array): Message | number | undefined {
  if (bytes.length < HEADER_SIZE) return undefined;
  const reader = new Reader(bytes);
  const header = readHeader(reader);
  if (header.bits & FLAG.QR) return undefined;
  const opcode = (header.bits >> 11) & 15;
  if (opcode !== OPCODE.QUERY && opcode !== OPCODE.NOTIFY) return RCODE.NOTIMP;
  const [questions, answers, authorities, additionals] = header.counts;
  // One question; a SOA in the answer (NOTIFY) or authority section (IXFR); OPT and TSIG.
  if (questions !== 1 || answers > 1 || authorities > 1 || additionals > 2) return RCODE.FORMERR;
  try {
    return decodeBody(reader, header);
  } catch (error) {
    if (error instanceof WireError) return RCODE.FORMERR;
    throw error;
  }
}

function tellSent(query: Query, answer: Reply, size: number): void {
  for (const tell of query.state.onSent) tell(answer, size);
}

/** Records that are tried to fit into one message of a zone transfer. */
const batch = 500;

/**
 * Sends the records of a zone in as many messages as they need, no faster than the client takes them.
 *
 * @returns the bytes sent.
 */
async function sendZone(
  message: Message,
  records: Iterable<ResourceRecord>,
  encode: (message: Message) => Buffer,
  send: Send,
): Promise<number> {
  const rest = records[Symbol.iterator]();
  let answer: ResourceRecord[] = [];
  let size = 0;
  try {
    for (let ended = false; ; ) {
      while (!ended && answer.length < batch) {
        const next = rest.next();
        if (next.done) ended = true;
        else answer.push(next.value);
      }
      const bytes = encode({ ...message, answer });
      const written = bytes.readUInt16BE(6);
      answer = answer.slice(written);
      // What is left over comes in the next message, unless there is a record that fits into none.
      const more = written > 0 && (!ended || answer.length > 0);
      if (more) bytes.writeUInt16BE(bytes.readUInt16BE(2) & ~FLAG.TC, 2);
      size += bytes.length;
      const welcome = send(bytes, more);
      if (!more) return size;
      await welcome;
    }
  } catch {
    send(undefined);
    return size;
  }
}

/** A header without question: the id, opcode and RD of the query, and a code. */
function bareReply(query: Uint8Array, rcode: number): Uint8Array {
  const header = new Uint8Array(HEADER_SIZE);
  header.set(query.subarray(0, 2));
  header[2] = 0x80 | ((query[2] ?? 0) & 0x79);
  header[3] = rcode;
  return header;
}
