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

/** The last changes of a kind, oldest first, at most `limit` of them. */
export class ChangeLog {
  readonly #limit: number;
  #changes: Change[] = [];
  #start: number;

  /** `since` is the resource version from which on the log knows every change. */
  constructor(since: number, limit: number) {
    this.#start = since;
    this.#limit = limit;
  }

  /** The log knows every change after this resource version. */
  get start(): number {
    return this.#start;
  }

  /** Appends a change. The oldest are forgotten in batches, so that this costs little on average. */
  push(change: Change): void {
    this.#changes.push(change);
    if (this.#changes.length < 2 * this.#limit) return;
    const forgotten = this.#changes.length - this.#limit;
    this.#start = this.#changes[forgotten - 1]?.version ?? this.#start;
    this.#changes = this.#changes.slice(forgotten);
  }

  /** Up to `count` changes after a resource version, or undefined if some of them are forgotten. */
  after(version: number, count: number): readonly Change[] | undefined {
    if (version < this.#start) return undefined;
    let low = 0;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#changes[middle]?.version ?? 0) <= version) low = middle + 1;
      else high = middle;
    }
    return this.#changes.slice(low, low + count);
  }
}
