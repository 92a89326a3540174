/** What happened to the objects of one kind, remembered for a while, so that watchers can go on where they stopped. */
import type { ApiObject } from "../json.ts";

/** One change. `object` carries the resource version of the change, also where it was deleted. */
export interface Change {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly version: number;
  readonly object: ApiObject;
  /** What the object was before; undefined for added ones. */
  readonly previous: ApiObject | undefined;
}

/** How much a log remembers: changes, and bytes of the JSON text of their objects. */
export interface LogLimits {
  readonly changes: number;
  readonly bytes: number;
}

/** The last changes of a kind, oldest first, within limits. */
export class ChangeLog {
  readonly #limits: LogLimits;
  #entries: { readonly change: Change; readonly size: number }[] = [];
  /** Where the remembered entries begin; those before are forgotten, and removed in batches. */
  #first = 0;
  #bytes = 0;
  #start: number;

  /** `since` is the resource version from which on the log knows every change. */
  constructor(since: number, limits: LogLimits) {
    this.#start = since;
    this.#limits = limits;
  }

  /** The log knows every change after this resource version. */
  get start(): number {
    return this.#start;
  }

  /** Appends a change whose object has so many bytes, and forgets the oldest beyond the limits. */
  push(change: Change, size: number): void {
    this.#entries.push({ change, size });
    this.#bytes += size;
    while (this.#entries.length - this.#first > this.#limits.changes || this.#bytes > this.#limits.bytes) {
      const oldest = this.#entries[this.#first];
      if (oldest === undefined) break;
      this.#first++;
      this.#bytes -= oldest.size;
      this.#start = oldest.change.version;
    }
    if (this.#first > 256 && this.#first * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
  }

  /** Up to `count` changes after a resource version, or undefined if some of them are forgotten. */
  after(version: number, count: number): readonly Change[] | undefined {
    if (version < this.#start) return undefined;
    let low = this.#first;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#entries[middle]?.change.version ?? 0) <= version) low = middle + 1;
      else high = middle;
    }
    return this.#entries.slice(low, Math.min(this.#entries.length, low + count)).map(({ change }) => change);
  }
}
