/**
 * JSON from an API server, read while it arrives: the lines of a watch and the items of a list. Memory is bounded by
 * the largest object, and the event loop is free between chunks, however long the whole is.
 */

/** Bytes that one object may have: etcd takes 1.5 MiB, and JSON is longer than what etcd keeps. */
export const maximumObject = 4 << 20;

/** What arrived is not what the API sends, or too large. */
export class StreamError extends Error {
  override readonly name = "StreamError";
}

/** An event of a watch, its object as it came. */
export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: unknown;
}

const eventTypes: ReadonlySet<unknown> = new Set(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]);

/**
 * The events of a watch, those of one chunk of bytes together. A last line that is cut off is left out: the server or
 * the way to it has gone, and the event comes again.
 *
 * @throws {StreamError} if a line is no event or longer than `limit` bytes, after the events before it.
 */
export async function* readWatch(
  body: AsyncIterable<Uint8Array>,
  limit = maximumObject,
): AsyncGenerator<readonly WatchEvent[]> {
  const pending = new Pending("an event", limit);
  for await (const bytes of body) {
    const chunk = asBuffer(bytes);
    const events: WatchEvent[] = [];
    let error: unknown;
    try {
      let start = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        const line = pending.take(chunk.subarray(start, end));
        start = end + 1;
        if (line.trim() !== "") events.push(parseEvent(line));
      }
      pending.add(chunk.subarray(start));
    } catch (caught) {
      error = caught;
    }
    if (events.length > 0) yield events;
    if (error !== undefined) throw error;
  }
}

function parseEvent(line: string): WatchEvent {
  const event = parseJson(line, "an event of the watch");
  if (typeof event === "object" && event !== null && "type" in event && "object" in event) {
    if (eventTypes.has(event.type)) return event as WatchEvent;
  }
  throw new StreamError(`The server sent ${quote(line)} as an event of the watch`);
}

/** Part of a list: items, and at the end, once, everything else. */
export type ListPart =
  | { readonly kind: "items"; readonly items: readonly unknown[] }
  /** The list without its items. */
  | { readonly kind: "end"; readonly list: unknown };

/** Bytes of a list outside its items. */
const maximumEnvelope = 1 << 20;
/** The list is an object, its items stand in an array. */
const itemsDepth = 2;

const quoteMark = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const comma = 0x2c;

/**
 * The items of a list, those of one chunk of bytes together, then the rest of it.
 *
 * @throws {StreamError} if it is no JSON, if it ends early, or if an item is longer than `limit` bytes.
 */
export async function* readList(body: AsyncIterable<Uint8Array>, limit = maximumObject): AsyncGenerator<ListPart> {
  const item = new Pending("an item of the list", limit);
  const envelope = new Pending("the list without its items", maximumEnvelope);
  let depth = 0;
  let inString = false;
  let escaped = false;
  let inItems = false;
  for await (const bytes of body) {
    const chunk = asBuffer(bytes);
    const items: unknown[] = [];
    /** Where the part of this chunk begins that has not been taken yet. */
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] ?? 0;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === quoteMark) inString = false;
      } else if (inItems && depth === itemsDepth) {
        start = i;
        if (byte === openBrace) depth++;
        else if (byte === closeBracket) depth--;
        else if (byte > 0x20 && byte !== comma)
          throw new StreamError("The server sent a list with an item that is no object");
        if (depth < itemsDepth) inItems = false;
      } else if (byte === quoteMark) {
        inString = true;
      } else if (byte === openBrace || byte === openBracket) {
        depth++;
        if (byte === openBracket && depth === itemsDepth) {
          envelope.add(chunk.subarray(start, i + 1));
          start = i + 1;
          inItems = envelope.endsWith(/"items"\s*:\s*\[$/);
        }
      } else if (byte === closeBrace || byte === closeBracket) {
        depth--;
        if (inItems && depth === itemsDepth) {
          items.push(parseJson(item.take(chunk.subarray(start, i + 1)), "an item of the list"));
          start = i + 1;
        }
      }
    }
    if (!inItems) envelope.add(chunk.subarray(start));
    else if (depth > itemsDepth) item.add(chunk.subarray(start));
    if (items.length > 0) yield { kind: "items", items };
  }
  if (depth !== 0) throw new StreamError("The server's list ended in the middle");
  yield { kind: "end", list: parseJson(envelope.take(Buffer.alloc(0)), "a list") };
}

/**
 * The whole of a body as text.
 *
 * @throws {StreamError} if it is longer than `limit` bytes.
 */
export async function readText(body: AsyncIterable<Uint8Array>, limit: number): Promise<string> {
  const pending = new Pending("an answer", limit);
  for await (const bytes of body) pending.add(asBuffer(bytes));
  return pending.take(Buffer.alloc(0));
}

/** The parts of something that arrives in several chunks. */
class Pending {
  readonly #what: string;
  readonly #limit: number;
  #parts: Buffer[] = [];
  #size = 0;

  constructor(what: string, limit: number) {
    this.#what = what;
    this.#limit = limit;
  }

  add(part: Buffer): void {
    this.#size += part.length;
    if (this.#size > this.#limit) {
      throw new StreamError(`The server sent ${this.#what} of more than ${this.#limit} bytes`);
    }
    if (part.length > 0) this.#parts.push(part);
  }

  /** Everything added and this last part, as text; then nothing is pending. */
  take(last: Buffer): string {
    this.add(last);
    const [first] = this.#parts;
    const whole = this.#parts.length > 1 ? Buffer.concat(this.#parts) : first;
    this.#parts = [];
    this.#size = 0;
    return whole === undefined ? "" : whole.toString("utf8");
  }

  endsWith(pattern: RegExp): boolean {
    let text = "";
    for (let i = this.#parts.length - 1; i >= 0 && text.length < 64; i--) {
      text = `${this.#parts[i]?.subarray(-64).toString("latin1")}${text}`;
    }
    return pattern.test(text);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Parses JSON.
 *
 * @throws {StreamError} that shows the beginning of what is not JSON.
 */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new StreamError(`The server sent ${quote(text)} as ${what}: that is no JSON`);
  }
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}
