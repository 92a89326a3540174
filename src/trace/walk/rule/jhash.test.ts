import assert from "node:assert/strict";
import { test } from "node:test";
import { jhash, scale } from "./jhash.ts";

test("hashes are those of the kernel", () => {
  // The self-test of Bob Jenkins' lookup3, on which the kernel's jhash is built: the same for whole words of 12 bytes.
  assert.equal(jhash(new Uint8Array(), 0), 0xdeadbeef);
  assert.equal(jhash(new TextEncoder().encode("Four score and seven years ago"), 0), 0x17770551);
  assert.equal(jhash(new TextEncoder().encode("Four score and seven years ago"), 1), 0xcd628161);
});

test("a scaled hash lies below the modulus", () => {
  assert.equal(scale(0, 10), 0);
  assert.equal(scale(0xffff_ffff, 10), 9);
  assert.equal(scale(0x8000_0000, 10), 5);
});
