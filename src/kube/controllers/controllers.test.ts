import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parsePrefix } from "../../net/prefix.ts";
import { type ApiObject, type JsonObject, listAt, numberAt, objectAt } from "../server/json.ts";
import { service as serviceKind } from "../server/kinds/service.ts";
import { deployment as deploymentKind } from "../server/kinds/workloads.ts";
import { withDefaults } from "../server/schema/decode.ts";
import { type Action, controllerOf } from "./action.ts";
import { claim } from "./claim.ts";
import { decideStatus } from "./definitions.ts";
import { decideDeployment } from "./deployment.ts";
import { rollingLimits } from "./deploymentstatus.ts";
import { decideTaints } from "./nodelifecycle.ts";
import { freePrefix, usualPodRange } from "./nodes.ts";
import { Occupancy } from "./occupancy.ts";
import { decideReplicaSet } from "./replicaset.ts";
import { choosePlacement } from "./scheduler.ts";
import { endpointGroups, reconcileSlices, sliceCapacity } from "./slices.ts";

const now = Date.parse("2026-01-01T00:00:00Z");
let serial = 0;

function object(kind: string, name: string, content: JsonObject, metadata: JsonObject = {}): ApiObject {
  const identity = {
    name,
    namespace: "default",
    uid: `uid-${++serial}`,
    resourceVersion: "1",
    creationTimestamp: "2026-01-01T00:00:00Z",
    generation: 1,
  };
  const apiVersion = kind === "Deployment" || kind === "ReplicaSet" ? "apps/v1" : "v1";
  return { ...content, apiVersion, kind, metadata: { ...identity, ...metadata } };
}

function deployment(replicas: number, image: string, rolling: JsonObject): ApiObject {
  const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image }] } };
  const spec = {
    replicas,
    selector: { matchLabels: { app: "web" } },
    template,
    strategy: { type: "RollingUpdate", rollingUpdate: rolling },
  };
  const whole = withDefaults(deploymentKind.schema, object("Deployment", "web", { spec }));
  return whole as ApiObject;
}

/** The sets after some actions. */
function after(sets: readonly ApiObject[], actions: readonly Action[]): readonly ApiObject[] {
  let result = [...sets];
  for (const action of actions) {
    if (action.type === "create")
      result.push(object("ReplicaSet", `set-${serial}`, action.object, { ...objectAt(action.object, "metadata") }));
    else if (action.type === "update" && action.resource === "replicasets.apps") {
      result = result.map((set) => (set.metadata.uid === action.object.metadata.uid ? action.object : set));
    } else if (action.type === "delete") result = result.filter((set) => set !== action.object);
  }
  return result;
}

const replicas = (set: ApiObject) => numberAt(set, ["spec", "replicas"]);
const available = (set: ApiObject) => numberAt(set, ["status", "availableReplicas"]);
const sum = (sets: readonly ApiObject[], of: (set: ApiObject) => number) => sets.reduce((all, set) => all + of(set), 0);

test("a rolling update keeps its limits at every step, and ends", () => {
  const limits = fc.record({
    maxSurge: fc.oneof(
      fc.nat(4),
      fc.nat(100).map((part) => `${part}%`),
    ),
    maxUnavailable: fc.oneof(
      fc.nat(4),
      fc.nat(100).map((part) => `${part}%`),
    ),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      limits,
      fc.array(fc.nat(3), { minLength: 1, maxLength: 5 }),
      (count, rolling, speeds) => {
        const status = (set: ApiObject, ready: number) => ({
          ...set,
          status: { replicas: replicas(set), availableReplicas: ready, readyReplicas: ready },
        });
        let sets: readonly ApiObject[] = after(
          [],
          decideDeployment(deployment(count, "web:1", rolling), [], 0, now).actions,
        );
        sets = sets.map((set) => status(set, replicas(set)));
        const next = deployment(count, "web:2", rolling);
        const { surge, unavailable } = rollingLimits(next);
        for (let step = 0; step < 200; step++) {
          sets = after(sets, decideDeployment(next, sets, 0, now).actions);
          assert.ok(sum(sets, replicas) <= count + surge, "never too many");
          // Pods that are given up are those that are not available, where there are any.
          sets = sets.map((set) => status(set, Math.min(available(set), replicas(set))));
          assert.ok(sum(sets, available) >= count - unavailable, "never too few");
          const speed = speeds[step % speeds.length] ?? 0;
          sets = sets.map((set) =>
            status(set, Math.min(replicas(set), available(set) + Math.max(step > 100 ? 1 : 0, speed))),
          );
        }
        const running = sets.filter((set) => replicas(set) > 0);
        assert.equal(running.length, 1);
        assert.match(JSON.stringify(running[0]), /web:2/);
        assert.equal(sum(sets, replicas), count);
      },
    ),
    { numRuns: 50 },
  );
});

