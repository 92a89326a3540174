import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Address,
  addressBytes,
  addressFromBytes,
  compareAddresses,
  familyOf,
  isLinkLocal,
  isLoopback,
  isUnspecified,
  parseAddress,
  tryParseAddress,
} from "./address.ts";

const valid: readonly (readonly [string, string])[] = [
  ["0.0.0.0", "0.0.0.0"],
  ["255.255.255.255", "255.255.255.255"],
  ["10.0.200.1", "10.0.200.1"],
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["FE80::0001", "fe80::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["::ffff:192.0.2.1", "::ffff:192.0.2.1"],
  ["::ffff:c000:201", "::ffff:192.0.2.1"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
];

for (const [text, canonical] of valid) {
  test(`${text} is ${canonical}`, () => assert.equal(parseAddress(text), canonical));
}

const invalid = [
  ...[
    "",
    " ",
    "1",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.",
    ".1.2.3",
    "1..2.3",
    "01.2.3.4",
    "1.2.3.04",
    "256.1.1.1",
    "1.2.3.-4",
  ],
  ...["1.2.3.4 ", " 1.2.3.4", "1.2.3.4/8", "1.2.3.4:80", "0x1.2.3.4", "1e1.2.3.4", "1.2.3.4\n", "١.2.3.4"],
  ...[
    ":",
    ":::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    "::1:2:3:4:5:6:7:8",
    "12345::",
    "g::",
    "::1%eth0",
    "[::1]",
  ],
  ...[
    "::1.2.3",
    "::1.2.3.4.5",
    "::01.2.3.4",
    "1.2.3.4::",
    "1:2:3:4:5:6:7:1.2.3.4",
    "::1.2.3.4:5",
    "1:",
    ":1",
    "fe80::-1",
  ],
];

for (const text of invalid) {
  test(`${JSON.stringify(text)} is no address`, () => {
    assert.equal(tryParseAddress(text), undefined);
    assert.throws(() => parseAddress(text), TypeError);
  });
}

const bytesOf = (length: 4 | 16) => fc.uint8Array({ minLength: length, maxLength: length });
// Zeros are what the canonical form of IPv6 is about.
const zeroes = fc
  .array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 })
  .map((list) => Uint8Array.from(list));
const anyBytes = fc.oneof(bytesOf(4), bytesOf(16), zeroes);

test("bytes become an address and the same bytes again, in a form that parses to itself", () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const address = addressFromBytes(bytes);
      assert.deepEqual([...addressBytes(address)], [...bytes]);
      assert.equal(parseAddress(address), address);
      assert.equal(familyOf(address), bytes.length === 4 ? "IPv4" : "IPv6");
    }),
  );
});

test("what Node's parser refuses is refused here, and the other way round but for zones", () => {
  const text = fc.array(fc.constantFrom("0", "1", "25", "255", "f", "ffff", ":", "::", ".", "%e"), { maxLength: 14 });
  fc.assert(
    fc.property(text, (parts) => {
      const candidate = parts.join("");
      if (!candidate.includes("%"))
        assert.equal(tryParseAddress(candidate) !== undefined, isIP(candidate) !== 0, candidate);
    }),
    { numRuns: 2000 },
  );
});

test("addresses are ordered by family, then by value", () => {
  const list = ["::2", "10.0.0.10", "10.0.0.9", "::10", "9.255.255.255"].map(parseAddress);
  assert.deepEqual(list.sort(compareAddresses), ["9.255.255.255", "10.0.0.9", "10.0.0.10", "::2", "::10"]);
});

test("special addresses are known", () => {
  const which = (is: (address: Address) => boolean) =>
    [
      "127.0.0.1",
      "127.9.9.9",
      "128.0.0.1",
      "::1",
      "::",
      "0.0.0.0",
      "169.254.1.1",
      "fe80::1",
      "febf::1",
      "fec0::1",
      "::ffff:127.0.0.1",
    ]
      .map(parseAddress)
      .filter(is);
  assert.deepEqual(which(isLoopback), ["127.0.0.1", "127.9.9.9", "::1"]);
  assert.deepEqual(which(isUnspecified), ["::", "0.0.0.0"]);
  assert.deepEqual(which(isLinkLocal), ["169.254.1.1", "fe80::1", "febf::1"]);
});

test("an address has 4 or 16 bytes", () => {
  assert.throws(() => addressFromBytes(new Uint8Array(5)), RangeError);
});
