/** A clock that tests turn by hand. */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "./clock.ts";

interface Sleeper {
  readonly end: number;
  readonly wake: (slept: boolean) => void;
}

/** Time stands still until {@link pass}. */
export class ManualClock implements Clock {
  readonly #sleepers = new Set<Sleeper>();
  #time: number;

  /** @param time milliseconds since the epoch. */
  constructor(time = 0) {
    this.#time = time;
  }

  now(): number {
    return this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  sleep(milliseconds: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const sleeper: Sleeper = {
        end: this.#time + milliseconds,
        wake: (slept) => {
          this.#sleepers.delete(sleeper);
          signal.removeEventListener("abort", abort);
          resolve(slept);
        },
      };
      const abort = () => sleeper.wake(false);
      signal.addEventListener("abort", abort);
      this.#sleepers.add(sleeper);
    });
  }

  /** Lets time pass, waking sleepers in their order, and everything settle that needs no time. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#time + milliseconds;
    await settle();
    for (;;) {
      const next = [...this.#sleepers].sort((a, b) => a.end - b.end)[0];
      if (next === undefined || next.end > end) break;
      this.#time = Math.max(this.#time, next.end);
      next.wake(true);
      await settle();
    }
    this.#time = end;
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}
