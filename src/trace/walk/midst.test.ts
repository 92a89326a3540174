import assert from "node:assert/strict";
import { test } from "node:test";
import type { BaseChain, Expression } from "../../kernel/nftables/index.ts";
import { parseAddress } from "../../net/address.ts";
import { emptySnapshot, hopBy, routeOf } from "../snapshot/testing.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { type Ended, type Phase, stepsOf, walk } from "./index.ts";

interface Hooked {
  readonly chain: string;
  readonly base: BaseChain;
  readonly rules: readonly (readonly Expression[])[];
}

const number = (value: number): Uint8Array => Uint8Array.of(value, 0, 0, 0);
const ctState = (value: number): Expression[] => [
  { kind: "ct", key: "state", dreg: 8 },
  { kind: "cmp", sreg: 8, op: "eq", data: number(value) },
];
const isNew = ctState(8);
const isEstablished = ctState(2);
const drop: Expression = { kind: "verdict", verdict: { kind: "drop" } };
const counter: Expression = { kind: "counter", packets: 0, bytes: 0 };

/** Port 8080 of the node is its port 80. */
const redirect: Hooked = {
  chain: "nat",
  base: { type: "nat", hook: "prerouting", priority: -100 },
  rules: [
    [
      { kind: "payload", dreg: 8, base: "transport", offset: 2, length: 2 },
      { kind: "cmp", sreg: 8, op: "eq", data: Uint8Array.of(31, 144) },
      { kind: "immediate", dreg: 8, data: Uint8Array.of(0, 80, 0, 0) },
      { kind: "redir", portMin: 8 },
    ],
  ],
};
const masquerade: Hooked = {
  chain: "out",
  base: { type: "nat", hook: "postrouting", priority: 100 },
  rules: [[{ kind: "masq" }]],
};
const filter = (hook: BaseChain["hook"], ...rules: Hooked["rules"]): Hooked => ({
  chain: `filter ${hook}`,
  base: { type: "filter", hook, priority: 0 },
  rules,
});

/** A router that serves port 80. */
function node(...hooked: readonly Hooked[]): Snapshot {
  const place = { family: "ip", table: "t" } as const;
  return {
    ...emptySnapshot,
    sysctls: { "net/ipv4/ip_forward": "1", "net/ipv4/conf/eth0/forwarding": "1" },
    routes: [...emptySnapshot.routes, routeOf("0.0.0.0/0", { nextHops: [hopBy(2, "10.0.0.254")] })],
    nftables: {
      ...emptySnapshot.nftables,
      tables: [place],
      chains: hooked.map(({ chain, base }) => ({ ...place, chain, base })),
      rules: hooked.flatMap(({ chain, rules }) => rules.map((expressions) => ({ ...place, chain, expressions }))),
    },
    sockets: [{ protocol: "TCP", address: parseAddress("0.0.0.0"), port: 80 }],
  };
}

function ends(snapshot: Snapshot, phase: Phase, destination = "10.0.0.1", destinationPort = 8080): readonly Ended[] {
  const source = parseAddress("198.51.100.7");
  const packet = {
    family: "IPv4",
    source,
    destination: parseAddress(destination),
    protocol: 6,
    destinationPort,
  } as const;
  return walk(snapshot, { packet, input: "eth0", phase }, { answers: true }).ends;
}

const kinds = (all: readonly Ended[]) => all.map(({ outcome }) => outcome.kind);
const rulesOf = ({ state }: Ended) => stepsOf(state).flatMap((step) => (step.kind === "rule" ? [step.chain] : []));
const notesOf = ({ state }: Ended) => stepsOf(state).flatMap((step) => (step.kind === "note" ? [step.text] : []));

