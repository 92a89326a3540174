/**
 * Kubernetes Events (events.k8s.io/v1): what an administrator should find in `kubectl describe`. They tell of changes
 * of state only, never of work as usual.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Clock } from "../telemetry/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Counter, Family } from "../telemetry/metrics.ts";

/** The object that an Event is about. */
export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  /** Empty for objects without one, such as Nodes. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** Something that happened. */
export interface ProxyEvent {
  readonly type: "Normal" | "Warning";
  /** Why, in CamelCase, one of a few: `DriftRepaired`. */
  readonly reason: string;
  /** What was done, in CamelCase: `Repair`. */
  readonly action: string;
  /** For people; cut to 1 kB. */
  readonly note: string;
  /** Default: the Node. */
  readonly regarding?: EventSubject;
}

/** Tells of events. */
export interface EventRecorder {
  /** Returns at once; an Event that cannot be posted is logged and forgotten. */
  record(event: ProxyEvent): void;
}

/** What a recorder that posts needs. */
export interface EventPosterOptions {
  /** Posts an object to a path of the API. */
  readonly post: (path: string, body: unknown, signal: AbortSignal) => Promise<unknown>;
  readonly clock: Clock;
  readonly log: Logger;
  /** The Node, as far as it is known now. */
  readonly node: () => EventSubject;
  /** Counts what was not posted, and why. */
  readonly skipped: Family<Counter>;
  /** Posts until then. */
  readonly signal: AbortSignal;
}

const controller = "portolan-proxy";
const longestNote = 1024;
/** The same reason about the same object is posted once in this time. */
const repeatMs = 60_000;
/** Events that may wait to be posted, and the least time between two posts. */
const longestQueue = 50;
const betweenMs = 200;

/** A recorder that writes events to the log only. */
export function logEvents(log: Logger): EventRecorder {
  return {
    record({ type, reason, note, regarding }) {
      const about = regarding === undefined ? {} : { regarding: `${regarding.kind} ${nameOf(regarding)}` };
      if (type === "Warning") log.warn(note, { reason, ...about });
      else log.info(note, { reason, ...about });
    },
  };
}

/** A recorder that writes events to the log and posts them to the API, a few at most. */
export class EventPoster implements EventRecorder {
  readonly #options: EventPosterOptions;
  readonly #recorder: EventRecorder;
  readonly #lastPosted = new Map<string, number>();
  readonly #queue: ProxyEvent[] = [];
  #posting = false;

  constructor(options: EventPosterOptions) {
    this.#options = options;
    this.#recorder = logEvents(options.log);
  }

  record(event: ProxyEvent): void {
    const { clock, skipped, signal, node } = this.#options;
    this.#recorder.record(event);
    if (signal.aborted) return;
    const subject = event.regarding ?? node();
    const key = `${event.reason} ${subject.kind} ${nameOf(subject)}`;
    const now = clock.monotonic();
    const last = this.#lastPosted.get(key);
    const repeated = last !== undefined && now - last < repeatMs;
    if (repeated || this.#queue.length >= longestQueue) {
      skipped.labels(repeated ? "repeated" : "too many").add(1);
      return;
    }
    for (const [old, time] of this.#lastPosted) if (now - time >= repeatMs) this.#lastPosted.delete(old);
    this.#lastPosted.set(key, now);
    this.#queue.push(event);
    if (!this.#posting) void this.#postAll();
  }

  async #postAll(): Promise<void> {
    const { clock, log, post, signal, skipped } = this.#options;
    this.#posting = true;
    for (let event = this.#queue.shift(); event !== undefined && !signal.aborted; event = this.#queue.shift()) {
      const body = this.#body(event);
      try {
        await post(`/apis/events.k8s.io/v1/namespaces/${body.metadata.namespace}/events`, body, signal);
      } catch (error) {
        if (signal.aborted) break;
        skipped.labels("failed").add(1);
        log.error(error, "Event not posted", { reason: event.reason });
      }
      if (!(await clock.sleep(betweenMs, signal))) break;
    }
    this.#posting = false;
  }

  #body(event: ProxyEvent) {
    const subject = event.regarding ?? this.#options.node();
    const namespace = subject.namespace || "default";
    return {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { name: `${subject.name}.${randomBytes(8).toString("hex")}`, namespace },
      // A time of the API with microseconds (metav1.MicroTime).
      eventTime: new Date(this.#options.clock.now()).toISOString().replace("Z", "000Z"),
      reportingController: controller,
      reportingInstance: `${controller}-${hostname()}`.slice(0, 128),
      type: event.type,
      reason: event.reason,
      action: event.action,
      note: cut(event.note),
      regarding: { ...subject, namespace: subject.namespace || undefined },
    };
  }
}

/** At most 1 kB of UTF-8. */
function cut(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= longestNote) return note;
  return `${bytes
    .subarray(0, longestNote - 3)
    .toString()
    .replace(/\ufffd$/, "")}...`;
}

function nameOf({ namespace, name }: EventSubject): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}