test("a deployment that goes back to an old template takes up its old set under a new revision", () => {
  const one = deployment(1, "web:1", { maxSurge: 1, maxUnavailable: 0 });
  const first = after([], decideDeployment(one, [], 0, now).actions);
  const two = { ...deployment(1, "web:2", { maxSurge: 1, maxUnavailable: 0 }), metadata: one.metadata };
  const second = after(first, decideDeployment(two, first, 0, now).actions);
  const third = after(second, decideDeployment(one, second, 0, now).actions);
  const annotations = third.map((set) => objectAt(set, "metadata", "annotations"));
  assert.deepEqual(
    annotations.map((item) => item["deployment.kubernetes.io/revision"]),
    ["3", "2"],
  );
  assert.equal(annotations[0]?.["deployment.kubernetes.io/revision-history"], "1");
});

function pod(
  name: string,
  options: { owner?: ApiObject; node?: string; ip?: string; ready?: boolean; ending?: boolean; port?: JsonObject } = {},
): ApiObject {
  const { owner, node = "", ip, ready = true, ending = false, port } = options;
  const metadata = {
    labels: { app: "web" },
    ...(owner === undefined
      ? {}
      : {
          ownerReferences: [{ controller: true, uid: owner.metadata.uid, kind: owner.kind, name: owner.metadata.name }],
        }),
    ...(ending ? { deletionTimestamp: "2026-01-01T00:00:30Z" } : {}),
  };
  const conditions = [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: "2026-01-01T00:00:00Z" }];
  const status = { phase: "Running", conditions, ...(ip === undefined ? {} : { podIP: ip, podIPs: [{ ip }] }) };
  const containers = [{ name: "web", ...(port === undefined ? {} : { ports: [port] }) }];
  return object("Pod", name, { spec: { nodeName: node, containers }, status }, metadata);
}

test("a replica set makes what is missing, and gives up what serves least", () => {
  const template = { metadata: { labels: { app: "web" } }, spec: {} };
  const set = object("ReplicaSet", "web", {
    spec: { replicas: 2, selector: { matchLabels: { app: "web" } }, template },
  });
  const kinds = (pods: readonly ApiObject[]) => decideReplicaSet(set, pods, now).actions.map((action) => action.type);
  assert.deepEqual(kinds([]), ["create", "create", "status"]);
  const mine = (name: string, options: Parameters<typeof pod>[1] = {}) =>
    pod(name, { owner: set, node: "n", ...options });
  assert.deepEqual(kinds([mine("a"), mine("b")]), ["status"]);
  assert.deepEqual(kinds([mine("a"), mine("b", { ending: true })]), ["create", "status"]);
  const surplus = decideReplicaSet(set, [mine("a"), mine("b", { ready: false }), mine("c")], now).actions[0];
  assert.ok(surplus?.type === "delete" && surplus.object.metadata.name === "b");
});

test("a workload takes up what nobody controls and it selects, and lets go what it selects no more", () => {
  const content = { spec: { selector: { matchLabels: { app: "web" } } } };
  const [set, other] = [object("ReplicaSet", "web", content), object("ReplicaSet", "other", content)];
  const ending = { ...set, metadata: { ...set.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } };
  const relabelled = (one: ApiObject): ApiObject => ({ ...one, metadata: { ...one.metadata, labels: { app: "x" } } });
  const gone = relabelled(pod("gone", { owner: set }));
  const all = [
    pod("mine", { owner: set }),
    pod("stray"),
    pod("theirs", { owner: other }),
    gone,
    relabelled(pod("foreign")),
    pod("ending", { ending: true }),
  ];
  const outcome = (owner: ApiObject) => {
    const { mine, actions } = claim("pods", owner, all);
    const written = actions.map((action) =>
      action.type === "update" ? [action.object.metadata.name, controllerOf(action.object)?.name] : [],
    );
    return [mine.map(({ metadata }) => metadata.name), written];
  };
  assert.deepEqual(outcome(set), [
    ["mine"],
    [
      ["stray", "web"],
      ["gone", undefined],
    ],
  ]);
  assert.deepEqual(outcome(ending), [["mine", "gone"], []], "whoever ends changes nothing any more");
});

