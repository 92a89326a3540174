/** Asking other servers. */

/** A way to ask one server. */
export interface Exchange {
  /**
   * Sends a message and waits for the one with the same id that comes back.
   *
   * @param query a whole message; its id must be hard to guess.
   * @param timeout milliseconds for everything, connecting included.
   * @throws if the server cannot be reached, or does not answer in time.
   */
  ask(query: Uint8Array, timeout: number): Promise<Uint8Array>;
  /** Ends idle connections; later ones end by themselves. */
  close(): void;
}

/** Told when a connection was found idle (true) or had to be opened (false). */
export type OnConnection = (reused: boolean) => void;

/** Things that are used by one at a time, and kept for a while in between. */
export class IdlePool<T> {
  readonly #idle: { readonly item: T; readonly timer: NodeJS.Timeout }[] = [];
  readonly #destroy: (item: T) => void;
  readonly #keepFor: number;
  readonly #max: number;

  /** @param limits how long idle ones are kept, in milliseconds, and how many. */
  constructor(destroy: (item: T) => void, limits = { keepFor: 10_000, max: 256 }) {
    this.#destroy = destroy;
    this.#keepFor = limits.keepFor;
    this.#max = limits.max;
  }

  /** The one that was used last. */
  take(): T | undefined {
    const entry = this.#idle.pop();
    if (entry === undefined) return undefined;
    clearTimeout(entry.timer);
    return entry.item;
  }

  give(item: T): void {
    if (this.#idle.length >= this.#max) {
      this.#destroy(item);
      return;
    }
    const timer = setTimeout(() => this.drop(item), this.#keepFor);
    timer.unref();
    this.#idle.push({ item, timer });
  }

  /** Destroys an idle one. */
  drop(item: T): void {
    const index = this.#idle.findIndex((entry) => entry.item === item);
    if (index < 0) return;
    clearTimeout(this.#idle[index]?.timer);
    this.#idle.splice(index, 1);
    this.#destroy(item);
  }

  clear(): void {
    for (let item = this.take(); item !== undefined; item = this.take()) this.#destroy(item);
  }
}
