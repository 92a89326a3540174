/** What the mode has put into the sets and maps of a family, and how a change of decisions changes that. */
import type { Decision, DecisionKey } from "../../../service/decision.ts";
import { type Element, elementsOf, identityOf, isShared } from "./elements.ts";
import { type Placement, PoolNumbers, place } from "./pools.ts";

/** Elements to remove and to add, to be done in this order and at once. */
export interface Edits {
  readonly deletes: readonly Element[];
  readonly adds: readonly Element[];
}

/** Pools that a decision had before it was placed here. */
export type Former = Pick<Placement, "cluster" | "local">;

const nothing: Former = {};

/** The placements of all decisions of a family. */
export class TableState {
  readonly numbers = new PoolNumbers();
  readonly #placements = new Map<DecisionKey, Placement>();
  /** How many times each element of a shared set is wanted. */
  readonly #users = new Map<string, number>();

  /** The affinity timeouts in use, in seconds. */
  affinities(): ReadonlySet<number> {
    const seconds = new Set<number>();
    for (const { decision } of this.#placements.values()) seconds.add(decision.affinitySeconds);
    seconds.delete(0);
    return seconds;
  }

  /** Every element there should be, each once. */
  elements(): readonly Element[] {
    const elements: Element[] = [];
    const seen = new Set<string>();
    for (const placement of this.#placements.values()) {
      for (const element of elementsOf(placement)) {
        if (isShared(element.set) && seen.size === seen.add(identityOf(element)).size) continue;
        elements.push(element);
      }
    }
    return elements;
  }

  /**
   * Places changed decisions; undefined removes.
   *
   * @param former pools to go on from, for decisions that are new here.
   */
  change(
    changes: Iterable<readonly [DecisionKey, Decision | undefined]>,
    former: (key: DecisionKey) => Former = () => nothing,
  ): Edits {
    const before: Element[] = [];
    const after: Element[] = [];
    for (const [key, decision] of changes) {
      const old = this.#placements.get(key);
      if (old !== undefined) before.push(...elementsOf(old));
      if (decision === undefined) {
        this.#placements.delete(key);
        for (const pool of [old?.cluster, old?.local]) if (pool !== undefined) this.numbers.release(pool.number);
        continue;
      }
      const placement = place(decision, old ?? former(key), this.numbers);
      this.#placements.set(key, placement);
      after.push(...elementsOf(placement));
    }
    return difference(this.#unshare(before, -1), this.#unshare(after, 1));
  }

  /** Counts the users of shared elements; what is left is what this change adds (`by` 1) or removes (-1). */
  #unshare(elements: readonly Element[], by: 1 | -1): readonly Element[] {
    return elements.filter((element) => {
      if (!isShared(element.set)) return true;
      const key = identityOf(element);
      const users = (this.#users.get(key) ?? 0) + by;
      if (users === 0) this.#users.delete(key);
      else this.#users.set(key, users);
      return by === 1 ? users === 1 : users === 0;
    });
  }
}

/** The edits that lead from one list of elements to another. Elements with the same key and data stay as they are. */
export function difference(before: readonly Element[], after: readonly Element[]): Edits {
  const reconciler = new Reconciler(before);
  const { deletes, adds } = reconciler.want(after);
  return { deletes: [...deletes, ...reconciler.unwanted()], adds };
}

/** Compares what is there with what should be, part by part, because a first load has 100,000s of elements. */
export class Reconciler {
  readonly #present: Map<string, Element>;

  constructor(present: readonly Element[]) {
    this.#present = new Map(present.map((element) => [identityOf(element), element]));
  }

  /** The edits for a part of what should be. */
  want(elements: readonly Element[]): Edits {
    const deletes: Element[] = [];
    const adds = elements.filter((element) => {
      const identity = identityOf(element);
      const old = this.#present.get(identity);
      if (old === undefined) return true;
      this.#present.delete(identity);
      if (old.data === element.data && old.end === element.end) return false;
      deletes.push(old);
      return true;
    });
    return { deletes, adds };
  }

  /** What is there, and was not wanted so far. */
  unwanted(): readonly Element[] {
    return [...this.#present.values()];
  }
}
