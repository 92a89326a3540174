/**
 * Watches. A watcher is a place in the log of changes: what a client has not read yet is kept once for all watchers,
 * and one that reads too slowly loses its place, not the server its memory.
 */

import { definitions } from "../custom/registry.ts";
import type { ApiError } from "../errors.ts";
import { expired } from "../errors.ts";
import { type ApiObject, objectAt } from "../json.ts";
import { type Kind, outward } from "../kinds/kind.ts";
import { selectsFields } from "../select/fields.ts";
import { selects } from "../select/labels.ts";
import type { ChangeLog } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import type { Selection } from "./params.ts";
import { renderBookmark, renderObject, type View } from "./render.ts";

/** What a watcher is about. */
export interface WatchRequest extends Selection {
  readonly resource: string;
  /** Empty for all namespaces. */
  readonly namespace: string;
  readonly view: Omit<View, "now">;
  /** The resource version after which changes are told. */
  readonly after: number;
  /** Objects to tell as added before that. */
  readonly initial: readonly ApiObject[];
  /** True if the end of the initial objects is told by a bookmark. */
  readonly initialEnd: boolean;
  readonly bookmarks: boolean;
}

/** Where a watcher writes. `write` returns false once the client is behind; `onDrain` is called when it is not any more. */
export interface Sink {
  write(text: string): boolean;
  end(): void;
  destroy(): void;
}

/** Settings of all watchers, times in milliseconds. */
export interface WatchLimits {
  /** How long a client may take to read what was sent, before it is dropped. */
  readonly stall: number;
  /** How often a quiet watch is told where it is. */
  readonly bookmark: number;
}

/** Text that is handed to a client at once, in characters; what comes on top is one event. */
const chunk = 128 * 1024;

/** All watchers of a server. */
export class Watches {
  readonly #store: Store;
  readonly #limits: WatchLimits;
  readonly #now: () => number;
  /** Whether a kind is still there: a watch ends with its kind. */
  readonly #serves: (kind: Kind) => boolean;
  readonly #report: (error: unknown) => void;
  readonly #watchers = new Map<string, Set<Watcher>>();
  readonly #dirty = new Set<string>();
  readonly #unsubscribe: () => void;

  /** `report` is told of errors of the server's own; they end the watch that they befall. */
  constructor(
    store: Store,
    limits: WatchLimits,
    now: () => number,
    report: (error: unknown) => void,
    serves: (kind: Kind) => boolean = () => true,
  ) {
    this.#store = store;
    this.#serves = serves;
    this.#report = report;
    this.#limits = limits;
    this.#now = now;
    this.#unsubscribe = store.subscribe((resource) => this.#wake(resource));
  }

