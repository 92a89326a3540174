/** Long computations in short slices, so that probes, watches and timers are served in between. */
import { setImmediate as nextTurn } from "node:timers/promises";

/** Milliseconds that a computation may keep the event loop for itself. */
const slice = 10;

/** Runs a generator to its end, letting the event loop turn whenever a slice is over. */
export async function inSlices<Result>(work: Generator<undefined, Result>, signal?: AbortSignal): Promise<Result> {
  let start = performance.now();
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (performance.now() - start < slice) continue;
    await nextTurn();
    signal?.throwIfAborted();
    start = performance.now();
  }
}
