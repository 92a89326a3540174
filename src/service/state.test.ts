import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { EndpointSlice } from "../kube/objects/endpointslice.ts";
import { objectKey } from "../kube/objects/resource.ts";
import type { Service } from "../kube/objects/service.ts";
import { families, familyOf, parseAddress } from "../net/address.ts";
import { prefixFamily } from "../net/prefix.ts";
import type { Decision, DecisionKey } from "./decision.ts";
import { decide, type PolicyContext } from "./policy.ts";
import { ServiceState } from "./state.ts";
import { describeDecision, endpoint, here, port, service, slice } from "./testing.ts";

type Object = Service | EndpointSlice;

function put(state: ServiceState, ...objects: readonly Object[]): void {
  for (const object of objects) state.apply({ type: "upsert", object });
}

function remove(state: ServiceState, ...objects: readonly Object[]): void {
  for (const object of objects) state.apply({ type: "delete", object });
}

function lines(
  decisions: ReadonlyMap<DecisionKey, Decision | undefined>,
): Record<string, readonly string[] | undefined> {
  return Object.fromEntries([...decisions].map(([key, decision]) => [key, decision && describeDecision(decision)]));
}

const key = "shop/web/TCP/IPv4";
const rejected = ["ClusterIP 10.96.0.1:80 pod=reject node=reject other=reject"];
const balanced = ["ClusterIP 10.96.0.1:80 pod=cluster node=cluster/masq other=cluster/masq", "cluster 10.244.0.1:8080"];

