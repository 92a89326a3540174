import assert from "node:assert/strict";
import { test } from "node:test";
import { type CountedDestination, serviceFlag } from "../../kernel/ipvs/index.ts";
import { parseAddress } from "../../net/address.ts";
import { emptySnapshot, hopBy, linkOf, localRoute, routeOf } from "../snapshot/testing.ts";
import type { BalancedService, Snapshot } from "../snapshot/types.ts";
import { type Question, walk } from "./index.ts";

const vip = parseAddress("10.96.0.1");

/** A node that has the address of a service and reaches 10.244.0.0/16 by eth1. */
function node(services: readonly BalancedService[], more: Partial<Snapshot> = {}): Snapshot {
  return {
    ...emptySnapshot,
    links: [linkOf(2, "eth0", { noArp: true }), linkOf(3, "eth1", { noArp: true })],
    addresses: [],
    routes: [localRoute(`${vip}/32`), localRoute("192.0.2.1/32"), routeOf("10.244.0.0/16", { nextHops: [hopBy(3)] })],
    sysctls: { "net/ipv4/vs/conntrack": "1" },
    ipvs: { services, timeouts: { tcp: 900, tcpFin: 120, udp: 300 } },
    sockets: [{ protocol: "TCP", address: parseAddress("0.0.0.0"), port: 8080 }],
    ...more,
  };
}

const destination = (address: string, weight = 1, more: Partial<CountedDestination> = {}): CountedDestination => ({
  address: parseAddress(address),
  port: 8080,
  forwarding: "masquerade",
  weight,
  active: 0,
  inactive: 0,
  persistent: 0,
  ...more,
});

const service = (
  destinations: readonly CountedDestination[],
  more: Partial<BalancedService> = {},
): BalancedService => ({
  key: { kind: "address", address: vip, protocol: "TCP", port: 80 },
  scheduler: "rr",
  flags: 0,
  timeout: 0,
  netmask: 32,
  destinations,
  ...more,
});

const question: Question = {
  input: "eth0",
  packet: {
    family: "IPv4",
    source: parseAddress("203.0.113.5"),
    destination: vip,
    protocol: 6,
    sourcePort: 40_000,
    destinationPort: 80,
  },
};

/** Where packets end: `forwarded 10.244.0.1:8080 0.5`. */
const ends = (snapshot: Snapshot, packet: Partial<Question["packet"]> = {}) =>
  walk(snapshot, { ...question, packet: { ...question.packet, ...packet } })
    .ends.map(({ outcome, state }) =>
      "to" in outcome
        ? `${outcome.kind} ${outcome.to.address}:${outcome.to.port} ${state.probability}`
        : `${outcome.kind} ${"how" in outcome ? outcome.how : "why" in outcome ? outcome.why : outcome.by}`,
    )
    .sort();

test("each destination with a weight may be chosen, by schedulers that weigh with its share", () => {
  const all = [destination("10.244.0.1", 1), destination("10.244.0.2", 3), destination("10.244.0.3", 0)];
  assert.deepEqual(ends(node([service(all)])), ["forwarded 10.244.0.1:8080 0.5", "forwarded 10.244.0.2:8080 0.5"]);
  assert.deepEqual(ends(node([service(all, { scheduler: "wrr" })])), [
    "forwarded 10.244.0.1:8080 0.25",
    "forwarded 10.244.0.2:8080 0.75",
  ]);
  assert.deepEqual(ends(node([service(all, { scheduler: "fo" })])), ["forwarded 10.244.0.2:8080 1"]);
  const full = destination("10.244.0.2", 9, { upperThreshold: 5, active: 4, inactive: 1 });
  assert.deepEqual(ends(node([service([destination("10.244.0.1"), full])])), ["forwarded 10.244.0.1:8080 1"]);
});

test("a hash may fall on a destination that takes nothing, unless the service falls back", () => {
  const all = [destination("10.244.0.1"), destination("10.244.0.2", 0)];
  const endsFrom = (source: string, more: Partial<BalancedService>) =>
    ends(node([service(all, { scheduler: "sh", ...more })]), { source: parseAddress(source) });
  const reached = ["forwarded 10.244.0.1:8080 1"];
  const refused = ["rejected ICMP error port unreachable"];
  assert.deepEqual(endsFrom("203.0.113.5", {}), refused);
  assert.deepEqual(endsFrom("203.0.113.6", {}), reached);
  const flags = serviceFlag.hashFallback;
  for (const source of ["203.0.113.5", "203.0.113.6"]) assert.deepEqual(endsFrom(source, { flags }), reached);
});

