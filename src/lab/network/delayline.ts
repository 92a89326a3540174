/** A line on which things take their time. Pure; times in milliseconds. */

/** Most things that are on a line at a time, and most bytes of them: what comes then is lost, as in any queue. */
export const limits = { things: 10_000, bytes: 64 << 20 } as const;

/** Things in the order in which they come out. None overtakes another. */
export class DelayLine {
  readonly #delay: number;
  readonly #jitter: number;
  readonly #random: () => number;
  #waiting: { readonly thing: Uint8Array; readonly due: number }[] = [];
  #first = 0;
  #last = 0;
  #bytes = 0;

  /**
   * @param jitter by how much a delay may be more or less.
   * @param random numbers from 0 up to 1.
   */
  constructor(delay: number, jitter: number, random: () => number) {
    this.#delay = delay;
    this.#jitter = jitter;
    this.#random = random;
  }

  /** Something goes in. @returns false if there is no room for it. */
  push(thing: Uint8Array, now: number): boolean {
    if (this.size >= limits.things || this.#bytes + thing.length > limits.bytes) return false;
    const due = now + Math.max(0, this.#delay + (this.#random() * 2 - 1) * this.#jitter);
    this.#last = Math.max(this.#last, due);
    this.#waiting.push({ thing, due: this.#last });
    this.#bytes += thing.length;
    return true;
  }

  /** What comes out next if its time has come, or undefined. */
  take(now: number): Uint8Array | undefined {
    const next = this.#waiting[this.#first];
    if (next === undefined || next.due > now) return undefined;
    this.#first++;
    this.#bytes -= next.thing.length;
    if (this.#first > 256 && this.#first * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    return next.thing;
  }

  /** When the next thing comes out; undefined if the line is empty. */
  get next(): number | undefined {
    return this.#waiting[this.#first]?.due;
  }

  /** How many things are on the line. */
  get size(): number {
    return this.#waiting.length - this.#first;
  }
}
