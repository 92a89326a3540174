import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Address, parseAddress } from "../../../net/address.ts";
import {
  type Decision,
  type DecisionKey,
  decisionKey,
  type FrontEnd,
  type Outcomes,
} from "../../../service/decision.ts";
import {
  clusterIPOutcomes,
  dropAll,
  externalCluster,
  externalLocalOutcomes,
  rejectAll,
} from "../../../service/outcomes.ts";
import { type Claim, type CompileContext, compile, placeOf } from "./compile.ts";
import { idOf, State } from "./state.ts";

const node = parseAddress("192.0.2.1");
const context: CompileContext = { scheduler: "rr", detector: true, local: new Set([node]), nodePorts: [node] };
const rules = { masqueradeAll: false, detector: true };

const decision = (name: string, frontEnds: readonly FrontEnd[], change: Partial<Decision> = {}): Decision => ({
  service: { namespace: "shop", name, port: "", protocol: "TCP" },
  family: "IPv4",
  frontEnds,
  cluster: [
    { address: parseAddress("10.244.1.1"), port: 8080, local: true },
    { address: parseAddress("10.244.2.1"), port: 8080, local: false },
  ],
  local: [{ address: parseAddress("10.244.1.1"), port: 8080, local: true }],
  affinitySeconds: 0,
  ...change,
});

const clusterIP = (outcomes: Outcomes): FrontEnd => ({
  kind: "ClusterIP",
  address: parseAddress("10.96.0.1"),
  port: 80,
  outcomes,
});

/** The names of sets that a decision's places are in, and how many endpoints each place has. */
function summary(frontEnd: FrontEnd): readonly string[] {
  const { claims, shared } = compile(decision("web", [frontEnd]), context);
  const names = [...claims.flatMap(({ members }) => members), ...shared].map(({ set }) => set);
  return [...claims.map(({ key, endpoints }) => `${placeOf(key)}: ${endpoints.length}`), ...new Set(names)].sort();
}

test("a cluster IP with endpoints is balanced, and bound", () => {
  assert.deepEqual(summary(clusterIP(clusterIPOutcomes("cluster", rules))), [
    "KUBE-CLUSTER-IP",
    "KUBE-IPVS-IPS",
    "KUBE-LOOP-BACK",
    "TCP 10.96.0.1:80: 2",
  ]);
});

test("a cluster IP is put among those that masquerade everyone, reject or drop, as decided", () => {
  const in_ = (outcomes: Outcomes, set: string) => summary(clusterIP(outcomes)).includes(set);
  assert.ok(in_(clusterIPOutcomes("cluster", { ...rules, masqueradeAll: true }), "KUBE-MASQUERADE-ALL"));
  assert.ok(!in_(clusterIPOutcomes("cluster", rules), "KUBE-MASQUERADE-ALL"));
  assert.ok(in_(rejectAll, "KUBE-NO-ENDPOINTS"));
  assert.ok(in_(rejectAll, "TCP 10.96.0.1:80: 0"));
  assert.ok(in_(dropAll, "KUBE-NO-LOCAL-ENDPOINTS"));
});

test("traffic policy Local balances over endpoints of this node, or all where there are none and outsiders are dropped", () => {
  const port = (outcomes: Outcomes): FrontEnd => ({ kind: "NodePort", port: 30080, outcomes });
  assert.deepEqual(summary(port(externalLocalOutcomes(true, rules))), [
    "KUBE-LOOP-BACK",
    "KUBE-NODE-PORT-LOCAL-TCP",
    "KUBE-NODE-PORT-TCP",
    "TCP 192.0.2.1:30080: 1",
  ]);
  assert.deepEqual(summary(port(externalLocalOutcomes(false, rules))), [
    "KUBE-LOOP-BACK",
    "KUBE-NO-LOCAL-OUTSIDE",
    "KUBE-NODE-PORT-LOCAL-TCP",
    "KUBE-NODE-PORT-TCP",
    "TCP 192.0.2.1:30080: 2",
  ]);
});

test("affinity hashes by the client's address alone; a scheduler of the Service's own goes first", () => {
  const frontEnd = clusterIP(clusterIPOutcomes("cluster", rules));
  const settings = (change: Partial<Decision>) =>
    compile(decision("web", [frontEnd], change), context).claims[0]?.settings;
  assert.deepEqual(settings({}), { scheduler: "rr", flags: 0, timeout: 0, netmask: 32 });
  assert.deepEqual(settings({ affinitySeconds: 9 }), { scheduler: "mh", flags: 0x9, timeout: 9, netmask: 32 });
  assert.deepEqual(settings({ scheduler: "mh" }), { scheduler: "mh", flags: 0x18, timeout: 0, netmask: 32 });
  assert.equal(settings({ affinitySeconds: 9, scheduler: "lc" })?.scheduler, "lc");
});

