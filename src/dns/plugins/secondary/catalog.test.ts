import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRecord } from "../../wire/parse.ts";
import { Zone } from "../../zone/zone.ts";
import { membersOf } from "./catalog.ts";

const catalog = (...lines: readonly string[]) =>
  new Zone(
    "cat.",
    ["cat. 0 SOA invalid. invalid. 1 2 3 4 5", "cat. 0 NS invalid.", ...lines].map((line) => parseRecord(line)),
  );
const version = 'version.cat. 0 TXT "2"';

test("members are the PTR records one label below zones", () => {
  const members = membersOf(
    catalog(
      version,
      "a1.zones.cat. 0 PTR One.Example.",
      "B2.ZONES.cat. 0 PTR two.example.",
      "coo.b2.zones.cat. 0 PTR New.cat.",
      "group.b2.zones.cat. 0 TXT nodnssec",
      "x.y.zones.cat. 0 PTR deep.example.",
      "other.cat. 0 PTR other.example.",
      "self.zones.cat. 0 PTR cat.",
      "no.zones.cat. 0 TXT none.example.",
    ),
  );
  assert.deepEqual(
    [...members],
    [
      ["one.example.", { label: "a1", moveTo: undefined }],
      ["two.example.", { label: "b2", moveTo: "new.cat." }],
    ],
  );
});

test("what is listed twice, or together with another zone, is left out", () => {
  const members = membersOf(
    catalog(
      version,
      "a.zones.cat. 0 PTR one.example.",
      "b.zones.cat. 0 PTR one.example.",
      "c.zones.cat. 0 PTR two.example.",
      "c.zones.cat. 0 PTR three.example.",
      "d.zones.cat. 0 PTR four.example.",
    ),
  );
  assert.deepEqual([...members.keys()], ["four.example."]);
});

test("a zone that does not say that it is a catalog of version 2 is none", () => {
  const member = "a.zones.cat. 0 PTR one.example.";
  for (const lines of [
    [],
    ['version.cat. 0 TXT "1"'],
    [version, 'version.cat. 0 TXT "1"'],
    ["version.cat. 0 A 192.0.2.1"],
  ])
    assert.throws(() => membersOf(catalog(member, ...lines)), /no catalog of version 2/);
});