test("where the hash is not known, each destination has its share, and some clients may be refused", () => {
  const all = [destination("10.244.0.1"), destination("10.244.0.2", 3), destination("10.244.0.3", 0)];
  const { sourcePort: _, ...packet } = question.packet;
  for (const [scheduler, flags] of [
    ["mh", 0],
    ["sh", serviceFlag.hashPort],
  ] as const) {
    const told = walk(node([service(all, { scheduler, flags })]), { ...question, packet }).ends;
    assert.deepEqual(
      told.map(({ outcome, state }) => [outcome.kind, state.probability]).sort(),
      [
        ["forwarded", 0.25],
        ["forwarded", 0.75],
        ["rejected", 1],
      ],
      scheduler,
    );
  }
});

test("a service without destinations refuses, and its other ports are the node's own", () => {
  assert.deepEqual(ends(node([service([])])), ["rejected ICMP error port unreachable"]);
  const snapshot = node([service([destination("10.244.0.1")])]);
  assert.deepEqual(ends(snapshot, { destinationPort: 8080 }), [`delivered ${vip}:8080 1`]);
});

test("a service may be found by the packet's mark, and keeps the port of a destination without one", () => {
  const byMark = service([destination("10.244.0.1", 1, { port: 0 })], {
    key: { kind: "mark", family: "IPv4", mark: 7 },
  });
  assert.deepEqual(ends(node([byMark]), { mark: 7 }), ["forwarded 10.244.0.1:80 1"]);
  assert.match(ends(node([byMark]))[0] ?? "", /^no socket/);
});

test("destinations of this node are delivered; others are reached as their method says", () => {
  assert.deepEqual(ends(node([service([destination("192.0.2.1")])])), ["delivered 192.0.2.1:8080 1"]);
  const direct = destination("10.244.0.1", 1, { forwarding: "route" });
  const { ends: routed } = walk(node([service([direct])]), question);
  const [end] = routed;
  assert.ok(end?.outcome.kind === "forwarded" && end.outcome.to.address === vip);
  assert.equal(end.outcome.gateway, "10.244.0.1");
  const tunnelled = (more: Partial<CountedDestination> = {}) => {
    const { routes, ...rest } = node([service([destination("10.244.0.1", 1, { forwarding: "tunnel", ...more })])]);
    const own = routes.map((each) =>
      each.type === "unicast" ? { ...each, preferredSource: parseAddress("192.0.2.1") } : each,
    );
    return walk({ ...rest, routes: own }, question).ends.map(({ outcome }) => outcome)[0];
  };
  assert.deepEqual(tunnelled(), {
    kind: "forwarded",
    interface: "eth1",
    to: { address: "10.244.0.1", protocol: 4, source: "192.0.2.1" },
  });
  assert.equal(tunnelled({ tunnel: "gue" })?.kind, "unknown");
});

test("what IPVS would say is unknown where it could not be read, or where the port is not known", () => {
  const { ipvs: _, ...without } = node([]);
  assert.match(ends({ ...without, missing: ["IPVS: Operation not permitted"] })[0] ?? "", /^unknown/);
  const { destinationPort: __, ...packet } = question.packet;
  const [only] = walk(node([service([destination("10.244.0.1")])]), { ...question, packet }).ends;
  assert.equal(only?.outcome.kind, "unknown");
});

test("a later packet goes where IPVS sent the first one, whether connections are tracked or not", () => {
  const services = [service([destination("10.244.0.1", 3), destination("10.244.0.2", 1)], { scheduler: "wrr" })];
  for (const tracked of ["0", "1"]) {
    const snapshot = node(services, { sysctls: { "net/ipv4/vs/conntrack": tracked } });
    const later = walk(snapshot, { ...question, phase: "established" }).ends;
    assert.deepEqual(
      later.map(({ outcome, state }) => ["to" in outcome && outcome.to.address, state.probability]).toSorted(),
      [
        ["10.244.0.1", 0.75],
        ["10.244.0.2", 0.25],
      ],
    );
  }
});

test("to whom IPVS sends a later packet is unknown where the first one did not go by masquerading", () => {
  const direct = service([destination("10.244.0.1", 1, { forwarding: "route" })]);
  const snapshot = node([direct], { sysctls: {} });
  const kinds = walk(snapshot, { ...question, phase: "established" }).ends.map(({ outcome }) => outcome.kind);
  assert.deepEqual(kinds, ["unknown"]);
});