describe("ServiceState", () => {
  test("gives each change once, whichever object comes first", () => {
    const state = new ServiceState(here);
    put(state, slice(["10.244.0.1 @here"]));
    assert.deepEqual(lines(state.takeChanges().decisions), {});
    put(state, service());
    assert.deepEqual(lines(state.takeChanges().decisions), { [key]: balanced });
    assert.deepEqual(lines(state.takeChanges().decisions), {});
    remove(state, slice([]));
    assert.deepEqual(lines(state.takeChanges().decisions), { [key]: rejected });
    remove(state, service());
    assert.deepEqual(lines(state.takeChanges().decisions), { [key]: undefined });
    assert.equal(state.decisions.size, 0);
  });

  test("several changes of one Service are one change, and one that is undone is none", () => {
    const state = new ServiceState(here);
    put(state, service(), slice(["10.244.0.1 @here"]));
    state.takeChanges();
    put(state, slice([]), service({ affinitySeconds: 10 }));
    assert.deepEqual(state.pending, { services: 1, endpointSlices: 1 });
    put(state, slice(["10.244.0.1 @here"]), service());
    const { decisions } = state.takeChanges();
    assert.deepEqual(lines(decisions), {});
    assert.deepEqual(state.pending, { services: 0, endpointSlices: 0 });
    assert.deepEqual(state.seen, { services: 3, endpointSlices: 3 });
  });

  test("what says the same again is no pending change", () => {
    const state = new ServiceState(here);
    put(state, service(), slice(["10.244.0.1"]));
    state.takeChanges();
    put(state, service(), slice(["10.244.0.1"], { lastChangeTriggerTime: 7 }));
    assert.deepEqual(state.pending, { services: 0, endpointSlices: 0 });
    assert.deepEqual(state.takeChanges().triggers, []);
  });

  test("a slice may move to another Service", () => {
    const state = new ServiceState(here);
    put(state, service(), service({ name: "api", clusterIPs: ["10.96.0.2"] }), slice(["10.244.0.1 @here"]));
    state.takeChanges();
    put(state, slice(["10.244.0.1 @here"], { service: "api" }));
    assert.deepEqual(lines(state.takeChanges().decisions), {
      [key]: rejected,
      "shop/api/TCP/IPv4": balanced.map((line) => line.replace("10.96.0.1", "10.96.0.2")),
    });
  });

  test("a port that is renamed is another decision, and the one that is gone stands first", () => {
    const state = new ServiceState(here);
    put(state, service({ ports: [port(80, "http")] }));
    state.takeChanges();
    put(state, service({ name: "api", clusterIPs: ["10.96.0.2"] }), service({ ports: [port(80, "web")] }));
    assert.deepEqual(
      [...state.takeChanges().decisions].map(([name, decision]) => [name, decision === undefined]),
      [
        ["shop/web:http/TCP/IPv4", true],
        ["shop/api/TCP/IPv4", false],
        ["shop/web:web/TCP/IPv4", false],
      ],
    );
  });

  test("a new context decides everything anew and gives what differs", () => {
    const state = new ServiceState(here);
    put(state, service(), slice(["10.244.0.1 zones=a", "10.244.0.2 zones=b"]));
    put(state, service({ name: "api", clusterIPs: ["10.96.0.2"] }));
    state.takeChanges();
    state.setContext({ ...here });
    assert.equal(state.takeChanges().decisions.size, 0);
    state.setContext({ ...here, zone: "b" });
    assert.deepEqual(lines(state.takeChanges().decisions), {
      [key]: [balanced[0], "cluster 10.244.0.2:8080"],
    });
  });

  test("health checks count ready addresses of this node, of the family that has more", () => {
    const state = new ServiceState(here);
    const balancer = service({
      type: "LoadBalancer",
      clusterIPs: ["10.96.0.1", "fd00:96::1"],
      externalTrafficPolicy: "Local",
      healthCheckNodePort: 31000,
      ports: [port(80, "a"), port(81, "b")],
    });
    const ports = [
      { name: "a", protocol: "TCP", port: 8080 },
      { name: "b", protocol: "TCP", port: 8081 },
    ] as const;
    put(
      state,
      balancer,
      slice(["10.244.0.1 @here", "10.244.0.2 @here terminating", "10.244.1.1 @there"], { ports }),
      slice(["fd00:244::1 @here", "fd00:244::2 @here", "fd00:244::2 @here"], { name: "web-6", ports }),
    );
    const check = { namespace: "shop", name: "web", port: 31000, localEndpoints: 2 };
    assert.deepEqual([...state.takeChanges().healthChecks], [["shop/web", check]]);
    put(state, slice(["fd00:244::1 @there"], { name: "web-6", ports }));
    put(state, slice(["10.244.0.7 @here"], { name: "web-without-ports", ports: [] }));
    assert.deepEqual([...state.takeChanges().healthChecks], [["shop/web", { ...check, localEndpoints: 1 }]]);
    put(state, { ...balancer, externalTrafficPolicy: "Cluster" });
    assert.deepEqual([...state.takeChanges().healthChecks], [["shop/web", undefined]]);
    assert.equal(state.healthChecks.size, 0);
  });

  test("service ports that policy Local leaves without local endpoints are counted, and not those without any", () => {
    const state = new ServiceState(here);
    const local = { internalTrafficPolicy: "Local", externalTrafficPolicy: "Local", type: "NodePort" } as const;
    put(state, service({ ...local, ports: [port(80, "", "TCP", 30080)] }), slice(["10.244.1.1 @there"]));
    put(state, service({ ...local, name: "api", clusterIPs: ["10.96.0.2"], ports: [port(80, "", "TCP", 30081)] }));
    state.takeChanges();
    assert.deepEqual(state.noLocalEndpoints, {
      IPv4: { internal: 1, external: 1 },
      IPv6: { internal: 0, external: 0 },
    });
    put(state, slice(["10.244.1.1 @here"]));
    state.takeChanges();
    assert.deepEqual(state.noLocalEndpoints.IPv4, { internal: 0, external: 0 });
  });

  test("triggers are reported for changed slices since the start, not for slices that go", () => {
    const state = new ServiceState(here, 100);
    put(state, service(), slice(["10.244.0.1"], { lastChangeTriggerTime: 99 }));
    put(state, slice(["fd00::1"], { name: "web-6", lastChangeTriggerTime: 150 }));
    put(state, slice(["10.244.0.1", "10.244.0.2"], { lastChangeTriggerTime: 120 }));
    put(state, slice(["10.244.0.2"], { lastChangeTriggerTime: 130 }));
    assert.deepEqual(state.takeChanges().triggers, [
      { family: "IPv6", time: 150 },
      { family: "IPv4", time: 120 },
      { family: "IPv4", time: 130 },
    ]);
    put(state, slice(["10.244.0.1"], { lastChangeTriggerTime: 140 }));
    remove(state, slice(["10.244.0.1"]));
    assert.deepEqual(state.takeChanges().triggers, []);
  });

  test("a front end that several ask for goes to one, and comes back to the other", () => {
    const state = new ServiceState(here);
    const balancer = service({ name: "zoo", clusterIPs: ["10.96.0.9"], loadBalancerIPs: ["198.51.100.1"] });
    const thief = service({ name: "api", clusterIPs: ["10.96.0.2"], externalIPs: ["10.96.0.1", "198.51.100.1"] });
    put(state, thief);
    const frontEnds = (name: string) => state.decisions.get(`shop/${name}/TCP/IPv4`)?.frontEnds.map(({ kind }) => kind);
    state.takeChanges();
    assert.deepEqual(frontEnds("api"), ["ClusterIP", "ExternalIP", "ExternalIP"]);
    put(state, service(), balancer);
    state.takeChanges();
    assert.deepEqual(frontEnds("api"), ["ClusterIP"]);
    assert.deepEqual(frontEnds("web"), ["ClusterIP"]);
    assert.deepEqual(frontEnds("zoo"), ["ClusterIP", "LoadBalancerIP"]);
    assert.deepEqual(state.conflicts, [
      { frontEnd: "10.96.0.1/80/TCP", winner: "shop/web/TCP/IPv4", losers: ["shop/api/TCP/IPv4"] },
      { frontEnd: "198.51.100.1/80/TCP", winner: "shop/zoo/TCP/IPv4", losers: ["shop/api/TCP/IPv4"] },
    ]);
    remove(state, balancer);
    assert.deepEqual([...state.takeChanges().decisions.keys()], ["shop/zoo/TCP/IPv4", "shop/api/TCP/IPv4"]);
    assert.deepEqual(frontEnds("api"), ["ClusterIP", "ExternalIP"]);
  });
});

