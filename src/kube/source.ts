/**
 * Where objects come from. Everything that follows the state of a cluster does so through a {@link Source}, and does
 * not know whether that is an API server or a directory of manifests.
 */
import type { Resource } from "./objects/resource.ts";

/**
 * A change of one object. An object that was deleted and made again is a deletion and then an upsert without
 * `previous`, even if a source saw only the result.
 */
export type ObjectEvent<T> =
  /** The object is new, or has changed since `previous`. */
  | { readonly type: "upsert"; readonly object: T; readonly previous?: T }
  /** The object is gone; this is its last state. */
  | { readonly type: "delete"; readonly object: T };

/** What to watch, and whom to tell. */
export interface Watch<T> {
  readonly resource: Resource<T>;
  readonly selection?: Selection;
  /**
   * Called with changes in the order in which they happened. Those of one call belong together (a first list, a file
   * that was saved) and should take effect together. It must not throw and must not keep the list.
   */
  readonly onEvents: (events: readonly ObjectEvent<T>[]) => void;
  /**
   * Called once, after the events of everything that existed when the watch began, an empty list too: from here on
   * an object that was not seen does not exist.
   */
  readonly onSynced: () => void;
}

/** Which of the objects of a kind to watch; all conditions must hold. */
export interface Selection {
  /** Only objects of this namespace. */
  readonly namespace?: string;
  /** A label selector as the API takes it, e.g. `app=web,!canary`. */
  readonly labels?: string;
  /** A field selector as the API takes it. All sources know `metadata.name` and `metadata.namespace`. */
  readonly fields?: string;
}

/** A source of objects. */
export interface Source {
  /**
   * Begins to deliver objects, and goes on, through whatever failures, until the signal is aborted. Events come
   * later, never during this call, and none after the abort. A malformed object is left out (or stays as it was last
   * well-formed) and is logged once.
   *
   * @throws {Error} if the source reads selectors itself and cannot understand one; an API server's complaint is logged.
   */
  watch<T>(watch: Watch<T>, signal: AbortSignal): void;
}
