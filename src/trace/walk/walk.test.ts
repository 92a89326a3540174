import assert from "node:assert/strict";
import { test } from "node:test";
import type { Chain, Expression, Rule } from "../../kernel/nftables/index.ts";
import { parseAddress } from "../../net/address.ts";
import type { Snapshot } from "../snapshot/index.ts";
import { emptySnapshot, linkOf, localRoute } from "../snapshot/testing.ts";
import { type Question, walk } from "./index.ts";

const place = { family: "ip", table: "t" } as const;
const base: Chain = { ...place, chain: "in", base: { type: "filter", hook: "prerouting", priority: 0 } };

/** A node with one address, and these rules in base chain `in` and in chain `other`. */
function node(
  rules: readonly (readonly Expression[])[],
  other: readonly (readonly Expression[])[] = [],
  more: Partial<Snapshot> = {},
): Snapshot {
  const inChain = (chain: string, list: readonly (readonly Expression[])[]) =>
    list.map((expressions, i): Rule => ({ ...place, chain, expressions, handle: i + 1 }));
  return {
    ...emptySnapshot,
    links: [linkOf(2, "eth0")],
    addresses: [],
    routes: [localRoute("192.0.2.1/32")],
    nftables: {
      generation: 1,
      consistent: true,
      tables: [place],
      chains: [base, { ...place, chain: "other" }],
      rules: [...inChain("in", rules), ...inChain("other", other)],
      sets: [],
      objects: [],
    },
    sockets: [{ protocol: "TCP", address: parseAddress("0.0.0.0"), port: 80 }],
    ...more,
  };
}

const question: Question = {
  input: "eth0",
  packet: {
    family: "IPv4",
    source: parseAddress("203.0.113.5"),
    destination: parseAddress("192.0.2.1"),
    protocol: 6,
    destinationPort: 80,
  },
};

const jump = (chain: string): Expression => ({ kind: "verdict", verdict: { kind: "jump", chain } });
const outcomes = (snapshot: Snapshot, steps?: number) =>
  walk(snapshot, question, steps === undefined ? {} : { steps }).ends.map(({ outcome, state }) => ({
    ...outcome,
    assumptions: state.assumptions,
  }));

test("rules that call each other in a circle end, and are said to be unknown", () => {
  const [only, ...more] = outcomes(node([[jump("other")]], [[jump("other")]]));
  assert.equal(more.length, 0);
  assert.ok(only?.kind === "unknown" && /jumps are nested too deeply/.test(only.why));
});

test("gotos may be nested as deep as they like, for they need no place to return to", () => {
  const goto = (chain: string): Expression => ({ kind: "verdict", verdict: { kind: "goto", chain } });
  const chains = Array.from({ length: 40 }, (_, i): Chain => ({ ...place, chain: `c${i}` }));
  const rules = chains.map(
    ({ chain }, i): Rule => ({
      ...place,
      chain,
      expressions: [i === 39 ? { kind: "verdict", verdict: { kind: "drop" } } : goto(`c${i + 1}`)],
    }),
  );
  const snapshot = node([[goto("c0")]]);
  const { nftables } = snapshot;
  const [only] = outcomes({
    ...snapshot,
    nftables: { ...nftables, chains: [...nftables.chains, ...chains], rules: [...nftables.rules, ...rules] },
  });
  assert.equal(only?.kind, "dropped");
  const [circle] = outcomes(node([[goto("other")]], [[goto("other")]]));
  assert.ok(circle?.kind === "unknown" && /nested too deeply/.test(circle.why));
});

test("a rule set that takes too many steps is given up, and said to be unknown", () => {
  const many = Array.from({ length: 20 }, () => [{ kind: "counter", packets: 0, bytes: 0 }] as const);
  const [only] = outcomes(node(many), 10);
  assert.ok(only?.kind === "unknown" && /too many steps/.test(only.why));
});

test("chains and sets that are not there are said to be unknown", () => {
  const [chain] = outcomes(node([[jump("nowhere")]]));
  assert.ok(chain?.kind === "unknown" && /no chain nowhere/.test(chain.why));
  const [set] = outcomes(node([[{ kind: "lookup", set: "nothing", sreg: 8 }]]));
  assert.ok(set?.kind === "unknown" && /no set nothing/.test(set.why));
});

test("an expression that nobody knows is never passed over", () => {
  const [only] = outcomes(node([[{ kind: "unknown", name: "magic", data: new Uint8Array() }]]));
  assert.ok(only?.kind === "unknown" && /expression magic is not known/.test(only.why));
});

test("what is not known of the packet makes two ways, each with its condition, unless both lead to the same", () => {
  const ttl: Expression = { kind: "payload", dreg: 8, base: "network", offset: 8, length: 1 };
  const small: Expression = { kind: "cmp", sreg: 8, op: "lt", data: Uint8Array.of(5) };
  const drop: Expression = { kind: "verdict", verdict: { kind: "drop" } };
  const two = outcomes(node([[ttl, small, drop]]));
  assert.deepEqual(
    two.map(({ kind, assumptions }) => [kind, assumptions]),
    [
      ["dropped", ["time to live lt 5"]],
      ["delivered", ["not: time to live lt 5"]],
    ],
  );
  const same = outcomes(node([[ttl, small, { kind: "counter", packets: 0, bytes: 0 }]]));
  assert.deepEqual(
    same.map(({ kind, assumptions }) => [kind, assumptions]),
    [["delivered", []]],
  );
});

test("choices among choices are given up before they take for ever, and said to be unknown", () => {
  const draw: readonly Expression[] = [
    { kind: "numgen", dreg: 8, mode: "random", modulus: 8192 },
    { kind: "meta set", sreg: 8, key: "mark" },
  ];
  const kinds = new Set(outcomes(node([draw, draw, draw, draw]), 50_000).map(({ kind }) => kind));
  assert.ok(kinds.has("unknown"));
});

test("choices at random have shares that add up to one", () => {
  const draw: Expression = { kind: "numgen", dreg: 8, mode: "random", modulus: 8 };
  const first: Expression = { kind: "cmp", sreg: 8, op: "eq", data: Uint8Array.of(0, 0, 0, 0) };
  const { ends } = walk(node([[draw, first, { kind: "verdict", verdict: { kind: "drop" } }]]), question);
  assert.deepEqual(
    ends.map(({ outcome, state }) => [outcome.kind, state.probability]),
    [
      ["dropped", 1 / 8],
      ["delivered", 7 / 8],
    ],
  );
});

test("a hundred thousand elements of a set are looked up in no more than one of them", () => {
  const elements = Array.from({ length: 100_000 }, (_, i) => ({ key: Uint8Array.of(10, i >> 16, i >> 8, i) }));
  const set = { ...place, set: "big", key: { type: 7, length: 4 }, elements };
  const snapshot = node([
    [
      { kind: "payload", dreg: 8, base: "network", offset: 12, length: 4 },
      { kind: "lookup", set: "big", sreg: 8 },
      { kind: "verdict", verdict: { kind: "drop" } },
    ],
  ]);
  const [only] = outcomes({ ...snapshot, nftables: { ...snapshot.nftables, sets: [set] } });
  assert.equal(only?.kind, "delivered");
});