const addresses = {
  IPv4: ["10.244.0.1", "10.244.0.2", "10.244.1.1", "10.244.1.10"],
  IPv6: ["fd00:244::1", "fd00:244::2", "fd00:244:1::1", "fd00:244:1::a"],
} as const;

const anyEndpoint = (family: "IPv4" | "IPv6") =>
  fc
    .record({
      address: fc.constantFrom(...addresses[family]),
      node: fc.constantFrom("", " @here", " @there"),
      state: fc.constantFrom("", "", "", " unready", " terminating", " gone", " serving"),
      zones: fc.constantFrom("", "", " zones=a", " zones=b", " zones=a,b"),
      nodes: fc.constantFrom("", "", " nodes=here", " nodes=there"),
    })
    .map(({ address, node, state, zones, nodes }) => endpoint(`${address}${node}${state}${zones}${nodes}`));

const targets = [
  { name: "a", protocol: "TCP", port: 8080 },
  { name: "b", protocol: "UDP", port: 8053 },
] as const;

const anySlice: fc.Arbitrary<EndpointSlice> = fc.constantFrom(...families).chain((family) =>
  fc.record({
    kind: fc.constant("EndpointSlice" as const),
    namespace: fc.constant("shop"),
    name: fc.constantFrom("s1", "s2", "s3", "s4"),
    service: fc.constantFrom("web", "api"),
    family: fc.constant(family),
    ports: fc.subarray([...targets]),
    endpoints: fc.array(anyEndpoint(family), { maxLength: 4 }),
    lastChangeTriggerTime: fc.constant(0),
  }),
);

const policy = fc.constantFrom("Cluster" as const, "Local" as const);
const anyService: fc.Arbitrary<Service> = fc
  .record({
    name: fc.constantFrom("web", "api"),
    type: fc.constantFrom("ClusterIP" as const, "NodePort" as const, "LoadBalancer" as const, "ExternalName" as const),
    clusterIPs: fc.subarray(["10.96.0.1", "fd00:96::1"]),
    externalIPs: fc.subarray(["198.51.100.1", "2001:db8::1", "10.96.0.1"]),
    loadBalancerIPs: fc.subarray(["203.0.113.1", "203.0.113.2(Proxy)", "2001:db8::2"]),
    loadBalancerSourceRanges: fc.subarray(["192.168.0.0/16", "198.51.100.0/24", "fd00:192::/64"]),
    externalTrafficPolicy: policy,
    internalTrafficPolicy: policy,
    nodePort: fc.constantFrom(0, 30080),
    ports: fc.subarray([port(80, "a"), port(53, "b", "UDP")]),
    affinitySeconds: fc.constantFrom(0, 10),
  })
  .map(({ nodePort, ports, ...change }) =>
    service({ ...change, ports: ports.map((p) => ({ ...p, nodePort: nodePort && nodePort + p.port })) }),
  );

const anyContext: fc.Arbitrary<PolicyContext> = fc
  .record({
    zone: fc.constantFrom("", "a", "b"),
    masqueradeAll: fc.boolean(),
    allowExternalIPs: fc.boolean(),
    served: fc.subarray([...families]),
    detector: fc.boolean(),
  })
  .map(({ served, detector, ...rest }) => ({
    ...rest,
    nodeName: "here",
    families: Object.fromEntries(
      served.map((family) => [
        family,
        { detector, nodeAddress: parseAddress(family === "IPv4" ? "192.168.0.1" : "fd00:192::1") },
      ]),
    ),
  }));