test("the scheduler spreads pods of one owner, and says why none suits", () => {
  const node = (name: string, spec: JsonObject = {}) => object("Node", name, { spec });
  const place = (one: ApiObject, nodes: readonly ApiObject[], others: readonly ApiObject[]) =>
    choosePlacement(one, nodes, Occupancy.of(others));
  const owner = object("ReplicaSet", "web", {});
  const nodes = [node("a"), node("b")];
  assert.deepEqual(place(pod("x", { owner }), nodes, []), { node: "a" });
  assert.deepEqual(place(pod("x", { owner }), nodes, [pod("1", { owner, node: "a" })]), { node: "b" });
  const others = [pod("1", { node: "a" }), pod("2", { node: "a" }), pod("3", { owner, node: "b" })];
  assert.deepEqual(place(pod("x", { owner }), nodes, others), { node: "a" });
  const closed = [
    node("a", { unschedulable: true }),
    node("b", { taints: [{ key: "k", value: "v", effect: "NoSchedule" }] }),
  ];
  assert.deepEqual(place(pod("x"), closed, []), {
    reasons: "0/2 nodes are available: 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable.",
  });
  const picky = pod("x");
  const selecting = { ...picky, spec: { ...objectAt(picky, "spec"), nodeSelector: { disk: "ssd" } } };
  assert.match(JSON.stringify(place(selecting, nodes, [])), /didn't match Pod's node affinity\/selector/);
});

function service(spec: JsonObject): ApiObject {
  return object("Service", "web", {
    spec: { ipFamilies: ["IPv4"], ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: "web" }], ...spec },
  });
}

const webPort = { name: "web", containerPort: 8080, protocol: "TCP" };
const zoneOf = (node: string) => (node === "" ? "" : `zone-of-${node}`);

test("endpoints say whether they are ready, serving and terminating, and for whom they are", () => {
  const pods = [
    pod("ready", { ip: "10.0.0.1", node: "a", port: webPort }),
    pod("unready", { ip: "10.0.0.2", node: "a", ready: false, port: webPort }),
    pod("ending", { ip: "10.0.0.3", node: "b", ending: true, port: webPort }),
    pod("portless", { ip: "10.0.0.4", node: "b" }),
    pod("homeless", { port: webPort }),
  ];
  const [group, ...rest] = endpointGroups(service({ trafficDistribution: "PreferClose" }), pods, zoneOf);
  assert.equal(rest.length, 0);
  assert.deepEqual(group?.ports, [{ name: "http", port: 8080, protocol: "TCP" }]);
  assert.deepEqual(
    group?.endpoints.map((endpoint) => [endpoint.addresses, endpoint.conditions, endpoint.hints]),
    [
      [["10.0.0.1"], { ready: true, serving: true, terminating: false }, { forZones: [{ name: "zone-of-a" }] }],
      [["10.0.0.2"], { ready: false, serving: false, terminating: false }, { forZones: [{ name: "zone-of-a" }] }],
      [["10.0.0.3"], { ready: false, serving: true, terminating: true }, { forZones: [{ name: "zone-of-b" }] }],
    ],
  );
  const [published] = endpointGroups(service({ publishNotReadyAddresses: true }), pods, zoneOf);
  assert.ok(published?.endpoints.every((endpoint) => objectAt(endpoint, "conditions").ready === true));
});

test("slices hold a hundred endpoints each and change as little as possible", () => {
  const web = service({});
  const pods = Array.from({ length: 250 }, (_, i) =>
    pod(`p${i}`, { ip: `10.1.${i >> 7}.${i & 127}`, node: "a", port: webPort }),
  );
  const manager = "test";
  const first = reconcileSlices(web, endpointGroups(web, pods, zoneOf), [], manager, "");
  let slices = first.flatMap((action) =>
    action.type === "create"
      ? [object("EndpointSlice", `s${++serial}`, action.object, objectAt(action.object, "metadata"))]
      : [],
  );
  const sizes = () => slices.map((slice) => listAt(slice, "endpoints").length).sort((a, b) => a - b);
  assert.deepEqual(sizes(), [50, 100, 100]);
  assert.deepEqual(
    reconcileSlices(web, endpointGroups(web, pods, zoneOf), slices, manager, ""),
    [],
    "nothing changed, nothing to do",
  );
  const changed = [
    ...pods.slice(0, 100),
    pod("changed", { ip: "10.2.0.1", node: "a", port: webPort }),
    ...pods.slice(101),
  ];
  const second = reconcileSlices(web, endpointGroups(web, changed, zoneOf), slices, manager, "");
  assert.ok(
    second.length <= 2 && second.every((action) => action.type === "update"),
    "one gone and one new touch two slices at most",
  );
  const gone = reconcileSlices(web, [], slices, manager, "");
  assert.deepEqual(
    gone.map((action) => action.type).sort(),
    ["delete", "delete", "update"],
    "an empty slice stays to say so",
  );
  slices = slices.slice(0, 1);
  assert.ok(sizes()[0] !== undefined && (sizes()[0] ?? 0) <= sliceCapacity);
});

