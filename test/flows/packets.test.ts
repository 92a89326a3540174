/** The witness is itself tested: against rules written by hand, rows that are true pass and rows that are not fail. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Cast } from "./cast.ts";
import { parseFlowFile } from "./format.ts";
import { tryFlows } from "./packets.ts";

const rules = `
table ip by-hand {
  chain translate {
    ip daddr { 10.96.0.1, 10.96.0.2 } meta l4proto { tcp, udp, sctp } th dport 8080 \\
      dnat to numgen random mod 2 map { 0 : 10.244.1.11, 1 : 10.244.2.11 }
    ip daddr 10.96.0.3 tcp dport 8080 dnat to ip saddr map { 10.244.1.2 : 10.244.1.11, 198.51.100.10 : 10.244.2.11 }
  }
  chain prerouting { type nat hook prerouting priority -100; jump translate; }
  chain output { type nat hook output priority -100; jump translate; }
  chain postrouting { type nat hook postrouting priority 100; ct original ip daddr 10.96.0.1 masquerade; }
  chain refuse { ip daddr 10.96.0.4 reject; ip daddr 10.96.0.5 drop; }
  chain forward { type filter hook forward priority -10; jump refuse; }
  chain output-filter { type filter hook output priority -10; jump refuse; }
}`;

/** All endpoints that the rules know, and one that they do not. */
const objects = `
name: by hand
objects:
  - {kind: Service, metadata: {namespace: a, name: a}, spec: {clusterIPs: [10.96.0.1], ports: [{name: t, port: 8080}, {name: u, port: 8080, protocol: UDP}, {name: s, port: 8080, protocol: SCTP}]}}
backends:
  - {service: a/a, families: [IPv4], ports: [{name: t, port: 8080}, {name: u, port: 8080, protocol: UDP}, {name: s, port: 8080, protocol: SCTP}], endpoints: [p1, p2, r1]}
flows:
`;

/** Rows, each with what its failure must say; those that say nothing must pass. */
const rows: readonly (readonly [row: string, failure?: RegExp])[] = [
  ['{from: [pod, q1, outside, node, r2], to: "10.96.0.1:8080/tcp", reaches: [p1, r1], source: masqueraded}'],
  ['{from: [pod, node], to: "10.96.0.1:8080/udp", reaches: [p1, "r1:8080"], source: masqueraded}'],
  ['{from: [pod, node], to: "10.96.0.1:8080/sctp", reaches: [p1, r1], source: masqueraded}'],
  ['{from: [pod, q1, outside, far, node, r2], to: "10.96.0.2:8080/tcp", reaches: [p1, r1], source: kept}'],
  ['{from: [pod, outside], to: "10.96.0.2:8080/sctp", reaches: [p1, r1], source: kept}'],
  ['{from: [pod, outside], to: "10.96.0.3:8080/tcp", reaches: [p1, r1], source: kept, sticky: x}'],
  ['{from: [pod, node, outside], to: ["10.96.0.4:80/tcp", "10.96.0.4:80/udp", "10.96.0.4:80/sctp"], outcome: reject}'],
  ['{from: [pod, node, outside], to: ["10.96.0.5:80/tcp", "10.96.0.5:80/udp", "10.96.0.5:80/sctp"], outcome: drop}'],
  ['{from: [pod, node, outside], to: ["10.96.0.9:80/tcp", "10.96.0.9:80/udp", "10.96.0.9:80/sctp"], outcome: ignored}'],
  [
    '{from: [pod, node, outside], to: ["[fd00:96::9]:80/tcp", "192.0.2.2:80/udp", "10.244.1.12:1/tcp"], outcome: ignored}',
  ],
  [
    '{from: pod, to: "10.96.0.2:8080/tcp", reaches: [p1], source: kept, note: why}',
    /^from pod to 10\.96\.0\.2:8080\/tcp: expected p1, was answered by r1:8080 \(why\)$/,
  ],
  ['{from: pod, to: "10.96.0.2:8080/tcp", reaches: [p1, p2, r1], source: kept}', /never reached p2 in \d+ connections/],
  ['{from: pod, to: "10.96.0.2:8080/udp", reaches: ["p1:80", r1], source: kept}', /was answered by p1:8080/],
  [
    '{from: outside, to: "10.96.0.2:8080/tcp", reaches: [p1, r1], source: masqueraded}',
    /expected the source to be masqueraded, (p1|r1) saw 198\.51\.100\.10/,
  ],
  [
    '{from: outside, to: "10.96.0.1:8080/sctp", reaches: [p1, r1], source: kept}',
    /expected the source to be the client's own 198\.51\.100\.10, (p1|r1) saw/,
  ],
  [
    '{from: node, to: "10.96.0.1:8080/tcp", reaches: [p1, r1], source: kept}',
    /expected the source to be the client's own 192\.168\.7\.1/,
  ],
  [
    '{from: pod, to: "10.96.0.2:8080/tcp", reaches: [p1, r1], source: kept, sticky: other}',
    /in spite of affinity other/,
  ],
  ['{from: pod, to: "10.96.0.4:80/tcp", outcome: drop}', /expected drop, was refused/],
  ['{from: node, to: "10.96.0.4:80/udp", outcome: drop}', /expected drop, was refused/],
  ['{from: pod, to: "10.96.0.5:80/udp", outcome: reject}', /expected reject, got no answer/],
  ['{from: outside, to: "10.96.0.9:80/udp", outcome: reject}', /expected reject, was answered by elsewhere:7/],
  ['{from: outside, to: "10.96.0.9:80/tcp", outcome: drop}', /expected drop, was answered by elsewhere:7/],
  [
    '{from: outside, to: "10.96.0.2:8080/tcp", outcome: ignored}',
    /expected to be left alone and get to elsewhere, was answered by (p1|r1)/,
  ],
  [
    '{from: pod, to: "10.96.0.4:80/sctp", outcome: ignored}',
    /expected to be left alone and get to elsewhere, was refused/,
  ],
];

let cast: Cast;

before(() => {
  cast = new Cast("packets");
  cast.node.exec("nft", ["-f", "-"], { input: rules });
});

after(() => cast?.[Symbol.dispose]());

for (const [row, failure] of rows) {
  test(`${failure === undefined ? "true" : "false"}: ${row}`, async () => {
    cast.forgetConnections();
    const problems = await tryFlows(cast, parseFlowFile(`${objects}  - ${row}\n`, "by-hand.yaml"), "nftables");
    if (failure === undefined) assert.deepEqual(problems, []);
    else assert.match(problems.join("\n"), failure);
  });
}
