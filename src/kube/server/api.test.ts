import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { parsePrefix } from "../../net/prefix.ts";
import { Api, internal, type WriteOptions } from "./api.ts";
import { bootstrap } from "./bootstrap.ts";
import { ApiError } from "./errors.ts";
import { type JsonObject, listAt, numberAt, objectAt, textAt } from "./json.ts";
import { namespace } from "./kinds/cluster.ts";
import { configMap } from "./kinds/config.ts";
import { event, newEvent } from "./kinds/event.ts";
import { pod } from "./kinds/pod.ts";
import { service } from "./kinds/service.ts";
import { deployment } from "./kinds/workloads.ts";
import { Store } from "./store/store.ts";

function openApi(t: TestContext, cidrs: readonly string[] = ["10.96.0.0/28", "fd00::/124"]): Api {
  const directory = mkdtempSync(join(tmpdir(), "ptl-apicore-"));
  const store = new Store(directory);
  t.after(() => {
    store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const api = new Api(store, {
    now: () => Date.parse("2026-01-01T00:00:00Z"),
    nodePorts: { first: 30_000, last: 30_011 },
    random: Math.random,
  });
  bootstrap(api, cidrs.map(parsePrefix), 6443);
  return api;
}

/** Every address and node port belongs to one Service, and every IPAddress to a Service that has it. */
function checkAllocations(api: Api): void {
  const services = api.list("services");
  const ips = services.flatMap((item) => listAt(item, "spec", "clusterIPs").map(String)).filter((ip) => ip !== "None");
  assert.equal(new Set(ips).size, ips.length, "no cluster IP twice");
  assert.deepEqual(
    api
      .list("ipaddresses.networking.k8s.io")
      .map((item) => item.metadata.name)
      .sort(),
    ips.sort(),
  );
  const ports = services.flatMap((item) => {
    const own = listAt(item, "spec", "ports").map((port) => numberAt(port, ["nodePort"]));
    return [...new Set([...own, numberAt(item, ["spec", "healthCheckNodePort"])])].filter((port) => port > 0);
  });
  assert.equal(new Set(ports).size, ports.length, "no node port twice");
  for (const item of services) {
    const type = textAt(item, "spec", "type");
    if (type === "ClusterIP")
      assert.ok(listAt(item, "spec", "ports").every((port) => numberAt(port, ["nodePort"]) === 0));
    if (type === "NodePort") assert.ok(listAt(item, "spec", "ports").every((port) => numberAt(port, ["nodePort"]) > 0));
    if (type === "ExternalName") assert.equal(objectAt(item, "spec").clusterIP, undefined);
    else assert.equal(listAt(item, "spec", "clusterIPs")[0], textAt(item, "spec", "clusterIP"));
  }
}

test("whatever is asked of Services, no address and no node port has two of them, and none is lost", (t) => {
  const api = openApi(t);
  const seldom = <T>(value: fc.Arbitrary<T>) =>
    fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
  const nodePort = seldom(fc.constantFrom(30_000, 30_001, 40_000));
  const spec = fc.record({
    type: fc.constantFrom("ClusterIP", "NodePort", "NodePort", "LoadBalancer", "ExternalName"),
    externalName: fc.constant("example.com"),
    clusterIP: seldom(fc.constantFrom("None", "10.96.0.5", "10.96.0.6", "fd00::5", "10.0.0.1", "")),
    ipFamilyPolicy: seldom(fc.constantFrom("SingleStack", "PreferDualStack", "RequireDualStack")),
    externalTrafficPolicy: seldom(fc.constantFrom("Cluster", "Local")),
    selector: seldom(fc.constant({ app: "web" })),
    ports: fc.uniqueArray(fc.record({ port: fc.integer({ min: 79, max: 83 }), nodePort }), {
      minLength: 1,
      maxLength: 3,
      selector: (port) => port.port,
    }),
  });
  const operation = fc.record({
    verb: fc.constantFrom("create", "create", "create", "put", "put", "patch", "patch", "patch", "delete", "dry"),
    name: fc.constantFrom("a", "b", "c", "d", "e"),
    spec,
  });
  let done = 0;
  fc.assert(
    fc.property(fc.array(operation, { minLength: 20, maxLength: 60 }), (operations) => {
      for (const { verb, name, spec: wanted } of operations) {
        const ports = wanted.ports?.map((port) => ({ ...port, name: `p${port.port}` }));
        const body = {
          metadata: { name },
          spec: { ...wanted, ...(ports === undefined ? {} : { ports }) },
        } as unknown as JsonObject;
        try {
          if (verb === "create") api.create(service, "default", body, internal);
          else if (verb === "dry") api.create(service, "default", body, { ...internal, dryRun: true });
          else if (verb === "put") api.update(service, "default", name, body, "", internal);
          else if (verb === "patch")
            api.patch(service, "default", name, { type: "merge", body, force: false }, "", internal);
          else api.delete(service, "default", name, { dryRun: false });
          done++;
        } catch (error) {
          if (!(error instanceof ApiError) || error.code >= 500) throw error;
        }
        checkAllocations(api);
      }
    }),
    { numRuns: 60 },
  );
  assert.ok(done > 300, "many of them succeed");
});

test("a range that is used up says so, and goes on once something is given back", (t) => {
  const api = openApi(t, ["10.96.0.0/29"]);
  const make = (name: string) =>
    api.create(service, "default", { metadata: { name }, spec: { ports: [{ port: 80 }] } }, internal);
  for (const name of ["a", "b", "c", "d", "e"]) make(name);
  assert.throws(() => make("f"), /failed to allocate a serviceIP: range is full/);
  api.delete(service, "default", "c", { dryRun: false });
  make("f");
  checkAllocations(api);
});

test("a cluster IP that is there cannot be changed, whichever of its two fields says so", (t) => {
  const api = openApi(t);
  const spec = { ports: [{ port: 80 }] };
  api.create(service, "default", { metadata: { name: "a" }, spec: { ...spec, clusterIP: "10.96.0.5" } }, internal);
  api.create(service, "default", { metadata: { name: "h" }, spec: { ...spec, clusterIP: "None" } }, internal);
  const patch = (name: string, wanted: JsonObject) =>
    api.patch(service, "default", name, { type: "merge", body: { spec: wanted }, force: false }, "", internal);
  const fixed = (value: string) => new RegExp(`spec.clusterIPs\\[0\\]: .*\\["${value}".*\\]: may not change once set`);
  for (const name of ["a", "h"]) {
    assert.throws(() => patch(name, { clusterIP: "10.96.0.6" }), fixed("10.96.0.6"));
    assert.throws(() => patch(name, { clusterIPs: ["10.96.0.6"] }), /first value must match|may not change once set/);
  }
  assert.throws(() => patch("a", { clusterIP: "None" }), fixed("None"));
  for (const same of [{ clusterIP: "" }, { clusterIP: null }, { clusterIP: "10.96.0.5" }, { clusterIPs: null }])
    assert.equal(textAt(patch("a", same), "spec", "clusterIP"), "10.96.0.5");
});

test("generations count what is wanted, not what is", (t) => {
  const api = openApi(t);
  const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: "i" }] } };
  const made = api.create(
    deployment,
    "default",
    { metadata: { name: "d" }, spec: { selector: { matchLabels: { a: "b" } }, template } },
    internal,
  );
  const generation = (object: JsonObject) => numberAt(object, ["metadata", "generation"]);
  const reported = api.update(
    deployment,
    "default",
    "d",
    { ...made, spec: {}, status: { replicas: 1 } },
    "status",
    internal,
  );
  assert.equal(generation(reported), 1);
  assert.equal(numberAt(reported, ["spec", "replicas"]), 1, "a write of the status leaves the rest alone");
  const labelled = api.update(
    deployment,
    "default",
    "d",
    { ...reported, metadata: { ...reported.metadata, labels: { x: "y" } } },
    "",
    internal,
  );
  assert.equal(generation(labelled), 1);
  const scaled = api.update(
    deployment,
    "default",
    "d",
    { ...labelled, spec: { ...objectAt(labelled, "spec"), replicas: 2 }, status: {} },
    "",
    internal,
  );
  assert.equal(generation(scaled), 2);
  assert.equal(numberAt(scaled, ["status", "replicas"]), 1, "a write of the rest leaves the status alone");
});