describe("for any objects", () => {
  test("an outcome never points to an empty pool, and pools hold no doubles", () => {
    fc.assert(
      fc.property(anyService, fc.array(anySlice, { maxLength: 4 }), anyContext, (object, slices, context) => {
        for (const decision of decide(object, slices, context)) {
          for (const { outcomes } of decision.frontEnds) {
            for (const outcome of Object.values(outcomes)) {
              if (outcome.kind === "balance") assert.notEqual(decision[outcome.pool].length, 0);
            }
          }
          for (const pool of [decision.cluster, decision.local]) {
            assert.equal(new Set(pool.map((e) => `${e.address} ${e.port}`)).size, pool.length);
          }
        }
      }),
    );
  });

  test("families never mix", () => {
    fc.assert(
      fc.property(anyService, fc.array(anySlice, { maxLength: 4 }), anyContext, (object, slices, context) => {
        for (const { family, frontEnds, cluster, local } of decide(object, slices, context)) {
          assert.notEqual(context.families[family], undefined);
          for (const { address } of [...cluster, ...local]) assert.equal(familyOf(address), family);
          for (const frontEnd of frontEnds) {
            if (frontEnd.kind !== "NodePort") assert.equal(familyOf(frontEnd.address), family);
            if (frontEnd.kind !== "LoadBalancerIP") continue;
            for (const source of frontEnd.sources ?? []) assert.equal(prefixFamily(source), family);
          }
        }
      }),
    );
  });

  test("the order of slices does not matter", () => {
    fc.assert(
      fc.property(
        anyService,
        fc.uniqueArray(anySlice, { maxLength: 4, selector: ({ name }) => name }),
        anyContext,
        (object, slices, context) => {
          assert.deepEqual(decide(object, slices.toReversed(), context), decide(object, slices, context));
        },
      ),
    );
  });

  test("step by step comes to the same as all at once, and the changes say exactly the difference", () => {
    const step = fc.oneof(
      fc.record({ type: fc.constant("upsert" as const), object: fc.oneof(anyService, anySlice) }),
      fc.record({ type: fc.constant("delete" as const), object: fc.oneof(anyService, anySlice) }),
      fc.record({ type: fc.constant("context" as const), context: anyContext }),
      fc.record({ type: fc.constant("take" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20, size: "max" }), (steps) => {
        const state = new ServiceState(here);
        const objects = new Map<string, Object>();
        const mirror = new Map<DecisionKey, Decision>();
        let context = here;
        const take = () => {
          for (const [name, decision] of state.takeChanges().decisions) {
            assert.notDeepEqual(decision, mirror.get(name));
            if (decision === undefined) mirror.delete(name);
            else mirror.set(name, decision);
          }
        };
        for (const step of steps) {
          if (step.type === "take") take();
          else if (step.type === "context") {
            context = step.context;
            state.setContext(context);
          } else {
            const id = `${step.object.kind}/${objectKey(step.object)}`;
            if (step.type === "delete") objects.delete(id);
            else objects.set(id, step.object);
            state.apply(step);
          }
        }
        take();
        const fresh = new ServiceState(context);
        put(fresh, ...[...objects.values()].reverse());
        fresh.takeChanges();
        const sorted = (map: ReadonlyMap<DecisionKey, Decision>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
        assert.deepEqual(sorted(state.decisions), sorted(fresh.decisions));
        assert.deepEqual(sorted(mirror), sorted(fresh.decisions));
        assert.deepEqual(state.noLocalEndpoints, fresh.noLocalEndpoints);
        assert.deepEqual(new Map([...state.healthChecks].sort()), new Map([...fresh.healthChecks].sort()));
        assert.deepEqual(
          state.conflicts.toSorted((a, b) => (a.frontEnd < b.frontEnd ? -1 : 1)),
          fresh.conflicts.toSorted((a, b) => (a.frontEnd < b.frontEnd ? -1 : 1)),
        );
        const claimed = [...state.decisions.values()].flatMap(({ family, service: { protocol }, frontEnds }) =>
          frontEnds.map((f) => `${family} ${protocol} ${f.kind === "NodePort" ? "" : f.address} ${f.port}`),
        );
        assert.equal(new Set(claimed).size, claimed.length);
      }),
      { numRuns: 300 },
    );
  });
});
