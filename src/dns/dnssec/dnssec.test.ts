import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { test } from "node:test";
import { parseRecord } from "../wire/parse.ts";
import { parseKey } from "./keys.ts";
import { signSet } from "./sign.ts";

/** The key of RFC 6605 6.1, as dnssec-keygen would write it. */
const publicText = `; This is a key-signing key
example.net. 3600 IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==
`;
const privateText = `Private-key-format: v1.2
Algorithm: 13 (ECDSAP256SHA256)
PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=
`;

test("a key is read from its files, with the tag that RFC 6605 gives it", () => {
  const key = parseKey(publicText, privateText);
  assert.deepEqual([key.zone, key.tag, key.signsKeys], ["example.net.", 55648, true]);
  assert.throws(() => parseKey("a. IN A 192.0.2.1", privateText), /no DNSKEY record/);
  assert.throws(() => parseKey(publicText, "Algorithm: 13"), /has no PrivateKey/);
  assert.throws(() => parseKey(publicText.replace(" 13 ", " 5 "), privateText), /algorithm 5 cannot sign/);
});

test("a set is signed in canonical form, whatever the order and case of its records", () => {
  const key = parseKey(publicText, privateText);
  const set = ["Www.example.net. 60 IN NS B.example.net.", "Www.example.net. 60 IN NS a.example.net."].map((line) =>
    parseRecord(line),
  );
  const signature = signSet(set, key, 1_000, 2_000);
  const { covered, labels, originalTtl, keyTag, signer } = signature.data;
  assert.deepEqual([covered, labels, originalTtl, keyTag, signer], [2, 3, 60, 55648, "example.net."]);
  const name = (text: string) =>
    Buffer.concat([...text.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)]))]);
  const head = Buffer.alloc(18);
  head.writeUInt16BE(2, 0);
  head.set([13, 3], 2);
  head.writeUInt32BE(60, 4);
  head.writeUInt32BE(2_000, 8);
  head.writeUInt32BE(1_000, 12);
  head.writeUInt16BE(55648, 16);
  const records = ["a.example.net.", "b.example.net."].map((target) => {
    const data = name(target);
    return Buffer.concat([name("www.example.net."), Buffer.from([0, 2, 0, 1, 0, 0, 0, 60, 0, data.length]), data]);
  });
  const bytes = Buffer.concat([head, name("example.net."), ...records]);
  const point = Buffer.from(key.record.data.publicKey);
  const [x, y] = [point.subarray(0, 32), point.subarray(32)].map((half) => half.toString("base64url"));
  const publicKey = createPublicKey({ key: { kty: "EC", crv: "P-256", x, y } as never, format: "jwk" });
  assert.ok(verify("sha256", bytes, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature.data.signature));
});
