/**
 * The loop that runs controllers. A controller says which objects a change concerns, and what to do about one of them;
 * the loop remembers what is to be looked at, looks at it soon and again when it failed.
 */
import type { Api } from "../server/api.ts";
import { ApiError } from "../server/errors.ts";
import type { ApiObject } from "../server/json.ts";
import type { Change } from "../server/store/log.ts";

/** Brings the state of some objects to what they want. */
export interface Controller {
  readonly name: string;
  /** Resources whose changes concern it. */
  readonly watches: readonly string[];
  /** What to look at after a change; any text that {@link reconcile} understands. */
  keysOf(resource: string, change: Change): readonly string[];
  /**
   * Looks at one thing and does what is missing.
   *
   * @returns milliseconds after which to look again even if nothing changes; undefined for never.
   */
  reconcile(key: string): number | undefined;
}

/** `namespace/name` of an object. */
export function keyOfObject(object: ApiObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

/** The namespace and name of a key that {@link keyOfObject} made. */
export function splitKey(key: string): readonly [string, string] {
  const slash = key.indexOf("/");
  return [key.slice(0, slash), key.slice(slash + 1)];
}

/** Milliseconds that controllers work before others have their turn. */
const turn = 8;
/** Milliseconds before something that failed is looked at again: doubled each time from the first to the second. */
const retry = { first: 50, last: 30_000 };

/**
 * Runs controllers until the signal is aborted: first over everything that there is, then over what changes.
 *
 * @param report is told of errors that looking again may not heal.
 */
export function runControllers(
  api: Api,
  controllers: readonly Controller[],
  report: (error: unknown) => void,
  signal: AbortSignal,
): void {
  const runners = controllers.map((controller) => new Runner(api, controller, report));
  const wake = () => {
    if (scheduled || signal.aborted) return;
    scheduled = true;
    setImmediate(work);
  };
  let scheduled = false;
  const work = () => {
    scheduled = false;
    if (signal.aborted) return;
    const end = performance.now() + turn;
    // Every write that a controller makes wakes the loop again, so one round is enough.
    for (const runner of runners) {
      try {
        if (runner.work(end, wake)) wake();
      } catch (error) {
        report(error);
      }
    }
  };
  const unsubscribe = api.store.subscribe(wake);
  signal.addEventListener(
    "abort",
    () => {
      unsubscribe();
      for (const runner of runners) runner.stop();
    },
    { once: true },
  );
  wake();
}

class Runner {
  readonly #api: Api;
  readonly #controller: Controller;
  readonly #report: (error: unknown) => void;
  /** The resource version up to which the changes of each resource were seen. */
  readonly #seen = new Map<string, number>();
  readonly #dirty = new Set<string>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #failures = new Map<string, number>();

  constructor(api: Api, controller: Controller, report: (error: unknown) => void) {
    this.#api = api;
    this.#controller = controller;
    this.#report = report;
  }

  /** Works until there is nothing to do or the time has come; true if something is left. */
  work(end: number, wake: () => void): boolean {
    for (const resource of this.#controller.watches) this.#look(resource);
    for (const key of this.#dirty) {
      this.#dirty.delete(key);
      this.#handle(key, wake);
      if (performance.now() > end) break;
    }
    return this.#dirty.size > 0;
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#dirty.clear();
  }

  /** Reads on in the changes of a resource; after a gap in them, everything is looked at again. */
  #look(resource: string): void {
    const { store } = this.#api;
    const seen = this.#seen.get(resource);
    const changes = seen === undefined ? undefined : store.log(resource).after(seen, Number.POSITIVE_INFINITY);
    if (seen !== undefined && changes === undefined) {
      this.#seen.clear();
      for (const each of this.#controller.watches) this.#look(each);
      return;
    }
    this.#seen.set(resource, store.version);
    const all: readonly Change[] =
      changes ?? store.list(resource).map((object) => ({ type: "ADDED", version: 0, object, previous: undefined }));
    for (const change of all) for (const key of this.#controller.keysOf(resource, change)) this.#dirty.add(key);
  }

  #handle(key: string, wake: () => void): void {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    let again: number | undefined;
    try {
      again = this.#controller.reconcile(key);
      this.#failures.delete(key);
    } catch (error) {
      const count = this.#failures.get(key) ?? 0;
      this.#failures.set(key, count + 1);
      again = Math.min(retry.last, retry.first * 2 ** count);
      if (!(error instanceof ApiError) || error.code >= 500) this.#report(error);
    }
    if (again === undefined) return;
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      this.#dirty.add(key);
      wake();
    }, again);
    this.#timers.set(key, timer.unref());
  }
}
