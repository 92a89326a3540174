/** Kept replies. */
import type { Message } from "../../wire/message.ts";
import type { ResourceRecord } from "../../wire/record.ts";

/** A reply that is kept. */
export class Entry {
  readonly reply: Message;
  /** Milliseconds since the epoch. */
  readonly stored: number;
  /** Seconds. */
  readonly ttl: number;
  /** Uses without a pause longer than plugin cache's `prefetch` allows, for that option. */
  uses = 0;
  lastUse = 0;
  refreshing = false;
  /** No attempt to refresh it before this time, milliseconds since the epoch. */
  refreshAfter = 0;
  /** The reply with a TTL put in, for the queries of one second. */
  #made: { readonly ttl: number; readonly reply: Message } | undefined;

  constructor(reply: Message, stored: number, ttl: number) {
    this.reply = reply;
    this.stored = stored;
    this.ttl = ttl;
  }

  /** How many records it has. */
  get records(): number {
    const { answer, authority, additional } = this.reply;
    return answer.length + authority.length + additional.length;
  }

  /** Whole seconds that it is still good for; 0 or below once it is not. */
  left(now: number): number {
    return Math.ceil(this.ttl - (now - this.stored) / 1000);
  }

  /** The reply with this TTL in all records. */
  withTtl(ttl: number): Message {
    if (this.#made?.ttl !== ttl) this.#made = { ttl, reply: setTtl(this.reply, ttl) };
    return this.#made.reply;
  }

  /** Counts a use. */
  use(now: number, longestPause: number): void {
    this.uses = now - this.lastUse > longestPause ? 1 : this.uses + 1;
    this.lastUse = now;
  }
}

/** A reply with this TTL in all records. */
export function setTtl(reply: Message, ttl: number): Message {
  const change = (records: readonly ResourceRecord[]) => records.map((record) => ({ ...record, ttl }));
  return {
    ...reply,
    answer: change(reply.answer),
    authority: change(reply.authority),
    additional: change(reply.additional),
  };
}

/** Records of all entries together, for each entry that there may be: a server elsewhere chooses how many come. */
const recordsPerEntry = 8;

/** A bounded number of entries and records by key; when it is full, the oldest entries go. */
export class Store {
  readonly #entries = new Map<string, Entry>();
  #records = 0;
  readonly #capacity: number;
  readonly #onEviction: () => void;

  constructor(capacity: number, onEviction: () => void) {
    this.#capacity = capacity;
    this.#onEviction = onEviction;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  set(key: string, entry: Entry): void {
    // A key that is set again becomes the youngest.
    this.delete(key);
    this.#entries.set(key, entry);
    this.#records += entry.records;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#capacity && this.#records <= this.#capacity * recordsPerEntry) break;
      this.delete(oldest);
      this.#onEviction();
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#records -= entry.records;
    this.#entries.delete(key);
  }
}
