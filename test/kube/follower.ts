/** A consumer of a source that keeps what it was told, and checks that every event fits what it was told before. */
import assert from "node:assert/strict";
import type { Resource } from "../../src/kube/objects/resource.ts";
import type { ObjectEvent, Selection, Source } from "../../src/kube/source.ts";
import { LogWriter } from "../../src/telemetry/log.ts";

/** A slim object of the tests. */
export interface Thing {
  readonly name: string;
  readonly value: unknown;
}

/** Things: objects whose `value` may be anything but "bad". Counts how often it projects. */
export function thingResource(): Resource<Thing> & { projected: number } {
  return {
    group: "test.example",
    version: "v1",
    kind: "Thing",
    plural: "things",
    namespaced: true,
    projected: 0,
    project(raw) {
      this.projected++;
      const { metadata, value } = raw as { readonly metadata: { readonly name: string }; readonly value?: unknown };
      if (value === "bad") return { outcome: "invalid", problems: ['value: Invalid value: "bad"'] };
      if (value === "ignored") return { outcome: "ignored" };
      return { outcome: "object", object: { name: metadata.name, value } };
    },
  };
}

/** Watches things of a source. */
export class Follower {
  readonly things = new Map<string, Thing>();
  /** Every event, as `+name=value`, `~name=value` (changed) or `-name`. */
  readonly events: string[] = [];
  /** The events of each call. */
  readonly batches: number[] = [];
  synced = 0;
  readonly #stop = new AbortController();

  constructor(source: Source, resource: Resource<Thing> = thingResource(), selection?: Selection) {
    const onEvents = (events: readonly ObjectEvent<Thing>[]) => {
      this.batches.push(events.length);
      for (const event of events) this.#take(event);
    };
    const onSynced = () => {
      this.synced++;
    };
    const watch = { resource, onEvents, onSynced, ...(selection && { selection }) };
    source.watch(watch, this.#stop.signal);
  }

  stop(): void {
    this.#stop.abort();
  }

  /** `name=value` of all things, sorted. */
  get state(): string {
    return [...this.things.values()]
      .map(({ name, value }) => `${name}=${value}`)
      .sort()
      .join(" ");
  }

  #take(event: ObjectEvent<Thing>): void {
    assert.equal(this.#stop.signal.aborted, false, "no event after the abort");
    const { name, value } = event.object;
    const known = this.things.get(name);
    if (event.type === "delete") {
      assert.equal(event.object, known, `deleted ${name} is what was known`);
      this.things.delete(name);
      this.events.push(`-${name}`);
      return;
    }
    assert.equal(event.previous, known, `the previous ${name} is what was known`);
    this.things.set(name, event.object);
    this.events.push(`${known ? "~" : "+"}${name}=${value}`);
  }
}

/** A logger that keeps its lines. */
export function keepLog(): { readonly lines: string[]; readonly log: LogWriter } {
  const lines: string[] = [];
  const output = { clock: { now: () => 0 }, write: (text: string) => void lines.push(text.trimEnd()), pid: 1 };
  return { lines, log: new LogWriter(output, { verbosity: 2 }) };
}

/** Waits until something is so. */
export async function until(condition: () => boolean, what: string, milliseconds = 5000): Promise<void> {
  for (const end = performance.now() + milliseconds; !condition(); ) {
    assert.ok(performance.now() < end, `in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
