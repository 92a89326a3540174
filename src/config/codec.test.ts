import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  boolean,
  type Codec,
  duration,
  int32,
  list,
  object,
  record,
  string,
  tryParseByteSize,
  zeroIsDefault,
} from "./codec.ts";
import { formatDuration, tryParseDuration } from "./duration.ts";
import { closestName } from "./problems.ts";

interface Sample {
  readonly name: string;
  readonly count: number;
  readonly wait: number;
  readonly tags: readonly string[];
  readonly on: Readonly<Record<string, boolean>>;
}

const codec: Codec<Sample> = object<Sample>({
  name: string,
  count: int32,
  wait: zeroIsDefault(duration),
  tags: list(string, ""),
  on: record(boolean, false),
});
const defaults: Sample = { name: "n", count: 1, wait: 1000, tags: ["t"], on: {} };

test("absent, null and zero fields take the default", () => {
  const problems: string[] = [];
  assert.deepEqual(codec.decode({ name: null, wait: "0s" }, defaults, "S", problems), defaults);
  assert.deepEqual(problems, []);
});

test("unknown fields and wrong types are problems with a path", () => {
  const problems: string[] = [];
  codec.decode({ nme: "x", count: 1.5, tags: ["a", 3], on: { x: "yes" }, wait: "soon" }, defaults, "S", problems);
  assert.deepEqual(problems, [
    "S.nme: unknown field, did you mean name?",
    "S.count: Invalid type: 1.5: must be a whole number of 32 bits",
    'S.wait: Invalid type: "soon": must be a duration such as 30s or 1h30m',
    "S.tags[1]: Invalid type: 3: must be a string",
    'S.on.x: Invalid type: "yes": must be true or false',
  ]);
});

test("what is encoded is decoded the same", () => {
  const samples = fc.record(
    {
      name: fc.string(),
      count: fc.integer(),
      wait: fc.integer({ min: 1, max: 2 ** 40 }),
      tags: fc.array(fc.string()),
      on: fc.dictionary(fc.string(), fc.boolean(), { noNullPrototype: true }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(samples, (sample) => {
      const problems: string[] = [];
      assert.deepEqual(codec.decode(codec.encode(sample), defaults, "S", problems), sample);
      assert.deepEqual(problems, []);
    }),
  );
});

test("durations are written as Go writes them", () => {
  const cases: readonly [number, string][] = [
    [0, "0s"],
    [1e-6, "1ns"],
    [0.0015, "1.5µs"],
    [250, "250ms"],
    [1500, "1.5s"],
    [60_000, "1m0s"],
    [86_400_000, "24h0m0s"],
    [-90_061_500, "-25h1m1.5s"],
  ];
  for (const [milliseconds, text] of cases) {
    assert.equal(formatDuration(milliseconds), text);
    assert.equal(tryParseDuration(text), milliseconds);
  }
});

test("durations that Go refuses are refused", () => {
  for (const text of ["", "5", "s", "1 s", "1x", ".s", "1e3s", "--1s", "3000000h", "1s2"]) {
    assert.equal(tryParseDuration(text), undefined, text);
  }
  assert.equal(tryParseDuration("0"), 0);
  assert.equal(tryParseDuration("1h2m3.5s"), 3_723_500);
});

test("byte sizes have decimal and binary multiples", () => {
  assert.deepEqual(["0", "512", "1K", "2Ki", "3Mi", "x", "1.5K", ""].map(tryParseByteSize), [
    0,
    512,
    1000,
    2048,
    3 * 1024 * 1024,
    undefined,
    undefined,
    undefined,
  ]);
});

test("the closest name is at most two letters away", () => {
  assert.equal(closestName("MODE", ["mode", "iptables"]), "mode");
  assert.equal(closestName("iptable", ["mode", "iptables"]), "iptables");
  assert.equal(closestName("nothing", ["mode", "iptables"]), undefined);
});
