import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseChanges } from "./changes.ts";

test("a file has a document for each place", () => {
  const [first, second] = parseChanges(
    'place: node1\nsysctls: {net.ipv4.ip_forward: 0, "net/ipv4/conf/all/rp_filter": "1"}\n---\nplace: node2\nlinks: {eth0: {mtu: 1400}}\n',
    "file",
  );
  assert.deepEqual(first, {
    place: "node1",
    sysctls: { "net.ipv4.ip_forward": "0", "net/ipv4/conf/all/rp_filter": "1" },
  });
  assert.deepEqual(second, { place: "node2", links: { eth0: { mtu: 1400 } } });
});

test("what is not known is refused with its place", () => {
  assert.throws(
    () => parseChanges("place: a\n---\nlinks: {eth0: {mtu: fast}}", "file"),
    /file: line 3\.links\.eth0\.mtu: /,
  );
  assert.throws(() => parseChanges("colour: red", "file"), /file: line 1\.colour: Unknown field/);
  assert.throws(() => parseChanges("deleteRoutes: [{destination: 10.0.0.1}]", "file"), /must be a prefix/);
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      try {
        parseChanges(JSON.stringify(value), "file");
      } catch (error) {
        assert.match(String(error), /^Error: file: /);
      }
    }),
  );
});
