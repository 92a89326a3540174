/** Time as something given to whoever needs it, so that tests can turn it by hand. */
import { setTimeout as delay } from "node:timers/promises";

/** A source of time. */
export interface Clock {
  /** Wall-clock time, milliseconds since the epoch. */
  now(): number;
  /** Time that never jumps, milliseconds since some start: for measuring durations. */
  monotonic(): number;
  /**
   * Waits.
   *
   * @param milliseconds 0 or more.
   * @returns true when the time is over, false as soon as `signal` is aborted (it never throws).
   */
  sleep(milliseconds: number, signal: AbortSignal): Promise<boolean>;
}

/** The longest delay that Node's timers can do in one piece; longer ones would fire at once. */
const longestTimer = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(milliseconds, signal) {
    const end = performance.now() + milliseconds;
    do {
      const rest = Math.min(longestTimer, Math.max(0, end - performance.now()));
      try {
        await delay(rest, undefined, { signal });
      } catch {
        return false;
      }
    } while (performance.now() + 1 < end);
    return true;
  },
};