test("a lost node has the taints of its state, beside those that others gave it", () => {
  const node = (ready: string, taints: readonly JsonObject[]) =>
    object("Node", "a", { spec: { taints }, status: { conditions: [{ type: "Ready", status: ready }] } });
  const own = { key: "dedicated", effect: "NoSchedule" };
  const kept = (ready: string, taints: readonly JsonObject[]) =>
    decideTaints(node(ready, taints), now)?.map(({ key, effect }) => `${key}:${effect}`);
  const lost = ["NoSchedule", "NoExecute"].map((effect) => ({ key: "node.kubernetes.io/unreachable", effect }));
  assert.deepEqual(kept("Unknown", [own]), [
    "dedicated:NoSchedule",
    "node.kubernetes.io/unreachable:NoSchedule",
    "node.kubernetes.io/unreachable:NoExecute",
  ]);
  assert.equal(kept("Unknown", [own, ...lost]), undefined, "there is nothing to do");
  assert.deepEqual(kept("False", lost), [
    "node.kubernetes.io/not-ready:NoSchedule",
    "node.kubernetes.io/not-ready:NoExecute",
  ]);
  assert.deepEqual(kept("True", [own, ...lost]), ["dedicated:NoSchedule"]);
  assert.equal(kept("True", [own]), undefined);
  assert.equal(decideTaints(object("Node", "new", {}), now), undefined, "it has said nothing yet");
  const aside = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };
  const cordon = (unschedulable: boolean, taints: readonly JsonObject[]) =>
    decideTaints(object("Node", "a", { spec: { unschedulable, taints } }), now)?.map(({ key }) => key);
  assert.deepEqual(cordon(true, [own]), ["dedicated", aside.key], "a cordoned node is tainted, too");
  assert.equal(cordon(true, [aside]), undefined);
  assert.deepEqual(cordon(false, [own, aside]), ["dedicated"]);
});

test("a definition is established with names that nobody has, and stays so", () => {
  const names = { plural: "services", singular: "service", kind: "Service", listKind: "ServiceList" };
  const definition = (status: JsonObject = {}) =>
    object("CustomResourceDefinition", "services.x.y", { spec: { group: "x.y", names }, status });
  const states = (status: JsonObject | undefined) =>
    listAt(status, "conditions").map(
      (item) => `${objectAt({ item }, "item").type} ${objectAt({ item }, "item").status}`,
    );
  const free = decideStatus(definition(), [], now);
  assert.deepEqual(states(free), ["NamesAccepted True", "Established True"]);
  assert.equal(decideStatus(definition(free), [], now + 5000), undefined, "there is nothing to do");
  const taken = decideStatus(definition(), [serviceKind], now);
  assert.deepEqual(states(taken), ["NamesAccepted False", "Established False"]);
  assert.match(JSON.stringify(taken), /services.*is already in use/);
  assert.deepEqual(states(decideStatus(definition(free), [serviceKind], now)), [
    "NamesAccepted False",
    "Established True",
  ]);
});

test("nodes get prefixes that do not overlap, for as long as there are any", () => {
  const range = usualPodRange(parsePrefix("10.244.0.0/22"));
  const taken = new Set<string>();
  for (const wanted of ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24", "10.244.3.0/24"]) {
    assert.equal(freePrefix(range, taken), wanted);
    taken.add(wanted);
  }
  assert.equal(freePrefix(range, taken), undefined);
  assert.equal(
    freePrefix({ range: parsePrefix("10.0.0.0/20"), nodeLength: 23 }, new Set(["10.0.0.0/23"])),
    "10.0.2.0/23",
  );
  assert.equal(
    freePrefix(usualPodRange(parsePrefix("fd00:244::/56")), new Set(["fd00:244::/64"])),
    "fd00:244:0:1::/64",
  );
});
