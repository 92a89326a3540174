/**
 * Follows one kind of object at an API server: a first list, then a watch, and again whenever that breaks
 * (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes).
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../telemetry/clock.ts";
import { errorText, type Logger } from "../telemetry/log.ts";
import { type KubeClient, KubeError, resourcePath } from "./client.ts";
import { isFields, noFields } from "./objects/fields.ts";
import type { ObjectEvent, Watch } from "./source.ts";
import { ObjectStore, type Replacement } from "./store.ts";
import { readList, readWatch, StreamError, type WatchEvent } from "./stream.ts";

/** Times in milliseconds. */
export interface ReflectorTimings {
  /** Silence during a streamed first list after which the server is taken not to know such. */
  readonly listSilence: number;
  /** Silence of a watch after which its connection is made anew: servers send bookmarks about every minute. */
  readonly watchSilence: number;
  /** The first and the longest pause after a failure; each is up to twice as long, at random. */
  readonly pauses: { readonly first: number; readonly longest: number };
  /** The time after which the server shall end a watch, which spreads them over servers; up to twice, at random. */
  readonly watchLength: number;
}

/** The times used unless others are given. */
export const defaultTimings: ReflectorTimings = {
  listSilence: 10_000,
  watchSilence: 150_000,
  pauses: { first: 800, longest: 30_000 },
  watchLength: 300_000,
};

/** Told of what goes on, for metrics. All take the plural name of the resource. */
export interface ReflectorHooks {
  /** A list is complete. */
  readonly onList?: (resource: string, objects: number, seconds: number) => void;
  /** A watch has begun. */
  readonly onWatch?: (resource: string) => void;
  /** A list or watch has failed and will be tried again. */
  readonly onError?: (resource: string, error: unknown) => void;
}

/** What a reflector needs. */
export interface ReflectorParts {
  readonly client: KubeClient;
  readonly log: Logger;
  readonly clock: Clock;
  /** Random numbers from 0 to 1. */
  readonly random: () => number;
  readonly timings: ReflectorTimings;
  readonly hooks: ReflectorHooks;
}

/** Objects per page of a list that is not streamed. */
const pageSize = 500;
/** Events given to the consumer at once when everything may have changed; between them the event loop turns. */
const batchSize = 1000;
/** Marks the bookmark that ends the objects which existed when a streamed list began (KEP-3157). */
const initialEventsEnd = "k8s.io/initial-events-end";

/** The server does not stream lists, or does not say when one is complete. */
class NoStreamedLists extends Error {}

/** Follows one kind of object until the signal is aborted. */
export class Reflector<T> {
  readonly #parts: ReflectorParts;
  readonly #watch: Watch<T>;
  readonly #store: ObjectStore<T>;
  readonly #log: Logger;
  /** The state that the store has; undefined: none, or one that the server no longer knows the way from. */
  #resourceVersion: string | undefined;
  #streamsLists = true;
  #pageSize: number | undefined = pageSize;
  #synced = false;
  /** The failure that was logged last and has not passed. */
  #failure: string | undefined;

  constructor(watch: Watch<T>, parts: ReflectorParts) {
    this.#parts = parts;
    this.#watch = watch;
    this.#log = parts.log.with({ resource: watch.resource.plural });
    this.#store = new ObjectStore(watch.resource, this.#log);
  }

