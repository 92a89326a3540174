import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddress } from "../../../net/address.ts";
import type { Decision, Endpoint, Outcomes } from "../../../service/decision.ts";
import { type Placement, PoolNumbers, place } from "./pools.ts";
import { maximumPool, sizeClass } from "./word.ts";

const balance = { kind: "balance", pool: "cluster", masquerade: false } as const;
const outcomes: Outcomes = { pod: balance, node: balance, other: balance };

function endpoint(i: number): Endpoint {
  return { address: parseAddress(`10.244.${i >> 8}.${i & 255}`), port: 8080, local: false };
}

function decision(endpoints: readonly number[], affinitySeconds = 0): Decision {
  return {
    service: { namespace: "shop", name: "web", port: "", protocol: "TCP" },
    family: "IPv4",
    frontEnds: [{ kind: "ClusterIP", address: parseAddress("10.96.0.10"), port: 80, outcomes }],
    cluster: endpoints.map(endpoint),
    local: [],
    affinitySeconds,
  };
}

/** Which endpoint is in which slot, by its number. */
function slotsOf({ cluster }: Placement): readonly string[] {
  return (cluster?.slots ?? []).map(({ address }) => address.slice("10.244.".length));
}

const endpointLists = fc.uniqueArray(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 40 });

test("slots are full from the first on, whatever the sequence of changes", () => {
  fc.assert(
    fc.property(fc.array(endpointLists, { minLength: 1, maxLength: 8 }), fc.boolean(), (steps, affinity) => {
      const numbers = new PoolNumbers();
      let placement: Placement | undefined;
      for (const step of steps) {
        placement = place(decision(step, affinity ? 600 : 0), placement ?? {}, numbers);
        assert.deepEqual([...slotsOf(placement)].sort(), step.map((i) => `${i >> 8}.${i & 255}`).sort());
        if (!affinity) continue;
        const members = placement.cluster?.members ?? [];
        assert.equal(members.length, step.length);
        assert.equal(new Set(members).size, step.length);
        assert.ok(members.every((member) => member >= 0 && member < 300));
      }
    }),
  );
});

test("an endpoint that stays keeps the number it is remembered under", () => {
  fc.assert(
    fc.property(endpointLists, endpointLists, (first, second) => {
      const numbers = new PoolNumbers();
      const before = place(decision(first, 600), {}, numbers);
      const after = place(decision(second, 600), before, numbers);
      for (const [slot, stays] of slotsOf(after).entries()) {
        const old = slotsOf(before).indexOf(stays);
        if (old >= 0) assert.equal(after.cluster?.members[slot], before.cluster?.members[old]);
      }
    }),
  );
});

test("no more slots change than endpoints do", () => {
  fc.assert(
    fc.property(endpointLists, fc.integer({ min: 0, max: 39 }), (list, at) => {
      const numbers = new PoolNumbers();
      const before = place(decision(list), {}, numbers);
      const removed = list.filter((_, i) => i !== at % list.length);
      if (removed.length === 0) return;
      const after = slotsOf(place(decision(removed), before, numbers));
      const changed = slotsOf(before).filter((entry, slot) => slot < after.length && after[slot] !== entry);
      assert.ok(changed.length <= 1);
    }),
  );
});

test("a replaced endpoint's successor takes its slot", () => {
  const numbers = new PoolNumbers();
  const before = place(decision([1, 2, 3]), {}, numbers);
  assert.deepEqual(slotsOf(place(decision([1, 9, 3]), before, numbers)), ["0.1", "0.9", "0.3"]);
});

test("the last endpoint moves into the gap of a removed one", () => {
  const numbers = new PoolNumbers();
  const before = place(decision([1, 2, 3, 4]), {}, numbers);
  assert.deepEqual(slotsOf(place(decision([1, 3, 4]), before, numbers)), ["0.1", "0.4", "0.3"]);
});

test("a pool number rests before it is given again", () => {
  const numbers = new PoolNumbers();
  const first = numbers.take();
  numbers.release(first);
  assert.notEqual(numbers.take(), first);
  assert.ok(numbers.claim(maximumPool));
  assert.ok(!numbers.claim(maximumPool));
  assert.ok(!numbers.claim(0));
  assert.equal(numbers.take(), first);
});

test("a decision that loses its endpoints gives its pool back", () => {
  const numbers = new PoolNumbers();
  const before = place(decision([1]), {}, numbers);
  const after = place(decision([]), before, numbers);
  assert.equal(after.cluster, undefined);
  assert.ok(numbers.claim(before.cluster?.number ?? 0));
});

test("size classes are the next powers of two", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 8, 9, 1000, 65536].map(sizeClass), [0, 0, 1, 2, 2, 3, 3, 4, 10, 16]);
});
