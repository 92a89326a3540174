import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressBytes, addressFromBytes, compareBytes, parseAddress } from "./address.ts";
import {
  hostPrefix,
  isEveryAddress,
  outermostPrefixes,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixContains,
  prefixFamily,
  prefixLength,
  prefixOf,
  prefixRange,
  tryParsePrefix,
} from "./prefix.ts";

for (const [text, canonical] of [
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["10.1.2.3/8", "10.0.0.0/8"],
  ["10.1.2.3/31", "10.1.2.2/31"],
  ["0.0.0.0/0", "0.0.0.0/0"],
  ["FD00:1::1/16", "fd00::/16"],
  ["fd00:96::/112", "fd00:96::/112"],
  ["ffff::/1", "8000::/1"],
] as const) {
  test(`${text} is ${canonical}`, () => assert.equal(parsePrefix(text), canonical));
}

for (const text of [
  "",
  "/",
  "10.0.0.0",
  "10.0.0.0/",
  "10.0.0.0/33",
  "::/129",
  "10.0.0.0/08",
  "10.0.0.0/-1",
  "10.0.0/8",
  "10.0.0.0/8 ",
  "10.0.0.0/8/8",
]) {
  test(`${JSON.stringify(text)} is no prefix`, () => {
    assert.equal(tryParsePrefix(text), undefined);
    assert.throws(() => parsePrefix(text), TypeError);
  });
}

const prefixes = fc
  .tuple(
    fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })),
    fc.nat(128),
  )
  .map(([bytes, length]) => prefixOf(addressFromBytes(bytes), length % (8 * bytes.length + 1)));

test("a prefix contains its first and last address, and not those beside them", () => {
  fc.assert(
    fc.property(prefixes, (prefix) => {
      const { first, last } = prefixRange(prefix);
      assert.equal(addressFromBytes(first), prefixAddress(prefix));
      assert.ok(compareBytes(first, last) <= 0);
      for (const bytes of [first, last]) assert.ok(prefixContains(prefix, addressFromBytes(bytes)));
      if (isEveryAddress(prefix)) return;
      const before = beside(first, -1);
      const behind = beside(last, 1);
      for (const bytes of [before, behind]) assert.ok(!prefixContains(prefix, addressFromBytes(bytes)));
    }),
  );
});

/** The next or last number, going round at the end. */
function beside(bytes: Uint8Array, step: 1 | -1): Uint8Array {
  const result = bytes.slice();
  for (let i = result.length - 1; i >= 0; i--) {
    const before = result[i] ?? 0;
    result[i] = before + step;
    if (before !== (step === 1 ? 255 : 0)) break;
  }
  return result;
}

test("the outermost prefixes cover the same addresses, and none twice", () => {
  const near = fc
    .tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 24, max: 32 }))
    .map(([last, length]) => prefixOf(parseAddress(`10.0.0.${last}`), length));
  fc.assert(
    fc.property(fc.array(near, { maxLength: 8 }), (list) => {
      const outer = outermostPrefixes(list);
      for (let i = 0; i < 32; i++) {
        const address = parseAddress(`10.0.0.${i}`);
        const within = (all: readonly Prefix[]) => all.filter((prefix) => prefixContains(prefix, address)).length;
        assert.equal(within(outer), Math.min(1, within(list)));
      }
    }),
  );
});

test("families never contain each other", () => {
  assert.ok(!prefixContains(parsePrefix("::/0"), parseAddress("10.0.0.1")));
  assert.ok(!prefixContains(parsePrefix("0.0.0.0/0"), parseAddress("::ffff:10.0.0.1")));
});

test("the prefix of one address has its full length", () => {
  assert.equal(hostPrefix(parseAddress("10.0.0.1")), "10.0.0.1/32");
  assert.equal(hostPrefix(parseAddress("::1")), "::1/128");
  assert.equal(prefixLength(parsePrefix("10.0.0.0/12")), 12);
  assert.equal(prefixFamily(parsePrefix("::/12")), "IPv6");
  assert.throws(() => prefixOf(parseAddress("10.0.0.1"), 33), RangeError);
  assert.equal(addressBytes(prefixAddress(parsePrefix("10.9.8.7/16"))).length, 4);
});
