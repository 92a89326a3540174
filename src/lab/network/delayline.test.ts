import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DelayLine, limits } from "./delayline.ts";

const thing = (n: number) => Uint8Array.of(n >> 8, n & 255);

test("what goes in comes out after its delay, not before", () => {
  const line = new DelayLine(10, 0, Math.random);
  line.push(thing(1), 100);
  line.push(thing(2), 103);
  assert.equal(line.next, 110);
  assert.equal(line.take(109.9), undefined);
  assert.deepEqual(line.take(110), thing(1));
  assert.equal(line.take(110), undefined);
  assert.deepEqual([line.next, line.take(113), line.next, line.size], [113, thing(2), undefined, 0]);
});

test("nothing overtakes, and a delay is within its jitter, or as late as what went before", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 50 }),
      fc.integer({ min: 0, max: 60 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.double({ min: 0, max: 0.999, noNaN: true })), {
        maxLength: 600,
      }),
      (delay, jitter, steps) => {
        const chances = steps.map(([, chance]) => chance);
        const line = new DelayLine(delay, jitter, () => chances.shift() ?? 0);
        let now = 0;
        let last = 0;
        let count = 0;
        const out = () => {
          for (let next = line.take(now); next !== undefined; next = line.take(now))
            assert.deepEqual(next, thing(count++));
        };
        for (const [i, [step]] of steps.entries()) {
          now += step;
          out();
          line.push(thing(i), now);
          last = Math.max(last, now + delay + jitter);
        }
        now = last;
        out();
        assert.equal(count, steps.length);
      },
    ),
    { numRuns: 50 },
  );
});

test("a full line takes nothing more until something is out", () => {
  const line = new DelayLine(1, 0, () => 0);
  for (let i = 0; i < limits.things; i++) assert.ok(line.push(thing(i), 0));
  assert.equal(line.push(thing(0), 0), false);
  line.take(1);
  assert.ok(line.push(thing(0), 1));
  const wide = new DelayLine(1, 0, () => 0);
  assert.equal(wide.push(new Uint8Array(limits.bytes + 1), 0), false);
});
