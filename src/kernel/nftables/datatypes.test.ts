import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  concatKey,
  interfaceNameBytes,
  keyLayout,
  keyParts,
  partRegisters,
  rangeElements,
  typeofLayout,
  u16Bytes,
  u32Bytes,
} from "./datatypes.ts";
import { encodeTypeof, typeOf, typeofNumgen } from "./typeof.ts";
import { commentItem, commentText, decodeUserdata, encodeUserdata, itemNumber, numberItem } from "./userdata.ts";

test("a concatenation's parts stand at multiples of four, as their types say", () => {
  const layout = keyLayout("ipv4_addr", "inet_proto", "inet_service", "ipv6_addr");
  assert.deepEqual(layout, { type: (((7 << 6) | 12) << 12) | (13 << 6) | 8, length: 28, fields: [4, 1, 2, 16] });
  const { fields: _, ...fromKernel } = layout;
  assert.deepEqual(keyParts(fromKernel), keyParts(layout));
  assert.deepEqual(
    keyParts(layout).map((part) => part.offset),
    [0, 4, 8, 12],
  );
  assert.deepEqual(partRegisters(layout, 8), [8, 9, 10, 11]);
});

test("parts of five types fit, and are found again", () => {
  const layout = keyLayout("ifname", "ipv4_addr", "mark", "inet_service", "ipv4_addr");
  assert.deepEqual(
    keyParts(layout).map((part) => part.type),
    ["ifname", "ipv4_addr", "mark", "inet_service", "ipv4_addr"],
  );
});

test("a key that nobody can tell apart is one part", () => {
  assert.deepEqual(keyParts({ type: (4 << 6) | 4, length: 8 }), [{ type: undefined, offset: 0, length: 8 }]);
  assert.deepEqual(keyParts({ type: 0, length: 5 }), [{ type: undefined, offset: 0, length: 5 }]);
  assert.deepEqual(keyParts({ type: 0xffff_ff00, length: 4 }).length, 1);
  assert.throws(() => keyLayout("integer"), RangeError);
  assert.throws(() => keyLayout(), RangeError);
});

test("keys are put together with zeros between their parts", () => {
  const key = concatKey([u32Bytes(0x0a000001), Uint8Array.of(6), u16Bytes(443)]);
  assert.equal(Buffer.from(key).toString("hex"), "0a0000010600000001bb0000");
  const again = new Uint8Array(12).fill(0xff);
  assert.equal(concatKey([u32Bytes(0x0a000001), Uint8Array.of(6), u16Bytes(443)], again), again);
  assert.deepEqual(again, key);
  assert.throws(() => concatKey([Uint8Array.of(1)], again), RangeError);
});

test("a typeof key is stored as nft stores it", () => {
  // Taken from nft 1.0.6: typeof ip daddr . meta l4proto . th dport . numgen random mod 2
  const hex =
    "00040d00000001580014000407000000010c00040c00000001040c000000010e00040900000001060004100000000214000407000000010c0004" +
    "0b000000010402000000031a0004170000000112000401000000010402000000020400000000";
  const parts = [typeOf("ip daddr"), typeOf("meta l4proto"), typeOf("th dport"), typeofNumgen("random", 2)];
  assert.equal(Buffer.from(encodeTypeof(parts)).toString("hex"), hex);
  assert.deepEqual(typeofLayout(...parts).fields, [4, 1, 2, 4]);
  const single = "0004170000000112000401000000010402000000020400000000";
  assert.equal(Buffer.from(encodeTypeof([typeofNumgen("random", 2)])).toString("hex"), single);
});

test("the elements of a range end behind its last key", () => {
  fc.assert(
    fc.property(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff), (a, b) => {
      const [first, last] = a < b ? [a, b] : [b, a];
      const [start, end] = rangeElements(u32Bytes(first), u32Bytes(last));
      assert.deepEqual(start, { key: u32Bytes(first) });
      assert.deepEqual(end, last === 0xffff_ffff ? undefined : { key: u32Bytes(last + 1), intervalEnd: true });
    }),
    {
      examples: [
        [0, 0xffff_ffff],
        [5, 0xffff],
        [1, 0xff_ffff],
      ],
    },
  );
});

test("user data is read as it was written, and cut off data up to the cut", () => {
  const item = fc.record({ type: fc.nat(255), value: fc.uint8Array({ maxLength: 255 }) }, { noNullPrototype: true });
  fc.assert(
    fc.property(fc.array(item, { maxLength: 4 }), fc.nat(1100), (items, end) => {
      const bytes = encodeUserdata(items);
      assert.deepEqual(decodeUserdata(bytes), items);
      const part = decodeUserdata(bytes.subarray(0, end));
      assert.deepEqual(part, items.slice(0, part.length));
    }),
  );
});

test("comments and numbers survive, long comments are refused", () => {
  assert.equal(commentText(commentItem(0, "für default/web").value), "für default/web");
  assert.throws(() => commentItem(0, "x".repeat(128)), RangeError);
  assert.equal(itemNumber(numberItem(0, 0xdead_beef).value), 0xdead_beef);
  assert.equal(itemNumber(Uint8Array.of(1)), undefined);
});

test("an interface's name has 1 to 15 bytes", () => {
  assert.equal(Buffer.from(interfaceNameBytes("eth0")).toString("latin1"), `eth0${"\0".repeat(12)}`);
  assert.throws(() => interfaceNameBytes("a-name-too-long0"), RangeError);
  assert.throws(() => interfaceNameBytes(""), RangeError);
});