test("a later packet is translated as the first one was, and no chain of type nat is asked", () => {
  const snapshot = node(redirect, filter("input", [...isNew, counter], [...isEstablished, counter, counter]));
  const [first] = ends(snapshot, "new");
  const [later, ...more] = ends(snapshot, "established");
  assert.ok(first !== undefined && later !== undefined && more.length === 0);
  assert.deepEqual(rulesOf(first), ["nat", "filter input"]);
  assert.deepEqual(rulesOf(later), ["filter input"]);
  assert.equal(later.state.connection?.state, "established");
  assert.equal(later.state.packet.destinationPort, 80);
  assert.deepEqual(kinds([later, ...(later.answers ?? [])]), ["delivered", "forwarded"]);
  assert.match(notesOf(later).join(), /taken to be set up/);
});

test("a rule that drops what is established does so for later packets alone, and one that drops what is new for all", () => {
  const established = node(redirect, filter("input", [...isEstablished, drop]));
  assert.deepEqual(kinds(ends(established, "new")), ["delivered"]);
  assert.deepEqual(kinds(ends(established, "established")), ["dropped"]);
  const fresh = node(redirect, filter("input", [...isNew, drop]));
  for (const phase of ["established", "reply"] as const) {
    const [only] = ends(fresh, phase);
    assert.ok(only?.outcome.kind === "dropped");
    assert.match(notesOf(only).join(), /first packet of the connection, which does not come about/);
  }
});

test("a connection whose first answer is lost does not come about, and a later answer is lost as well", () => {
  const snapshot = node(redirect, filter("output", [drop]));
  const [only] = ends(snapshot, "established");
  assert.ok(only?.outcome.kind === "dropped");
  assert.match(notesOf(only).join(), /first answer of the connection/);
  assert.deepEqual(kinds(ends(snapshot, "reply")), ["dropped"]);
});

test("a packet back is a way of its own, and gets the address and port that were asked", () => {
  const [only, ...more] = ends(node(redirect, filter("output", [...isEstablished, counter])), "reply");
  assert.ok(only?.outcome.kind === "forwarded" && more.length === 0);
  const { source, sourcePort, destination } = only.state.packet;
  assert.deepEqual([source, sourcePort, destination], ["10.0.0.1", 8080, "198.51.100.7"]);
  assert.deepEqual(rulesOf(only), ["filter output"]);
});

test("where the first packet leaves what is known, its answer comes in there, and goes back to who asked", () => {
  const [only, ...more] = ends(node(masquerade), "reply", "203.0.113.5", 443);
  assert.ok(only?.outcome.kind === "forwarded" && more.length === 0);
  assert.equal(only.state.packet.destination, "198.51.100.7");
  assert.deepEqual(
    stepsOf(only.state).flatMap((step) => (step.kind === "rewrite" ? [step.text] : [])),
    ["connection tracking: the destination becomes 198.51.100.7"],
  );
  const [later] = ends(node(masquerade, filter("forward", [...isNew, counter])), "established", "203.0.113.5", 443);
  assert.equal(later?.state.packet.source, "10.0.0.1");
  assert.deepEqual(later && rulesOf(later), []);
});

test("packets after the handshake have TCP's flag ACK alone", () => {
  const syn: readonly Expression[] = [
    { kind: "payload", dreg: 8, base: "transport", offset: 13, length: 1 },
    { kind: "cmp", sreg: 8, op: "neq", data: Uint8Array.of(0x10) },
    drop,
  ];
  assert.deepEqual(kinds(ends(node(filter("input", syn)), "new", "10.0.0.1", 80)), ["dropped"]);
  const later: readonly Expression[] = [
    { kind: "payload", dreg: 8, base: "transport", offset: 13, length: 1 },
    { kind: "cmp", sreg: 8, op: "eq", data: Uint8Array.of(0x10) },
    drop,
  ];
  for (const [hook, phase] of [
    ["input", "established"],
    ["output", "reply"],
  ] as const) {
    const snapshot = node(filter(hook, later), redirect);
    assert.deepEqual(kinds(ends(snapshot, "new")), ["delivered"]);
    assert.deepEqual(kinds(ends(snapshot, phase)), ["dropped"]);
  }
});
