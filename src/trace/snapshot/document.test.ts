import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseSnapshot } from "./index.ts";

const empty = {
  schemaVersion: 1,
  name: "node",
  time: "2026-01-01T00:00:00.000Z",
  kernel: "6.18.0",
  links: [],
  addresses: [],
  neighbours: [],
  fdb: [],
  rules: [],
  routes: [],
  sysctls: { "net/ipv4/ip_forward": "1" },
  nftables: { generation: 1, consistent: true, tables: [], chains: [], rules: [], sets: [], objects: [] },
  iptables: [],
  ipsets: [],
  conntrack: [],
  sockets: [],
  missing: [],
};
const parse = (value: unknown) => parseSnapshot(JSON.stringify(value), "file");

test("an empty snapshot is one", () => {
  assert.deepEqual(parse(empty), empty);
});

test("what is cut off, of another version or of other fields is refused with its place", () => {
  const text = JSON.stringify(empty);
  assert.throws(() => parseSnapshot(text.slice(0, -5), "file"), /file: not a snapshot, or cut off/);
  assert.throws(() => parse({ ...empty, schemaVersion: 2 }), /schemaVersion 2 is newer than 1/);
  assert.throws(() => parse({ ...empty, colour: "red" }), /snapshot\.colour: Unknown field/);
  assert.throws(() => parse({ ...empty, links: [{ index: -1 }] }), /snapshot\.links\[0\]: /);
  assert.throws(() => parse({ ...empty, sockets: undefined }), /an object with sockets/);
  const rule = { family: "ip", table: "t", chain: "c", expressions: [{ kind: "cmp", sreg: 99, op: "eq", data: "00" }] };
  assert.throws(
    () => parse({ ...empty, nftables: { ...empty.nftables, rules: [rule] } }),
    /rules\[0\]\.expressions\[0\]\.sreg: Invalid value: 99: must be a whole number from 8 to 23/,
  );
});

test("no document makes the reader fail in another way than with a sentence", () => {
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(empty)), fc.jsonValue(), (field, value) => {
      try {
        parse({ ...empty, [field]: value });
      } catch (error) {
        assert.match(String(error), /^Error: file: /);
      }
    }),
  );
});