  /** How many watchers there are. */
  get size(): number {
    let sum = 0;
    for (const watchers of this.#watchers.values()) sum += watchers.size;
    return sum;
  }

  /** Starts a watcher. The caller tells it when the client has caught up, and when it has gone. */
  start(request: WatchRequest, sink: Sink): Watcher {
    const log = this.#store.log(request.resource);
    const watchers = this.#watchers.get(request.resource) ?? new Set();
    this.#watchers.set(request.resource, watchers);
    const watcher = new Watcher(request, sink, log, {
      ...this.#limits,
      now: this.#now,
      version: () => this.#store.version,
      stopped: () => watchers.delete(watcher),
    });
    watchers.add(watcher);
    watcher.pump();
    return watcher;
  }

  /** Ends all watchers. */
  stop(): void {
    this.#unsubscribe();
    for (const watchers of this.#watchers.values()) for (const watcher of [...watchers]) watcher.stop();
  }

  #pump(watcher: Watcher): void {
    try {
      watcher.pump();
    } catch (error) {
      watcher.stop();
      this.#report(error);
    }
  }

  /** Several writes in one turn of the event loop are told together. */
  #wake(resource: string): void {
    if (this.#dirty.size === 0) {
      setImmediate(() => {
        const resources = [...this.#dirty];
        this.#dirty.clear();
        for (const name of resources) for (const watcher of [...(this.#watchers.get(name) ?? [])]) this.#pump(watcher);
        if (!resources.includes(definitions)) return;
        for (const watchers of this.#watchers.values())
          for (const watcher of [...watchers]) if (!this.#serves(watcher.kind)) watcher.stop();
      });
    }
    this.#dirty.add(resource);
  }
}

interface Surroundings extends WatchLimits {
  readonly now: () => number;
  readonly version: () => number;
  readonly stopped: () => void;
}

/** One watch of one client. */
export class Watcher {
  readonly #request: WatchRequest;
  readonly #sink: Sink;
  readonly #log: ChangeLog;
  readonly #around: Surroundings;
  readonly #bookmarks: NodeJS.Timeout | undefined;
  #version: number;
  #initial = 0;
  #initialTold: boolean;
  #first = true;
  #stalled: NodeJS.Timeout | undefined;
  #done = false;

  constructor(request: WatchRequest, sink: Sink, log: ChangeLog, around: Surroundings) {
    this.#request = request;
    this.#sink = sink;
    this.#log = log;
    this.#around = around;
    this.#version = request.after;
    this.#initialTold = request.initial.length === 0 && !request.initialEnd;
    this.#bookmarks = request.bookmarks ? setInterval(() => this.bookmark(), around.bookmark).unref() : undefined;
  }

  /** What it watches. */
  get kind(): Kind {
    return this.#request.view.kind;
  }

  /** The client has read what was sent. */
  drained(): void {
    clearTimeout(this.#stalled);
    this.#stalled = undefined;
    this.pump();
  }

  /** Tells the client where the watch is, if it has been told everything before. */
  bookmark(): void {
    if (this.#done || this.#stalled !== undefined) return;
    this.pump();
    if (!this.#done && this.#stalled === undefined) this.#send(this.#bookmarkText(false));
  }

  /** Ends the watch in good order: with a last bookmark if the client wants such. */
  finish(): void {
    if (this.#request.bookmarks) this.bookmark();
    this.stop();
  }

  /** Ends the watch. */
  stop(): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#stalled);
    clearInterval(this.#bookmarks);
    this.#around.stopped();
    this.#sink.end();
  }

  /** Tells what there is to tell, until the client is behind or there is nothing more. */
  pump(): void {
    while (!this.#done && this.#stalled === undefined) {
      const text = this.#initialTold ? this.#nextChanges() : this.#nextInitial();
      if (text === undefined) return;
      if (text !== "") this.#send(text);
    }
  }

  #send(text: string): void {
    if (this.#sink.write(text) || this.#done) return;
    this.#stalled = setTimeout(() => {
      this.#sink.destroy();
      this.stop();
    }, this.#around.stall).unref();
  }

  #nextInitial(): string {
    let text = "";
    const { initial } = this.#request;
    while (this.#initial < initial.length && text.length < chunk) {
      const object = initial[this.#initial++];
      if (object !== undefined) text += this.#event("ADDED", object);
    }
    if (this.#initial === initial.length) {
      this.#initialTold = true;
      if (this.#request.initialEnd) text += this.#bookmarkText(true);
    }
    return text;
  }

  /** The next changes as text, empty if none of them concerns the client; undefined if there are none. */
  #nextChanges(): string | undefined {
    const changes = this.#log.after(this.#version, 200);
    if (changes === undefined) {
      this.#sink.write(
        `{"type":"ERROR","object":${JSON.stringify(tooOld(this.#version, this.#log.start).toStatus())}}\n`,
      );
      this.stop();
      return undefined;
    }
    if (changes.length === 0) return undefined;
    let text = "";
    for (const { type, version, object, previous } of changes) {
      const before = previous !== undefined && this.#concerns(previous);
      const after = type !== "DELETED" && this.#concerns(object);
      if (after) text += this.#event(before ? "MODIFIED" : "ADDED", object);
      else if (before && previous !== undefined)
        text += this.#event("DELETED", type === "DELETED" ? object : at(previous, version));
      this.#version = version;
      if (text.length > chunk) break;
    }
    return text;
  }

  #concerns(object: ApiObject): boolean {
    const { namespace, labels, fields } = this.#request;
    if (namespace !== "" && object.metadata.namespace !== namespace) return false;
    return selects(labels, objectAt(object, "metadata", "labels")) && selectsFields(fields, object);
  }

  #event(type: string, object: ApiObject): string {
    const view = { ...this.#request.view, now: this.#around.now() };
    const text = `{"type":"${type}","object":${renderObject(view, outward(view.kind, object), this.#first)}}\n`;
    this.#first = false;
    return text;
  }

  #bookmarkText(initialEnd: boolean): string {
    const version = initialEnd ? this.#request.after : this.#around.version();
    const view = { ...this.#request.view, now: this.#around.now() };
    return `{"type":"BOOKMARK","object":${renderBookmark(view, version, initialEnd)}}\n`;
  }
}

/** 410: changes after a version are forgotten. */
export function tooOld(version: number, oldest: number): ApiError {
  return expired(`too old resource version: ${version} (${oldest})`);
}

function at(object: ApiObject, version: number): ApiObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
}
