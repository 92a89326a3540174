/** The kinds of a server, which follow the definitions in its store. */
import { withKinds } from "../kinds/index.ts";
import type { KindSet } from "../kinds/set.ts";
import type { Store } from "../store/store.ts";
import { kindsOf } from "./kinds.ts";

/** The resource of definitions. */
export const definitions = "customresourcedefinitions.apiextensions.k8s.io";

/** Knows the kinds that are served now. */
export class KindRegistry {
  readonly #store: Store;
  #current: KindSet | undefined;

  constructor(store: Store) {
    this.#store = store;
    store.subscribe((resource) => {
      if (resource === definitions) this.#current = undefined;
    });
  }

  /** The kinds that are served now: the same set for as long as no definition changes. */
  get current(): KindSet {
    this.#current ??= withKinds(this.#store.list(definitions).flatMap(kindsOf));
    return this.#current;
  }
}
