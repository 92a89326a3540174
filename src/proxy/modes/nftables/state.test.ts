import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddress } from "../../../net/address.ts";
import { parsePrefix } from "../../../net/prefix.ts";
import {
  type Decision,
  decisionKey,
  type Endpoint,
  type FrontEnd,
  type Outcome,
  type Outcomes,
} from "../../../service/decision.ts";
import { Heritage } from "./adopt.ts";
import type { Element } from "./elements.ts";
import { decodeNumber } from "./sets.ts";
import { TableState } from "./state.ts";
import { flags, poolOf, verdictMask, verdicts } from "./word.ts";

const balance = (pool: "cluster" | "local", masquerade: boolean): Outcome => ({ kind: "balance", pool, masquerade });
const reject: Outcome = { kind: "reject" };
const drop: Outcome = { kind: "drop" };
const cluster: Outcomes = {
  pod: balance("cluster", false),
  node: balance("cluster", true),
  other: balance("cluster", true),
};
const local: Outcomes = {
  pod: balance("cluster", false),
  node: balance("cluster", true),
  other: balance("local", false),
};
const noLocal: Outcomes = { ...local, other: drop };
const refused: Outcomes = { pod: reject, node: reject, other: reject };

/** A decision of service number `i` with so many endpoints, of which the first are local. */
function decision(i: number, endpoints: number, locals: number, affinitySeconds: number, shift: number): Decision {
  const all: Endpoint[] = Array.from({ length: endpoints }, (_, n) => ({
    address: parseAddress(`10.244.${i}.${1 + n + shift}`),
    port: 8080,
    local: n < locals,
  }));
  const external = endpoints === 0 ? refused : locals === 0 ? noLocal : local;
  const frontEnds: FrontEnd[] = [
    {
      kind: "ClusterIP",
      address: parseAddress(`10.96.0.${i}`),
      port: 80,
      outcomes: endpoints === 0 ? refused : cluster,
    },
    {
      kind: "LoadBalancerIP",
      address: parseAddress(`198.51.100.${i}`),
      port: 80,
      outcomes: external,
      ...(i % 2 === 0 && { sources: [parsePrefix("203.0.113.0/24"), parsePrefix("203.0.113.128/25")] }),
    },
    { kind: "NodePort", port: 30000 + i, outcomes: external },
  ];
  return {
    service: { namespace: "shop", name: `web${i}`, port: "", protocol: "TCP" },
    family: "IPv4",
    frontEnds,
    cluster: all,
    local: all.slice(0, locals),
    affinitySeconds,
  };
}

const decisions = fc
  .record({
    i: fc.integer({ min: 1, max: 6 }),
    endpoints: fc.integer({ min: 0, max: 20 }),
    locals: fc.integer({ min: 0, max: 20 }),
    affinity: fc.constantFrom(0, 0, 600, 10800),
    shift: fc.integer({ min: 0, max: 3 }),
    gone: fc.boolean(),
  })
  .map(({ i, endpoints, locals, affinity, shift, gone }) => {
    const made = decision(i, endpoints, Math.min(endpoints, locals), affinity, shift);
    return [decisionKey(made.service, made.family), gone ? undefined : made] as const;
  });

/** The elements as text, sorted: what is in the kernel, whatever the order it came in. */
function listed(elements: Iterable<Element>): readonly string[] {
  return [...elements].map(({ set, key, end, data }) => [set, key, end ?? "", data ?? ""].join(" ")).sort();
}

function word(state: TableState, set: string, at: (key: string) => boolean = () => true): number {
  const found = state.elements().find((element) => element.set === set && at(element.key));
  assert.ok(found?.data !== undefined, `${set} has no such element`);
  return decodeNumber(found.data);
}

test("edits applied to what was there give exactly what should be there", () => {
  fc.assert(
    fc.property(fc.array(fc.array(decisions, { maxLength: 5 }), { maxLength: 8 }), (batches) => {
      const state = new TableState();
      const kernel = new Map<string, Element>();
      for (const batch of batches) {
        const { deletes, adds } = state.change(new Map(batch));
        for (const { set, key } of deletes)
          assert.ok(kernel.delete(`${set} ${key}`), `${set}: deleted what is not there`);
        for (const element of adds) {
          assert.ok(!kernel.has(`${element.set} ${element.key}`), `${element.set}: added what is there`);
          kernel.set(`${element.set} ${element.key}`, element);
        }
        assert.deepEqual(listed(kernel.values()), listed(state.elements()));
      }
    }),
  );
});

test("a new process finds the pools of the old one and has nothing to change", () => {
  fc.assert(
    fc.property(fc.array(decisions, { maxLength: 20 }), (changes) => {
      const old = new TableState();
      for (const change of changes) old.change([change]);
      const current = new Map(changes.filter(([, made]) => made !== undefined));
      for (const [key, made] of changes) if (made === undefined) current.delete(key);
      const left = old.elements();
      const latest = new Map<string, Decision>();
      for (const [key, made] of changes) {
        if (made === undefined) latest.delete(key);
        else latest.set(key, made);
      }
      const heritage = new Heritage(left);
      const fresh = new TableState();
      fresh.change(latest, (key) => {
        const made = latest.get(key);
        return made === undefined ? {} : heritage.former(made, fresh.numbers);
      });
      assert.deepEqual(listed(fresh.elements()), listed(left));
    }),
  );
});

test("a front end whose answer differs for pods and the node has a word of its own for them", () => {
  const state = new TableState();
  const made = decision(1, 3, 1, 0, 0);
  state.change([["a", made]]);
  const other = word(state, "node-ports");
  const pods = word(state, "node-ports-from-pods");
  assert.ok(other & flags.perClient);
  assert.notEqual(poolOf(other), poolOf(pods));
  assert.equal(other & verdictMask, 0);
  assert.equal(pods & verdictMask, 2);
  assert.equal(pods & (flags.pod | flags.node | flags.other), flags.node);
  const clusterIP = word(state, "front-ends", (key) => key.startsWith("\x0a\x60"));
  assert.ok(!(clusterIP & flags.perClient));
  assert.equal(clusterIP & (flags.pod | flags.node | flags.other), flags.node | flags.other);
});

test("one endpoint more changes one slot and nothing else", () => {
  const state = new TableState();
  state.change([["a", decision(1, 5, 0, 0, 0)]]);
  const { deletes, adds } = state.change([["a", decision(1, 6, 0, 0, 0)]]);
  assert.deepEqual(deletes, []);
  assert.deepEqual(
    adds.map(({ set }) => set),
    ["endpoints"],
  );
});

test("one endpoint less changes at most two slots, and the words where a power of two is crossed", () => {
  const state = new TableState();
  state.change([["a", decision(1, 6, 0, 0, 0)]]);
  const five = state.change([["a", decision(1, 5, 0, 0, 0)]]);
  assert.deepEqual(
    five.deletes.map(({ set }) => set),
    ["endpoints"],
  );
  const four = state.change([["a", decision(1, 4, 0, 0, 0)]]);
  assert.deepEqual([...new Set(four.adds.map(({ set }) => set))].sort(), [
    "front-ends",
    "front-ends-from-node",
    "front-ends-from-pods",
    "node-ports-from-node",
    "node-ports-from-pods",
  ]);
});

test("without endpoints every word refuses", () => {
  const state = new TableState();
  state.change([["a", decision(1, 0, 0, 600, 0)]]);
  for (const { set, data } of state.elements()) {
    if (data === undefined) continue;
    assert.ok(set === "front-ends" || set === "node-ports");
    assert.equal(decodeNumber(data) & verdictMask, verdicts.reject);
  }
});