test("pods get their time to end, and namespaces wait for what is in them", (t) => {
  const api = openApi(t);
  const spec = { nodeName: "n", containers: [{ name: "c", image: "i" }] };
  api.create(pod, "default", { metadata: { name: "p" }, spec }, internal);
  const first = api.delete(pod, "default", "p", { dryRun: false });
  assert.ok(!first.gone);
  assert.equal(first.object.metadata.deletionTimestamp, "2026-01-01T00:00:30Z");
  const hastened = api.delete(pod, "default", "p", { dryRun: false, graceSeconds: 5 });
  assert.equal(hastened.object.metadata.deletionTimestamp, "2026-01-01T00:00:05Z");
  assert.ok(api.delete(pod, "default", "p", { dryRun: false, graceSeconds: 0 }).gone);
  api.create(namespace, "", { metadata: { name: "shop" } }, internal);
  assert.ok(!api.delete(namespace, "", "shop", { dryRun: false }).gone);
  assert.throws(
    () => api.create(configMap, "shop", { metadata: { name: "c" } }, internal),
    /because it is being terminated/,
  );
  assert.throws(() => api.delete(namespace, "", "default", { dryRun: false }), /this namespace may not be deleted/);
  assert.throws(
    () => api.create(configMap, "nowhere", { metadata: { name: "c" } }, internal),
    /namespaces "nowhere" not found/,
  );
});

test("an event is the same in both of its groups", (t) => {
  const api = openApi(t);
  const regarding = { kind: "Pod", name: "p", namespace: "default" };
  api.create(
    newEvent,
    "default",
    { metadata: { name: "e" }, regarding, note: "Told", reason: "Why", type: "Normal" },
    internal,
  );
  const old = api.get(event, "default", "e");
  assert.equal(old.message, "Told");
  assert.deepEqual(old.involvedObject, regarding);
  assert.equal(old.apiVersion, "v1");
  const back = api.get(newEvent, "default", "e");
  assert.equal(back.note, "Told");
  assert.equal(back.apiVersion, "events.k8s.io/v1");
  assert.equal(back.message, undefined);
});

test("unknown members are told to those who want to be told", (t) => {
  const api = openApi(t);
  const warnings: string[] = [];
  const options: WriteOptions = { ...internal, strictness: "Warn", warn: (message) => warnings.push(message) };
  api.create(configMap, "default", { metadata: { name: "c", nmae: "x" }, dta: {} }, options);
  assert.deepEqual(warnings, ['unknown field "metadata.nmae"', 'unknown field "dta"']);
});
