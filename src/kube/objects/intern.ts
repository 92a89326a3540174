/** One copy of values that many objects repeat: names of nodes, zones, namespaces and services, lists of ports. */

/** Values kept by one interner; far above the names of a large cluster. */
const capacity = 65_536;

/**
 * Keeps one copy of each value by its key. Bounded: a full interner starts anew, which costs memory (copies made before
 * and after are two), never correctness.
 */
export class Interner<T> {
  readonly #values = new Map<string, T>();

  /** The copy kept under the key, else the one that `make` makes. */
  get(key: string, make: () => T): T {
    const kept = this.#values.get(key);
    if (kept !== undefined) return kept;
    if (this.#values.size >= capacity) this.#values.clear();
    const value = make();
    this.#values.set(key, value);
    return value;
  }
}

const strings = new Interner<string>();

/** The one copy of a string. */
export function intern(text: string): string {
  return strings.get(text, () => text);
}