  /** Runs until the signal is aborted, whatever happens. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, timings } = this.#parts;
    let failures = 0;
    while (!signal.aborted) {
      const began = clock.monotonic();
      const error = await this.#session(signal).then(
        () => undefined,
        (caught: unknown) => caught ?? new Error("unknown error"),
      );
      if (signal.aborted) return;
      const lasted = clock.monotonic() - began;
      if (lasted > pauseAfter(failures, timings)) failures = 0;
      if (error === undefined && lasted > timings.pauses.first) continue;
      if (error instanceof NoStreamedLists) {
        this.#log.debug(1, "Lists in pages, because the API server does not stream lists", { reason: error.message });
        this.#streamsLists = false;
        continue;
      }
      const gone = isGone(error) || (this.#resourceVersion !== undefined && isUnknownVersion(error));
      if (gone) this.#forget();
      else this.#report(error ?? new Error("the server ends every watch at once"));
      // What looked like a server that does not stream lists may have been one that does nothing at all.
      if (this.#resourceVersion === undefined && !(error instanceof KubeError)) this.#streamsLists = true;
      // A state that the server has forgotten is no fault of its, the first time.
      const pause = pauseAfter(gone ? failures - 1 : failures, timings) * (1 + this.#parts.random());
      failures++;
      await clock.sleep(Math.max(pause, error instanceof KubeError ? error.retryAfter : 0), signal);
    }
  }

  /** One list, if need be, and one watch. Returns when the server has ended the watch. */
  async #session(signal: AbortSignal): Promise<void> {
    if (this.#resourceVersion === undefined && !this.#streamsLists) await this.#list(signal);
    const connection = new AbortController();
    const { listSilence, watchSilence } = this.#parts.timings;
    const first = this.#resourceVersion === undefined;
    const silence = new Watchdog(first ? listSilence : watchSilence, () => connection.abort());
    try {
      await this.#follow(signal, AbortSignal.any([signal, connection.signal]), silence);
    } catch (error) {
      signal.throwIfAborted();
      if (first && this.#resourceVersion === undefined && isRefusal(error)) throw new NoStreamedLists(errorText(error));
      if (!connection.signal.aborted) throw error;
      if (this.#resourceVersion === undefined) throw new NoStreamedLists("it did not say when the list was complete");
      this.#log.debug(2, "Watches anew after a silence");
    } finally {
      silence.stop();
    }
  }

  /** Lists in pages. */
  async #list(signal: AbortSignal): Promise<void> {
    const began = this.#parts.clock.monotonic();
    const next = this.#store.replace();
    let token: string | undefined;
    let resourceVersion: string | undefined;
    do {
      const query = { ...this.#selectors(), limit: this.#pageSize, continue: token };
      const body = await this.#parts.client.open({ path: this.#path(), query }, signal);
      token = undefined;
      for await (const part of readList(body)) {
        if (part.kind === "items") {
          for (const item of part.items) next.upsert(item);
          continue;
        }
        const metadata = metadataOf(part.list);
        resourceVersion = textOf(metadata.resourceVersion);
        token = textOf(metadata.continue);
      }
    } while (token !== undefined);
    if (resourceVersion === undefined) throw new StreamError("The server sent a list without a resourceVersion");
    await this.#replace(next, resourceVersion, began, signal);
    this.#pageSize = pageSize;
  }

  /**
   * Watches from the state that the store has, or from nothing with a streamed list. The end of the connection does not
   * keep what came before from being delivered.
   */
  async #follow(signal: AbortSignal, connection: AbortSignal, silence: Watchdog): Promise<void> {
    const { client, clock, random, timings, hooks } = this.#parts;
    const began = clock.monotonic();
    let next: Replacement<T> | undefined = this.#resourceVersion === undefined ? this.#store.replace() : undefined;
    const query = {
      ...this.#selectors(),
      watch: true,
      allowWatchBookmarks: true,
      timeoutSeconds: Math.ceil((timings.watchLength * (1 + random())) / 1000),
      ...(next
        ? { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" }
        : { resourceVersion: this.#resourceVersion }),
    };
    const body = await client.open({ path: this.#path(), query }, connection, 0);
    hooks.onWatch?.(this.#watch.resource.plural);
    if (next === undefined) this.#recover();
    for await (const events of readWatch(body)) {
      silence.feed();
      const changes: ObjectEvent<T>[] = [];
      try {
        for (const event of events) {
          if (event.type === "ERROR") throw watchError(event.object);
          if (next === undefined) {
            changes.push(...this.#apply(event));
          } else if (event.type === "BOOKMARK") {
            const { annotations, resourceVersion } = metadataOf(event.object);
            if (!isFields(annotations) || annotations[initialEventsEnd] !== "true") continue;
            await this.#replace(next, versionOf(resourceVersion), began, signal);
            next = undefined;
            silence.rest(timings.watchSilence);
          } else if (event.type === "DELETED") {
            next.delete(event.object);
          } else {
            next.upsert(event.object);
          }
        }
      } finally {
        this.#deliver(changes, signal);
      }
    }
    if (next !== undefined) throw new NoStreamedLists("it ended the watch before the list was complete");
  }

  /** Takes an event of a watch; the state that the store then has is the event's. */
  #apply(event: WatchEvent): readonly ObjectEvent<T>[] {
    const version = versionOf(metadataOf(event.object).resourceVersion);
    const changes =
      event.type === "BOOKMARK"
        ? []
        : event.type === "DELETED"
          ? this.#store.delete(event.object)
          : this.#store.upsert(event.object);
    this.#resourceVersion = version;
    return changes;
  }

  /** Makes a complete list the state of the store, and tells of all differences, a batch at a time. */
  async #replace(next: Replacement<T>, version: string, began: number, signal: AbortSignal): Promise<void> {
    this.#resourceVersion = version;
    let batch: ObjectEvent<T>[] = [];
    for (const change of next.commit()) {
      if (batch.push(change) < batchSize) continue;
      this.#deliver(batch, signal);
      batch = [];
      await nextTurn();
    }
    this.#deliver(batch, signal);
    const seconds = (this.#parts.clock.monotonic() - began) / 1000;
    this.#parts.hooks.onList?.(this.#watch.resource.plural, this.#store.size, seconds);
    this.#recover();
    if (this.#synced || signal.aborted) return;
    this.#synced = true;
    this.#watch.onSynced();
  }

  /** An error of the consumer is no failure of the server: it ends the process, unless somebody else cares. */
  #deliver(events: readonly ObjectEvent<T>[], signal: AbortSignal): void {
    if (events.length === 0 || signal.aborted) return;
    try {
      this.#watch.onEvents(events);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  /** The next session lists. Pages of a list that went out of date while it was read do not work: then all at once. */
  #forget(): void {
    if (this.#resourceVersion === undefined) this.#pageSize = undefined;
    this.#resourceVersion = undefined;
  }

  #report(error: unknown): void {
    this.#parts.hooks.onError?.(this.#watch.resource.plural, error);
    const brokenOff = error instanceof Error && "code" in error && error.code === "UND_ERR_SOCKET";
    const message = brokenOff ? `The connection broke off: ${errorText(error)}` : errorText(error);
    if (message === this.#failure) {
      this.#log.debug(2, "Still cannot watch", { err: message });
    } else {
      this.#log.warn("Cannot watch, and goes on trying", { err: message });
    }
    this.#failure = message;
  }

  #recover(): void {
    if (this.#failure !== undefined) this.#log.info("Watches again");
    this.#failure = undefined;
  }

  #path(): string {
    return resourcePath(this.#watch.resource, { namespace: this.#watch.selection?.namespace });
  }

  #selectors(): Readonly<Record<string, string | undefined>> {
    return { labelSelector: this.#watch.selection?.labels, fieldSelector: this.#watch.selection?.fields };
  }
}

/** Barks once when it has not been fed for some milliseconds. */
class Watchdog {
  #timer: NodeJS.Timeout;
  readonly #bark: () => void;

  constructor(milliseconds: number, bark: () => void) {
    this.#bark = bark;
    this.#timer = setTimeout(bark, milliseconds);
  }

  feed(): void {
    this.#timer.refresh();
  }

  /** From now on another time counts. */
  rest(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#bark, milliseconds);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function pauseAfter(failures: number, { pauses }: ReflectorTimings): number {
  return failures < 0 ? 0 : Math.min(pauses.longest, pauses.first * 2 ** failures);
}

/** True if the server understood a streamed list so far as to refuse it. */
function isRefusal(error: unknown): boolean {
  return error instanceof KubeError && [400, 405, 415, 422, 501].includes(error.status);
}

/** True if the server no longer knows the state that a list or watch was to go on from. */
function isGone(error: unknown): boolean {
  return error instanceof KubeError && (error.status === 410 || error.reason === "Expired");
}

/**
 * True if the server does not know that state yet (504, "too large resource version") or cannot read it (400): its
 * history is another than it was, e.g. after a restored backup.
 */
function isUnknownVersion(error: unknown): boolean {
  return error instanceof KubeError && (error.status === 400 || error.status === 504);
}

function metadataOf(object: unknown) {
  return isFields(object) && isFields(object.metadata) ? object.metadata : noFields;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function versionOf(value: unknown): string {
  const version = textOf(value);
  if (version === undefined) throw new StreamError("The server sent an event without a resourceVersion");
  return version;
}

/** The error that the `Status` in an event of type ERROR tells of. */
function watchError(status: unknown): KubeError {
  const { code, reason, message } = isFields(status) ? status : noFields;
  const text = typeof message === "string" ? message.slice(0, 300) : "no message";
  const known = { code: typeof code === "number" ? code : 500, reason: typeof reason === "string" ? reason : "" };
  return new KubeError(known.code, known.reason, `The server ended the watch: ${known.code} ${known.reason}: ${text}`);
}
