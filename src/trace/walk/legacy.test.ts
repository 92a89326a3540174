import assert from "node:assert/strict";
import { test } from "node:test";
import { translateLegacy } from "./legacy.ts";

const accept = { kind: "verdict", verdict: { kind: "accept" } } as const;

test("built-in chains are hooked in where iptables has them, with their policies; comments are the rules' own", () => {
  const info = new TextEncoder().encode("shop/web\0");
  const { chains, rules } = translateLegacy({
    family: "IPv6",
    name: "nat",
    chains: [
      {
        name: "POSTROUTING",
        policy: "DROP",
        rules: [""],
        expressions: [[{ kind: "match", name: "comment", revision: 0, info }, accept]],
      },
      { name: "MINE", rules: [], expressions: [] },
    ],
  });
  assert.deepEqual(chains[0]?.base, { type: "nat", hook: "postrouting", priority: 100, policy: "drop" });
  assert.equal(chains[1]?.base, undefined);
  assert.equal(rules[0]?.table, "iptables-legacy nat");
  assert.equal(rules[0]?.comment, "shop/web");
});

test("a rule that is there in words alone is not known, never nothing", () => {
  const { rules } = translateLegacy({
    family: "IPv4",
    name: "filter",
    chains: [{ name: "INPUT", policy: "ACCEPT", rules: ["-s 192.0.2.1/32 -j DROP"] }],
  });
  assert.deepEqual(
    rules[0]?.expressions.map(({ kind }) => kind),
    ["unknown"],
  );
});
