import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { decodeResponse, encodeRequest } from "./grpchealth.ts";

test("a question for health is a call of gRPC", () => {
  assert.equal(encodeRequest("").toString("hex"), "0000000000");
  assert.equal(encodeRequest("a.B").toString("hex"), "00000000050a03612e42");
  assert.throws(() => encodeRequest("x".repeat(128)), RangeError);
});

test("an answer is one of four, and everything else is none", () => {
  const answer = (hex: string) => decodeResponse(Buffer.from(hex, "hex"));
  assert.equal(answer("00000000020801"), "SERVING");
  assert.equal(answer("00000000020802"), "NOT_SERVING");
  assert.equal(answer("0000000000"), "UNKNOWN");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
      try {
        decodeResponse(Buffer.from(bytes));
      } catch (error) {
        assert.match(String(error), /the answer is none of grpc\.health\.v1\.Health/);
      }
    }),
  );
});
