import assert from "node:assert/strict";
import { test } from "node:test";
import { RateLimiter } from "./ratelimit.ts";

const forever = new AbortController().signal;

/** A clock that jumps to the end of every sleep, and keeps how long each was. */
function jumpingClock() {
  let time = 0;
  const sleeps: number[] = [];
  return {
    sleeps,
    pass: (milliseconds: number) => {
      time += milliseconds;
    },
    now: () => time,
    monotonic: () => time,
    sleep: async (milliseconds: number, signal: AbortSignal) => {
      sleeps.push(milliseconds);
      return !signal.aborted;
    },
  };
}

test("a burst goes at once, then one at a time", async () => {
  const clock = jumpingClock();
  const limiter = new RateLimiter(10, 3, clock);
  for (let i = 0; i < 5; i++) await limiter.take(forever);
  assert.deepEqual(clock.sleeps, [100, 200]);
  clock.pass(10_000);
  for (let i = 0; i < 4; i++) await limiter.take(forever);
  assert.deepEqual(clock.sleeps, [100, 200, 100]);
});

test("without a rate there is no limit", async () => {
  const clock = jumpingClock();
  const limiter = new RateLimiter(0, 1, clock);
  for (let i = 0; i < 100; i++) await limiter.take(forever);
  assert.deepEqual(clock.sleeps, []);
});

test("who gives up waiting leaves the turn to others", async () => {
  const clock = jumpingClock();
  const limiter = new RateLimiter(10, 1, clock);
  await limiter.take(forever);
  await assert.rejects(limiter.take(AbortSignal.abort(new Error("no"))), /no/);
  await limiter.take(forever);
  assert.deepEqual(clock.sleeps, [100, 100]);
});
