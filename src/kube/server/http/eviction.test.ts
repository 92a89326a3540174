import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parsePrefix } from "../../../net/prefix.ts";
import { Api, internal, isCode } from "../api.ts";
import { bootstrap } from "../bootstrap.ts";
import { type JsonObject, numberAt, objectAt } from "../json.ts";
import { podDisruptionBudget } from "../kinds/disruption.ts";
import { pod } from "../kinds/pod.ts";
import { Store } from "../store/store.ts";
import { evict } from "./eviction.ts";

/** An API with a namespace, and what evictions need of it. */
function open(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "ptl-eviction-"));
  const store = new Store(directory);
  t.after(() => {
    store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const api = new Api(store, { now: Date.now, nodePorts: { first: 30_000, last: 30_001 }, random: Math.random });
  bootstrap(api, [parsePrefix("10.96.0.0/28")], 6443);
  return {
    pod(name: string, phase: string, ready: boolean): void {
      const spec = { nodeName: "n", containers: [{ name: "c", image: "i" }] };
      const made = api.create(pod, "default", { metadata: { name, labels: { app: "web" } }, spec }, internal);
      const status = { phase, conditions: [{ type: "Ready", status: ready ? "True" : "False" }] };
      api.update(pod, "default", name, { ...made, status }, "status", internal);
    },
    budget(name: string, spec: JsonObject, status: JsonObject): void {
      const whole = { metadata: { name }, spec: { selector: { matchLabels: { app: "web" } }, ...spec } };
      const made = api.create(podDisruptionBudget, "default", whole, internal);
      const found = { observedGeneration: 1, expectedPods: 2, ...status };
      api.update(podDisruptionBudget, "default", name, { ...made, status: found }, "status", internal);
    },
    evict(name: string, body: JsonObject = {}): void {
      const route = { type: "resource", kind: pod, namespace: "default", name, subresource: "eviction" } as const;
      const sent = { bytes: Buffer.from(JSON.stringify(body)), contentType: "application/json" };
      evict({ api, route, method: "POST", query: new URLSearchParams(), body: sent, options: internal });
    },
    allowed: (name: string) =>
      numberAt(api.get(podDisruptionBudget, "default", name), ["status", "disruptionsAllowed"]),
    isEnding: (name: string) => objectAt(api.get(pod, "default", name), "metadata").deletionTimestamp !== undefined,
  };
}

test("an eviction takes from the budget of the pod, and is refused when that is used up", (t) => {
  const { pod, budget, evict, allowed, isEnding } = open(t);
  for (const name of ["a", "b"]) pod(name, "Running", true);
  budget("web", { minAvailable: 1 }, { disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1 });
  assert.throws(() => evict("a", { metadata: { name: "b" } }), /name in URL does not match/);
  evict("a", { deleteOptions: { dryRun: ["All"] } });
  assert.deepEqual([allowed("web"), isEnding("a")], [1, false], "a rehearsal changes nothing");
  evict("a", { deleteOptions: { gracePeriodSeconds: 7 } });
  assert.deepEqual([allowed("web"), isEnding("a")], [0, true]);
  evict("a");
  assert.throws(
    () => evict("b"),
    (error) => isCode(error, 429),
  );
  assert.ok(!isEnding("b"));
});

test("pods that are not ready go as their budget says", (t) => {
  const { pod, budget, evict, isEnding } = open(t);
  for (const name of ["a", "b"]) pod(name, "Running", false);
  budget("web", {}, { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 1 });
  assert.throws(
    () => evict("a"),
    (error) => isCode(error, 429),
  );
  const enough = open(t);
  enough.pod("a", "Running", false);
  enough.budget("web", {}, { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1 });
  enough.evict("a");
  assert.ok(enough.isEnding("a"), "the others are enough");
  const always = open(t);
  always.pod("a", "Running", false);
  always.budget("web", { unhealthyPodEvictionPolicy: "AlwaysAllow" }, { disruptionsAllowed: 0, desiredHealthy: 1 });
  always.evict("a");
  assert.ok(always.isEnding("a"));
  assert.ok(!isEnding("b"));
});

test("a pod that runs has one budget at most; one that does not yet run needs none", (t) => {
  const { pod, budget, evict } = open(t);
  pod("running", "Running", true);
  pod("pending", "Pending", false);
  for (const name of ["one", "two"]) budget(name, { minAvailable: 1 }, { disruptionsAllowed: 0 });
  evict("pending");
  assert.throws(
    () => evict("running"),
    (error) => isCode(error, 500),
  );
});
