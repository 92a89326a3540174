/** Documents that somebody made to do harm. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../net/address.ts";
import { type Walk, walk } from "../walk/index.ts";
import { parseSnapshot } from "./index.ts";
import { emptySnapshot } from "./testing.ts";

const table = { family: "ip", table: "t" };
type Json = Record<string, unknown>;
const withRules = (rules: readonly Json[], chains: readonly Json[] = [], more: Json = {}) =>
  JSON.stringify({
    ...emptySnapshot,
    nftables: { ...emptySnapshot.nftables, tables: [table], chains, rules, ...more },
  });
const input = { ...table, chain: "in", base: { type: "filter", hook: "input", priority: 0 } };
const jump = (from: string, to: string) => ({
  ...table,
  chain: from,
  expressions: [{ kind: "verdict", verdict: { kind: "jump", chain: to } }],
});

function walkIn(text: string, steps?: number): Walk {
  return walk(
    parseSnapshot(text, "file"),
    {
      input: "eth0",
      packet: {
        family: "IPv4",
        source: parseAddress("10.0.0.9"),
        destination: parseAddress("10.0.0.1"),
        protocol: 6,
        destinationPort: 80,
      },
    },
    steps === undefined ? {} : { steps },
  );
}

test("a document that is nested without end is refused, whatever is nested", () => {
  const deep = (open: string, close: string) => `${open.repeat(200_000)}${close.repeat(200_000)}`;
  for (const text of [deep("[", "]"), deep('{"links":', "}").replace(":}", ":1}")]) {
    assert.throws(() => parseSnapshot(text, "file"), /^Error: file: /);
  }
  let expression: unknown = { kind: "notrack" };
  for (let i = 0; i < 3000; i++) expression = { kind: "inner", type: 0, flags: 0, headerSize: 0, expression };
  assert.throws(
    () => parseSnapshot(withRules([{ ...table, chain: "in", expressions: [expression] }]), "file"),
    /nested less deeply/,
  );
});

test("what is wrong is told in a line, however long it is", () => {
  const long = "x".repeat(10_000_000);
  for (const change of [
    { name: long },
    { [long]: 1 },
    { sysctls: { [long]: 1 } },
    { links: long },
    { schemaVersion: long },
  ]) {
    assert.throws(
      () => parseSnapshot(JSON.stringify({ ...emptySnapshot, ...change }), "file"),
      (error: unknown) => error instanceof Error && error.message.length < 1000,
    );
  }
});

test("names that objects have of themselves are names like others", () => {
  const text = JSON.stringify(emptySnapshot).replace('"sysctls":{', '"sysctls":{"__proto__":"1","constructor":"2",');
  const parsed = parseSnapshot(text, "file");
  assert.equal(Object.getPrototypeOf(parsed.sysctls), Object.prototype);
  assert.deepEqual(Object.keys(parsed.sysctls).slice(0, 2), ["__proto__", "constructor"]);
  assert.equal(({} as Json).polluted, undefined);
  for (const name of ["__proto__", "constructor", "toString"]) {
    assert.throws(
      () => parseSnapshot(`{"${name}":{"polluted":1},${JSON.stringify(emptySnapshot).slice(1)}`, "file"),
      new RegExp(`snapshot\\.${name}: Unknown field`),
    );
    const rule = { ...table, chain: "in", expressions: [{ kind: name }] };
    assert.throws(() => parseSnapshot(withRules([rule]), "file"), /a known kind/);
  }
  const chains = [input, { ...table, chain: "__proto__" }, { ...table, chain: "constructor" }];
  const { ends } = walkIn(
    withRules([jump("in", "__proto__"), jump("__proto__", "constructor"), jump("in", "toString")], chains),
  );
  assert.deepEqual(
    ends.map(({ outcome }) => "why" in outcome && outcome.why),
    ["ip t in rule 2: there is no chain toString"],
  );
});

test("rules that jump in circles, or that spread without end, are given up with a reason", () => {
  const circle = walkIn(
    withRules(
      [jump("in", "a"), jump("a", "b"), jump("b", "a"), jump("b", "in")],
      [input, { ...table, chain: "a" }, { ...table, chain: "b" }],
    ),
  );
  assert.match(JSON.stringify(circle.ends.map(({ outcome }) => outcome)), /nested too deeply/);
  const names = Array.from({ length: 15 }, (_, i) => `c${i}`);
  const spread = names.flatMap((name, i) => Array.from({ length: i < 14 ? 10 : 0 }, () => jump(name, `c${i + 1}`)));
  const tree = walkIn(
    withRules([jump("in", "c0"), ...spread], [input, ...names.map((chain) => ({ ...table, chain }))]),
    20_000,
  );
  assert.match(JSON.stringify(tree.ends.map(({ outcome }) => outcome)), /too many steps/);
});

test("rules that nobody knows leave the outcome open, and do no more", () => {
  const rules = [
    { ...table, chain: "in", expressions: [{ kind: "unknown", name: "future", data: "0102" }] },
    { ...table, chain: "in", expressions: [{ kind: "lookup", set: "gone", sreg: 8 }] },
  ];
  const { ends } = walkIn(withRules(rules, [input]));
  assert.deepEqual(
    ends.map(({ outcome }) => outcome.kind),
    ["unknown"],
  );
  const match = { kind: "match", name: "future", revision: 9, info: "" };
  const perhaps = walkIn(
    withRules(
      [{ ...table, chain: "in", expressions: [match, { kind: "verdict", verdict: { kind: "drop" } }] }],
      [input],
    ),
  );
  assert.equal(perhaps.ends.length, 2);
});
