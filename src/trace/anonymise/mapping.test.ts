import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareBytes } from "../../net/address.ts";
import { Mapping } from "./mapping.ts";
import { after, before, replaceRange } from "./ranges.ts";

const mapping = new Mapping(Buffer.from("a secret"));
const address = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
);

function common(a: Uint8Array, b: Uint8Array): number {
  for (let bit = 0; bit < 8 * a.length; bit++) {
    if ((((a[bit >> 3] ?? 0) ^ (b[bit >> 3] ?? 0)) & (0x80 >> (bit & 7))) !== 0) return bit;
  }
  return 8 * a.length;
}

test("addresses that share a prefix share as long a one afterwards", () => {
  fc.assert(
    fc.property(address, fc.nat(), fc.uint8Array({ minLength: 16, maxLength: 16 }), (a, length, rest) => {
      const b = a.map((byte, i) => (i < length % a.length ? byte : (rest[i] ?? 0)));
      // Interface identifiers of hardware addresses are replaced as a whole.
      if (a.length === 16) for (const each of [a, b]) each[12] = 0;
      assert.equal(common(mapping.address(a), mapping.address(b)), common(a, b));
    }),
  );
});

test("what an address means stays, and so does text that is none", () => {
  for (const text of [
    "127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "::1",
    "ff02::1",
    "0.0.0.0/0",
    "eth0",
    "1.2.3",
  ]) {
    assert.equal(mapping.text(text), text);
  }
  assert.match(mapping.text("10.1.2.3"), /^10\.\d+\.\d+\.3$/);
  assert.match(mapping.text("10.1.0.0/16"), /^10\.\d+\.0\.0\/16$/);
  const mac = mapping.text("52:54:00:12:34:56");
  assert.match(mac, /^02(:[0-9a-f]{2}){5}$/);
  const [a = "", b = "", c = "", d = "", e = "", f = ""] = mac.split(":");
  const identifier = `fe80::${(Number.parseInt(a, 16) ^ 2).toString(16)}${b}:${c}ff:fe${d}:${e}${f}`.replaceAll(
    /:0+(?=[0-9a-f])/g,
    ":",
  );
  assert.equal(
    mapping.text("fe80::5054:ff:fe12:3456"),
    identifier.replace("fe80::0:", "fe80::").replace("fe80::0", "fe80::"),
  );
  assert.notEqual(new Mapping(Buffer.from("another")).text("10.1.2.3"), mapping.text("10.1.2.3"));
});

test("a range is the same addresses afterwards", () => {
  const number = fc.integer({ min: 0x0a000000, max: 0x0a03ffff });
  const bytes = (value: number) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
  fc.assert(
    fc.property(number, number, number, (x, y, z) => {
      const [from, to, probe] = [bytes(Math.min(x, y)), bytes(Math.max(x, y)), bytes(z)];
      const inside = compareBytes(from, probe) <= 0 && compareBytes(probe, to) <= 0;
      const seen = mapping.address(probe);
      const found = replaceRange({ from, to }, mapping).filter(
        (range) => compareBytes(range.from, seen) <= 0 && compareBytes(seen, range.to) <= 0,
      );
      assert.equal(found.length, inside ? 1 : 0);
      assert.deepEqual(before(after(from)), from);
    }),
  );
});
