/** Look-ups in sets and maps as the kernel makes them: exact keys, intervals, intervals of concatenations, catch-all. */
import { type Element, keyParts, type NftSet } from "../../kernel/nftables/index.ts";
import { compareBytes } from "../../net/address.ts";
import type { Bytes } from "./packet.ts";
import { equals, isKnown } from "./registers.ts";

/** A set with its elements. */
export type FullSet = NftSet & { readonly elements: readonly Element[] };

/** What a look-up finds: exactly one element or none, or, where the key is not all known, what it may find. */
export type Found =
  | { readonly kind: "element"; readonly element: Element }
  | { readonly kind: "none" }
  | { readonly kind: "depends"; readonly candidates: readonly Element[] };

/** A set prepared for look-ups. */
export class SetIndex {
  readonly set: FullSet;
  readonly #exact: Element[] = [];
  /** {@link #exact} by key: made once a set is asked often, since for a few questions looking at all is faster. */
  #byKey: Map<string, Element> | undefined;
  #questions = 0;
  readonly #starts: Element[] = [];
  readonly #ranges: Element[] = [];
  #catchAll: Element | undefined;
  readonly #parts: ReturnType<typeof keyParts>;

  constructor(set: FullSet) {
    this.set = set;
    this.#parts = keyParts(set.key);
    const intervals = set.flags?.includes("interval") === true;
    const concatenated = intervals && (set.flags?.includes("concat") === true || this.#parts.length > 1);
    for (const element of set.elements) {
      if (element.catchAll === true) this.#catchAll = element;
      else if (element.keyEnd !== undefined || concatenated) this.#ranges.push(element);
      else if (intervals) this.#starts.push(element);
      else this.#exact.push(element);
    }
    // Where a range ends, another may begin: the beginning counts.
    this.#starts.sort(
      (a, b) => compareBytes(a.key, b.key) || Number(b.intervalEnd ?? false) - Number(a.intervalEnd ?? false),
    );
  }

  /** Looks a key up. */
  find(key: Bytes): Found {
    if (!isKnown(key)) return this.#maybe(key);
    const element =
      this.#exactly(key.data) ??
      this.#interval(key.data) ??
      this.#ranges.find((range) => this.#within(key, range) === true) ??
      this.#catchAll;
    return element === undefined ? { kind: "none" } : { kind: "element", element };
  }

  #exactly(key: Uint8Array): Element | undefined {
    this.#questions++;
    if (this.#byKey === undefined && this.#questions > fewQuestions) {
      this.#byKey = new Map(this.#exact.map((element) => [text(element.key), element]));
    }
    if (this.#byKey !== undefined) return this.#byKey.get(text(key));
    return this.#exact.find((element) => element.key.length === key.length && compareBytes(element.key, key) === 0);
  }

  #interval(key: Uint8Array): Element | undefined {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const start = this.#starts[middle];
      if (start !== undefined && compareBytes(start.key, key) <= 0) low = middle + 1;
      else high = middle;
    }
    const last = this.#starts[low - 1];
    return last === undefined || last.intervalEnd === true ? undefined : last;
  }

  /** Elements that agree with what is known of the key. */
  #maybe(key: Bytes): Found {
    const candidates = [
      ...this.#exact.filter((element) => equals(key, element.key) !== false),
      ...this.#starts.filter((start) => start.intervalEnd !== true),
      ...this.#ranges.filter((range) => this.#within(key, range) !== false),
      ...(this.#catchAll === undefined ? [] : [this.#catchAll]),
    ];
    return candidates.length === 0 ? { kind: "none" } : { kind: "depends", candidates };
  }

  /** Whether each part of a key lies in its range; undefined if that depends. */
  #within(key: Bytes, { key: from, keyEnd: to = from }: Element): boolean | undefined {
    let certain = true;
    for (const { offset, length } of this.#parts) {
      const end = offset + length;
      const part = { data: key.data.subarray(offset, end), known: key.known.subarray(offset, end) };
      if (!isKnown(part)) {
        certain = false;
        continue;
      }
      if (compareBytes(part.data, from.subarray(offset, end)) < 0) return false;
      if (compareBytes(part.data, to.subarray(offset, end)) > 0) return false;
    }
    return certain ? true : undefined;
  }
}

/** Questions for which a set is not sorted by key yet. */
const fewQuestions = 3;

/** A key as text, a character for each byte. */
function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
