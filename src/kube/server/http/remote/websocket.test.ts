import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { lastLines } from "../pods.ts";
import { acceptOf, messageLimit, readFrame, WebSocketError, writeFrame } from "./websocket.ts";

/** A frame as a client sends it. */
function masked(opcode: number, payload: Uint8Array, mask: Uint8Array): Buffer {
  const frame = writeFrame(opcode, payload);
  const head = frame.subarray(0, frame.length - payload.length);
  head[1] = (head[1] ?? 0) | 0x80;
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0))]);
}

test("the handshake answers a key as RFC 6455 says", () => {
  assert.equal(acceptOf("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});

test("frames come out as they went in, however they are cut", () => {
  const mask = fc.uint8Array({ minLength: 4, maxLength: 4 });
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.integer({ min: 65_530, max: 65_540 }).map((size) => new Uint8Array(size).fill(7)),
  );
  fc.assert(
    fc.property(fc.constantFrom(0, 1, 2, 8, 9, 10), payload, mask, fc.nat(), (opcode, content, key, cut) => {
      const bytes = masked(opcode, content, key);
      assert.equal(readFrame(bytes.subarray(0, cut % bytes.length)), undefined);
      const read = readFrame(Buffer.concat([bytes, Buffer.from("more")]));
      assert.equal(read?.size, bytes.length);
      assert.equal(read?.frame.opcode, opcode);
      assert.deepEqual(read?.frame.payload, Buffer.from(content));
    }),
    { numRuns: 60 },
  );
});

test("frames without a mask, with extensions, or too large are refused", () => {
  assert.throws(() => readFrame(writeFrame(2, Buffer.from("x"))), WebSocketError);
  assert.throws(() => readFrame(Buffer.from([0xc2, 0x80, 0, 0, 0, 0])), WebSocketError);
  const huge = Buffer.alloc(14);
  huge[0] = 0x82;
  huge[1] = 0xff;
  huge.writeBigUInt64BE(BigInt(messageLimit + 1), 2);
  assert.throws(() => readFrame(huge), WebSocketError);
});

test("the last lines of a text are cut off right", () => {
  assert.equal(lastLines("a\nb\nc\n", 2), "b\nc\n");
  assert.equal(lastLines("a\nb\nc", 1), "c");
  assert.equal(lastLines("a\nb\n", 9), "a\nb\n");
  assert.equal(lastLines("a\n", 0), "");
  assert.equal(lastLines("", 3), "");
  assert.equal(lastLines("\n\nx\n", 2), "\nx\n");
});
