import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NetlinkError, NetlinkFormatError } from "./errors.ts";
import { AttributeReader, MessageReader } from "./reader.ts";
import { readRefusal } from "./socket.ts";
import { NetlinkWriter } from "./writer.ts";

/** What can be written and read back: a tree of attributes. */
type Tree = { readonly type: number; readonly value: Uint8Array | readonly Tree[] };

const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.record(
    {
      type: fc.integer({ min: 0, max: 0x3fff }),
      value: fc.oneof({ maxDepth: 4 }, fc.uint8Array({ maxLength: 40 }), fc.array(tie("tree"), { maxLength: 4 })),
    },
    { noNullPrototype: true },
  ),
}));

function writeTree(writer: NetlinkWriter, node: Tree): void {
  if (node.value instanceof Uint8Array) {
    writer.attributeBytes(node.type, node.value);
    return;
  }
  const nest = writer.beginNested(node.type);
  for (const child of node.value) writeTree(writer, child);
  writer.endNested(nest);
}

function readTree(reader: AttributeReader): Tree[] {
  const trees: Tree[] = [];
  while (reader.next()) {
    trees.push({ type: reader.type, value: reader.isNested ? readTree(reader.nested()) : reader.copy() });
  }
  return trees;
}

/** Reads everything in every way: what a hostile datagram could make us do. */
function readEverything(bytes: Uint8Array): void {
  const walk = (reader: AttributeReader, depth: number) => {
    while (reader.next()) {
      reader.string();
      reader.bytes();
      for (const read of [() => reader.u8(), () => reader.u16(), () => reader.u32BE(), () => reader.u64BE()]) {
        try {
          read();
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError);
        }
      }
      if (depth > 0) {
        try {
          walk(reader.nested(), depth - 1);
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError);
        }
      }
    }
  };
  for (const message = new MessageReader(bytes); message.next(); ) {
    assert.ok(message.offset + message.length <= bytes.length);
    assert.equal(message.payload.length, message.length - 16);
    try {
      readRefusal(message);
      walk(message.attributes(4), 4);
    } catch (error) {
      assert.ok(error instanceof NetlinkFormatError);
    }
  }
}

test("a message of attributes is read as it was written", () => {
  fc.assert(
    fc.property(fc.array(tree, { maxLength: 6 }), fc.nat(0xffff), fc.nat(0xffff_ffff), (trees, type, sequence) => {
      const writer = new NetlinkWriter(16);
      for (const extra of [0, 1]) {
        writer.begin(type, 0x400, sequence + extra);
        writer.u32(7);
        for (const node of trees) writeTree(writer, node);
        writer.end();
      }
      const message = new MessageReader(writer.buffer, writer.length);
      for (const extra of [0, 1]) {
        assert.ok(message.next());
        assert.deepEqual([message.type, message.flags, message.sequence], [type, 0x401, (sequence + extra) >>> 0]);
        assert.deepEqual(readTree(message.attributes(4)), trees);
      }
      assert.equal(message.next(), false);
    }),
  );
});

test("numbers and text are read as they were written", () => {
  fc.assert(
    fc.property(
      fc.nat(0xff),
      fc.nat(0xffff),
      fc.nat(0xffff_ffff),
      fc.nat(Number.MAX_SAFE_INTEGER),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0")),
      (n8, n16, n32, n53, n64, text) => {
        const writer = new NetlinkWriter();
        writer.attributeU8(1, n8);
        writer.attributeU16(2, n16);
        writer.attributeU16BE(3, n16);
        writer.attributeU32(4, n32);
        writer.attributeU32BE(5, n32);
        writer.attributeU64(6, n64);
        writer.attributeU64BE(7, n53);
        writer.attributeU64BE(8, n64);
        writer.attributeString(9, text);
        writer.attributeU32BE(10, -n16);
        writer.flag(11);
        const a = new AttributeReader(writer.toBytes());
        const values: unknown[] = [];
        const reads = [
          () => a.u8(),
          () => a.u16(),
          () => a.u16BE(),
          () => a.u32(),
          () => a.u32BE(),
          () => a.u64(),
          () => a.u64BE(),
          () => a.u64BE(),
          () => a.string(),
          () => a.i32BE(),
          () => a.length,
        ];
        for (const read of reads) {
          assert.ok(a.next());
          values.push(read());
        }
        assert.deepEqual(
          values,
          [n8, n16, n16, n32, n32, n64, n53, Number(n64), text, -n16, 0].map((v) => (v === 0 ? 0 : v)),
        );
      },
    ),
  );
});

test("the padding behind a value is zero, whatever the buffer held before", () => {
  const writer = new NetlinkWriter(64);
  writer.attributeBytes(1, new Uint8Array(40).fill(0xff));
  writer.reset();
  writer.u8(1);
  writer.attributeString(1, "abcd");
  writer.attributeBytes(2, Uint8Array.of(9));
  assert.equal(Buffer.from(writer.toBytes()).toString("hex"), "01000000090001006162636400000000050002000900" + "0000");
});

test("text with a NUL and attributes above 65,535 bytes are refused", () => {
  const writer = new NetlinkWriter();
  assert.throws(() => writer.attributeString(1, "a\0b"), TypeError);
  assert.throws(() => writer.attributeBytes(1, new Uint8Array(65_532)), RangeError);
  writer.attributeBytes(1, new Uint8Array(65_531));
  const nest = writer.beginNested(1);
  writer.attributeBytes(1, new Uint8Array(40_000));
  writer.attributeBytes(1, new Uint8Array(40_000));
  assert.throws(() => writer.endNested(nest), RangeError);
});

test("a number of another size is refused", () => {
  const reader = new AttributeReader(Uint8Array.of(6, 0, 1, 0, 1, 2, 0, 0));
  assert.ok(reader.next());
  assert.throws(() => reader.u32(), new NetlinkFormatError("attribute 1 has 2 bytes, not 4"));
});

test("random bytes are read or refused, never more", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        readEverything(bytes);
      } catch (error) {
        assert.ok(error instanceof NetlinkFormatError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test("cut and changed messages are read or refused, never more", () => {
  fc.assert(
    fc.property(
      fc.array(tree, { maxLength: 6 }),
      fc.array(fc.tuple(fc.nat(500), fc.nat(255)), { maxLength: 4 }),
      fc.nat(500),
      (trees, changes, end) => {
        const writer = new NetlinkWriter();
        writer.begin(2, 0x200, 1);
        writer.u32(0xffff_fffe);
        for (const node of trees) writeTree(writer, node);
        writer.end();
        const bytes = writer.toBytes();
        for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
        try {
          readEverything(bytes.subarray(0, end));
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError, String(error));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test("an error says the request, the name of the error, and what the kernel said", () => {
  assert.equal(
    new NetlinkError("add link eth7", { errno: 17, explanation: "name taken" }).message,
    "add link eth7: EEXIST: name taken",
  );
  assert.equal(new NetlinkError("delete link eth7", { errno: 19 }).message, "delete link eth7: ENODEV");
  assert.equal(new NetlinkError("x", { errno: 85 }).code, "ERESTART");
  assert.equal(new NetlinkError("x", { errno: 4095 }).code, "E4095");
});
