import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeEntries, decodeInfo, TableFormatError } from "./blob.ts";

/** `struct ipt_entry` with matches and a target. */
function entry(target: Uint8Array, options: { flags?: number; source?: readonly number[]; match?: Uint8Array } = {}) {
  const match = options.match ?? new Uint8Array();
  const bytes = new Uint8Array(112 + match.length + target.length);
  const view = new DataView(bytes.buffer);
  if (options.source !== undefined) {
    bytes.set(options.source);
    bytes.fill(255, 8, 12);
  }
  bytes[82] = options.flags ?? 0;
  view.setUint16(88, 112 + match.length, true);
  view.setUint16(90, bytes.length, true);
  bytes.set(match, 112);
  bytes.set(target, 112 + match.length);
  return bytes;
}

function part(name: string, info: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(32 + info.length);
  new DataView(bytes.buffer).setUint16(0, bytes.length, true);
  new TextEncoder().encodeInto(name, bytes.subarray(2));
  bytes.set(info, 32);
  return bytes;
}

const verdict = (number: number) => part("", new Uint8Array(new Int32Array([number, 0]).buffer));
const head = (name: string) => {
  const text = new Uint8Array(32);
  new TextEncoder().encodeInto(name, text);
  return entry(part("ERROR", text));
};

function table(parts: readonly Uint8Array[], start: number, policy: number) {
  const bytes = Buffer.concat(parts);
  return { bytes, info: { hooks: [{ chain: "INPUT", start, policy }], size: bytes.length } };
}

test("built-in chains have a policy, others begin with their names, and jumps lead to them", () => {
  const rule = entry(verdict(0), { source: [192, 0, 2, 1], match: part("mark", new Uint8Array(16)) });
  const policy = entry(verdict(-1));
  const chain = head("MINE");
  const where = rule.length + policy.length + chain.length;
  new DataView(rule.buffer).setInt32(rule.length - 8, where, true);
  const drop = entry(verdict(-1));
  const { bytes, info } = table([rule, policy, chain, drop, entry(verdict(-5)), head("ERROR")], 0, rule.length);
  const [input, mine] = decodeEntries(bytes, info, "IPv4");
  assert.equal(input?.policy, "DROP");
  assert.deepEqual(
    input?.rules[0]?.map(({ kind }) => kind),
    ["payload", "cmp", "match", "verdict"],
  );
  assert.deepEqual(input?.rules[0]?.at(-1), { kind: "verdict", verdict: { kind: "jump", chain: "MINE" } });
  assert.deepEqual(mine, { name: "MINE", rules: [[{ kind: "verdict", verdict: { kind: "drop" } }]] });
});

test("a rule without a target goes on, and an empty chain has no rules", () => {
  const rule = entry(verdict(0));
  new DataView(rule.buffer).setInt32(rule.length - 8, rule.length, true);
  const { bytes, info } = table(
    [rule, entry(verdict(-2)), head("EMPTY"), entry(verdict(-5)), head("ERROR")],
    0,
    rule.length,
  );
  assert.deepEqual(decodeEntries(bytes, info, "IPv4"), [
    { name: "INPUT", policy: "ACCEPT", rules: [[]] },
    { name: "EMPTY", rules: [] },
  ]);
});

test("no bytes make the decoders do worse than call the table malformed", () => {
  const { bytes, info } = table([entry(verdict(-2)), head("MINE"), entry(verdict(-5)), head("ERROR")], 0, 0);
  const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255));
  fc.assert(
    fc.property(
      fc.array(change),
      fc.nat(bytes.length),
      fc.constantFrom("IPv4" as const, "IPv6" as const),
      (changes, end, family) => {
        const broken = Uint8Array.from(bytes.subarray(0, end));
        for (const [at, value] of changes) if (at < end) broken[at] = value;
        for (const decode of [() => decodeEntries(broken, info, family), () => decodeInfo(broken)]) {
          try {
            decode();
          } catch (error) {
            assert.ok(error instanceof TableFormatError, String(error));
          }
        }
      },
    ),
  );
});
