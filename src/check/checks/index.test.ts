/** The checks as a whole: silent on a healthy node, and all explained. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseAddress } from "../../net/address.ts";
import { findFaults } from "../check.ts";
import { Facts, type PodInside } from "../facts.ts";
import { found, healthyNode, withSysctls } from "../testing.ts";
import { checks } from "./index.ts";

const listening = { protocol: "TCP", address: parseAddress("0.0.0.0"), port: 8080 } as const;
const inside = (sockets: PodInside["sockets"]): readonly PodInside[] => [
  { namespace: "cni-1", number: 0, addresses: [parseAddress("10.244.1.2")], links: [], sockets },
];
test("nothing is found on a healthy node, with and without its cluster", () => {
  assert.deepEqual(found(), []);
  assert.deepEqual(found({}, {}, inside([listening])), []);
  assert.deepEqual(findFaults(new Facts(healthyNode())), []);
});

test("a machine that has nothing to do with Services is not judged", () => {
  const { nftables } = healthyNode({
    nftables: { generation: 1, consistent: true, tables: [], chains: [], rules: [], sets: [], objects: [] },
  });
  const facts = new Facts(
    healthyNode({ ...withSysctls({ "net/ipv4/ip_forward": "0" }), nftables, links: [], addresses: [] }),
  );
  assert.deepEqual(findFaults(facts), []);
});

test("each check has a name of its own and says what it is about", () => {
  assert.equal(new Set(checks.map(({ name }) => name)).size, checks.length);
  for (const { name, about, seen } of checks) {
    assert.match(name, /^[a-z]+(-[a-z]+)*$/);
    assert.ok(about.endsWith(".") && seen.length > 0, name);
  }
});

test("docs/check.md explains each check, and no other", () => {
  const text = readFileSync(new URL("../../../docs/check.md", import.meta.url), "utf8");
  const sections = text.split(/^# The checks$/m)[1] ?? "";
  assert.deepEqual(
    [...sections.matchAll(/^## (.*)$/gm)].map(([, name]) => name),
    checks.map(({ name }) => name),
  );
  for (const { name, about, seen } of checks) {
    const section = sections.split(/^## /m).find((each) => each.startsWith(`${name}\n`)) ?? "";
    assert.ok(section.includes(about), about);
    const [, links = ""] = section.split(/^Seen: /m);
    for (const thread of seen) assert.match(links, new RegExp(`\\[${thread}\\]\\(https://github.com/`), name);
  }
});
