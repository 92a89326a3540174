import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { translateRule } from "./legacy.ts";

const chains = new Set(["KUBE-SEP-1"]);
const kinds = (text: string) => translateRule(text, "IPv4", chains).expressions.map(({ kind }) => kind);

test("a rule of kube-proxy is conditions in their order, then what it does", () => {
  const { expressions, comment } = translateRule(
    '! -s 10.244.0.0/16 -d 10.96.0.10/32 -p udp -m comment --comment "shop/web dns" -m udp --dport 53 -j KUBE-SEP-1',
    "IPv4",
    chains,
  );
  assert.equal(comment, "shop/web dns");
  assert.deepEqual(expressions.at(-1), { kind: "verdict", verdict: { kind: "jump", chain: "KUBE-SEP-1" } });
  assert.deepEqual(expressions[1], {
    kind: "range",
    sreg: 8,
    op: "neq",
    from: Uint8Array.of(10, 244, 0, 0),
    to: Uint8Array.of(10, 244, 255, 255),
  });
});

test("translations to an address and a port, of both families", () => {
  assert.deepEqual(kinds("-p tcp -j DNAT --to-destination 10.244.0.5:8080"), [
    "meta",
    "cmp",
    "immediate",
    "immediate",
    "nat",
  ]);
  const { expressions } = translateRule("-j DNAT --to-destination [fd00::5]:80", "IPv6", chains);
  assert.deepEqual(expressions.at(-1), { kind: "nat", type: "dnat", family: "ip6", addressMin: 8, portMin: 12 });
});

test("what is not known becomes a match or target that nobody knows, never nothing", () => {
  assert.deepEqual(kinds("-m string --string x -j ACCEPT"), ["match", "verdict"]);
  assert.deepEqual(kinds("-j ELSEWHERE"), ["target"]);
  assert.deepEqual(kinds("-j DNAT --to-destination 10.0.0.1-10.0.0.9"), ["target"]);
  assert.deepEqual(kinds("-m conntrack --ctstate PARSLEY -j DROP"), ["match", "verdict"]);
});

test("no rule's text makes the translation fail but an open quote", () => {
  const word = fc.constantFrom(
    "-s",
    "-d",
    "!",
    "-p",
    "tcp",
    "--dport",
    "80",
    "-m",
    "recent",
    "--name",
    "-j",
    "DNAT",
    "--to-destination",
    "x",
    "--mark",
    "0x1/0x2",
    "--dports",
    "1:2,3",
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(word, fc.string())), (words) => {
      try {
        translateRule(words.join(" "), "IPv6", chains);
      } catch (error) {
        assert.ok(error instanceof SyntaxError, String(error));
      }
    }),
  );
});
