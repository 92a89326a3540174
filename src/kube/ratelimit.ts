/** A limit on requests by rate and burst, as Kubernetes' clients have (`clientConnection.qps` and `burst`). */
import type { Clock } from "../telemetry/clock.ts";

/** A token bucket: `burst` requests at once, then `qps` each second. */
export class RateLimiter {
  readonly #qps: number;
  readonly #burst: number;
  readonly #clock: Clock;
  /** May be negative: what those who wait have taken in advance. */
  #tokens: number;
  #filledAt: number;

  /**
   * @param qps requests each second; 0 or less: no limit.
   * @param burst 1 or more.
   */
  constructor(qps: number, burst: number, clock: Clock) {
    this.#qps = qps;
    this.#burst = burst;
    this.#clock = clock;
    this.#tokens = burst;
    this.#filledAt = clock.monotonic();
  }

  /**
   * Waits for this request's turn.
   *
   * @throws the signal's reason if it is aborted meanwhile.
   */
  async take(signal: AbortSignal): Promise<void> {
    if (this.#qps <= 0) return;
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#filledAt) * this.#qps) / 1000);
    this.#filledAt = now;
    this.#tokens -= 1;
    if (this.#tokens >= 0) return;
    if (await this.#clock.sleep((-this.#tokens * 1000) / this.#qps, signal)) return;
    this.#tokens += 1;
    signal.throwIfAborted();
  }
}
