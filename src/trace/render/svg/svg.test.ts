import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddress } from "../../../net/address.ts";
import type { Packet, State, Step, Walk } from "../../walk/index.ts";
import { walkAsSvg } from "./index.ts";
import { escapeXml, wrapText } from "./text.ts";

const packet: Packet = {
  family: "IPv4",
  source: parseAddress("10.0.0.1"),
  destination: parseAddress("10.96.0.1"),
  protocol: 6,
  destinationPort: 80,
  mark: 0,
  priority: 0,
};
const translated: Packet = { ...packet, destination: parseAddress("10.0.0.2"), destinationPort: 8080 };

function walkOf(steps: readonly Step[]): Walk {
  let trail: State["trail"];
  for (const step of steps) trail = { step, before: trail };
  const state = { packet: translated, place: "node2", assumptions: [], probability: 1, trail } as unknown as State;
  const places = [
    { place: "node1", role: "node" },
    { place: "shop/<web>", role: "pod" },
  ] as const;
  return {
    phase: "new",
    packet,
    place: "node1",
    places,
    ends: [{ state, outcome: { kind: "dropped", by: "ip t c rule 1" } }],
  };
}

const steps: readonly Step[] = [
  { kind: "hook", text: "prerouting", packet },
  {
    ...{ kind: "rule", family: "ip", table: "t", chain: "nat", number: 1, verdict: { kind: "accept" } },
    effects: ["destination becomes 10.0.0.2:8080"],
    comment: '</text><script>alert("1")</script>',
  },
  { kind: "hook", text: "forward", packet: translated },
  { kind: "link", text: "over eth1 & on" },
  { kind: "place", place: "shop/<web>", role: "pod" },
  { kind: "hook", text: "prerouting", packet: translated },
  { kind: "policy", family: "ip", table: "t", chain: "in", verdict: "drop" },
];

test("each place is a lane, what a rule rewrote stands out, and what drops is marked", () => {
  const svg = walkAsSvg(walkOf(steps));
  assert.equal(svg.match(/class="lane (?:node|pod)"/g)?.length, 2);
  assert.match(svg, /class="header changed">10\.0\.0\.2:8080</);
  assert.match(svg, /class="box stopped"/);
  assert.match(svg, /<title id="trace-title">TCP 10\.0\.0\.1 to 10\.96\.0\.1:80<\/title>/);
  assert.match(svg, /<desc id="trace-description">dropped on node2 by ip t c rule 1/);
  assert.equal(svg, walkAsSvg(walkOf(steps)));
});

test("nothing that a name or comment says becomes part of the document", () => {
  const svg = walkAsSvg(walkOf(steps));
  assert.doesNotMatch(svg, /<script|<web>|& on/);
  assert.match(svg, /shop\/&lt;web&gt;/);
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const escaped = escapeXml(text);
      assert.doesNotMatch(escaped, /[<>"']|&(?!(?:amp|lt|gt|quot|#39);)/);
      assert.doesNotMatch(escaped, /[\u{fffe}\u{ffff}\p{Cs}]/u);
      assert.doesNotMatch(escaped.replaceAll(/[\t\n\r\u{7f}-\u{9f}]/gu, ""), /\p{Cc}/u);
    }),
    { numRuns: 50 },
  );
});

test("text is broken into lines that fit, and no character but space is lost", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), fc.integer({ min: 1, max: 60 }), (text, most) => {
      const lines = wrapText(text, most);
      assert.ok(lines.every((line) => line.length <= most));
      assert.equal(lines.join("").replaceAll(/\s/g, ""), text.replaceAll(/\s/g, ""));
    }),
  );
});