test("an address that a Service has goes before a node port of the same number, whoever comes first", () => {
  const external: FrontEnd = { kind: "ExternalIP", address: node, port: 30080, outcomes: externalCluster };
  const nodePort: FrontEnd = { kind: "NodePort", port: 30080, outcomes: rejectAll };
  const entries = [
    ["a", decision("a", [nodePort])],
    ["b", decision("b", [external])],
  ] as const;
  for (const order of [entries, entries.toReversed()]) {
    const state = new State(context);
    state.change(order);
    assert.equal(state.at("TCP 192.0.2.1:30080")?.rank, "address");
    const { places, removed } = state.change([["b", undefined]]);
    assert.equal(places.get("TCP 192.0.2.1:30080")?.claim?.rank, "node port");
    assert.ok(removed.some(({ set }) => set === "KUBE-EXTERNAL-IP"));
  }
});

const outcomes = fc.constantFrom(
  clusterIPOutcomes("cluster", rules),
  clusterIPOutcomes("local", rules),
  externalCluster,
  externalLocalOutcomes(true, rules),
  externalLocalOutcomes(false, rules),
  rejectAll,
  dropAll,
);
const address = fc.constantFrom<Address>(parseAddress("10.96.0.1"), parseAddress("10.96.0.2"), node);
const frontEnds = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constantFrom("ClusterIP", "ExternalIP", "LoadBalancerIP"),
      address,
      port: fc.constant(80),
      outcomes,
    }),
    fc.record({ kind: fc.constant("NodePort"), port: fc.constant(80), outcomes }),
  ),
  { maxLength: 3 },
) as fc.Arbitrary<FrontEnd[]>;

/** No two front ends have the same place, but a service's node port may be another's port at an address of the node. */
function apart(service: Service, ends: readonly FrontEnd[]): readonly FrontEnd[] {
  const own = { a: [80, 81], b: [81, 82], c: [82, 80] } as const;
  const [port, nodePort] = own[service];
  const placed = ends.map((each) => ({ ...each, port: each.kind === "NodePort" ? nodePort : port }));
  return [...new Map(placed.map((each) => ["address" in each ? each.address : "", each])).values()];
}

type Service = "a" | "b" | "c";

/** What a state says, as text. */
function content(state: State): readonly string[] {
  const claims = [...state.claims()].map((claim) => JSON.stringify([placeOf(claim.key), wanted(claim)]));
  return [...claims, ...new Set([...state.members()].map(idOf))].sort();
}

const wanted = ({ settings, endpoints }: Claim) => [settings, endpoints];

test("changes, added up, come to what a state that is made afresh has", () => {
  const name = fc.constantFrom<Service>("a", "b", "c");
  const change = fc.tuple(name, fc.option(frontEnds, { nil: undefined }));
  fc.assert(
    fc.property(fc.array(fc.array(change, { maxLength: 3 }), { maxLength: 8 }), (steps) => {
      const state = new State(context);
      const latest = new Map<DecisionKey, Decision>();
      const members = new Set<string>();
      const places = new Map<string, unknown>();
      for (const step of steps) {
        const changes = step.map(([service, ends]) => {
          const made = ends && decision(service, apart(service, ends));
          return [decisionKey({ namespace: "shop", name: service, port: "", protocol: "TCP" }, "IPv4"), made] as const;
        });
        for (const [key, made] of changes) {
          if (made === undefined) latest.delete(key);
          else latest.set(key, made);
        }
        const edits = state.change(changes);
        for (const member of edits.removed) assert.ok(members.delete(idOf(member)), `${idOf(member)} is there`);
        for (const member of edits.added) assert.ok(!members.has(idOf(member)) && members.add(idOf(member)));
        for (const [place, { claim }] of edits.places) {
          if (claim === undefined) places.delete(place);
          else places.set(place, wanted(claim));
        }
      }
      assert.deepEqual([...members].sort(), [...new Set([...state.members()].map(idOf))].sort());
      const at = new Map([...state.claims()].map((claim) => [placeOf(claim.key), wanted(claim)]));
      assert.deepEqual([...places].sort(), [...at].sort());
      const afresh = new State(context);
      afresh.change(latest);
      assert.deepEqual(content(afresh), content(state));
    }),
    { numRuns: 300 },
  );
});
