import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { dataKey, environmentOf, expand } from "./environment.ts";
import { projectPod, resolvePort } from "./pod.ts";

const raw = {
  metadata: {
    name: "web",
    namespace: "default",
    uid: "1",
    deletionTimestamp: "2026-01-01T00:00:00Z",
    deletionGracePeriodSeconds: 7,
  },
  spec: {
    nodeName: "node1",
    containers: [
      {
        name: "main",
        image: "x",
        command: ["run", "$(NAME)"],
        env: [
          { name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
          { name: "GREETING", value: "hello $(NAME), $$(NAME), $(OTHER)" },
        ],
        ports: [{ name: "http", containerPort: 8080 }],
        readinessProbe: { httpGet: { port: "http", path: "/readyz" }, periodSeconds: 3 },
        lifecycle: { preStop: { sleep: { seconds: 2 } } },
      },
    ],
  },
  status: { podIP: "10.244.1.9", conditions: [{ type: "Ready", status: "True" }] },
};

function pod() {
  const projected = projectPod(raw);
  assert.ok(projected.outcome === "object");
  const [container] = projected.object.containers;
  assert.ok(container);
  return { pod: projected.object, container };
}

test("what a node needs is kept of a pod", () => {
  const { pod: read, container } = pod();
  assert.equal(read.node, "node1");
  assert.deepEqual(read.deletion, { graceSeconds: 7 });
  assert.deepEqual(read.conditions, ["Ready"]);
  assert.equal(container.readiness?.period, 3000);
  assert.equal(container.readiness?.timeout, 1000);
  assert.deepEqual(container.preStop, { type: "sleep", milliseconds: 2000 });
  assert.equal(resolvePort("http", container), 8080);
  assert.equal(resolvePort("99", container), 99);
  assert.equal(resolvePort("none", container), undefined);
});

test("references to environment variables are replaced, escaped and unknown ones are not", () => {
  const { pod: read, container } = pod();
  const env = environmentOf(container, read, { addresses: [], hostAddresses: [] }, new Map());
  assert.deepEqual(env, { NAME: "web", GREETING: "hello web, $(NAME), $(OTHER)" });
  assert.equal(expand("$(NAME)/$x", env), "web/$x");
});

test("nothing that an API could send makes the reading of a pod fail", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (spec, status) => {
      const { outcome } = projectPod({ metadata: { name: "a" }, spec, status });
      assert.ok(["object", "invalid"].includes(outcome));
    }),
  );
});

test("variables are taken from entries of ConfigMaps and Secrets, and one that must be there is missed", () => {
  const [config, secret] = [
    { kind: "ConfigMap", name: "c", optional: false },
    { kind: "Secret", name: "s", optional: true },
  ] as const;
  const { pod: read } = pod();
  const take = (key: string, optional: boolean) => ({
    envFrom: [
      { from: config, prefix: "" },
      { from: secret, prefix: "S_" },
    ],
    env: [
      { name: "color", value: "$(COLOR)" },
      { name: "ONE", from: { ...config, optional }, key },
    ],
  });
  const data = new Map<string, Readonly<Record<string, string>>>([[dataKey(config), { COLOR: "blue" }]]);
  const places = { addresses: [], hostAddresses: [] };
  const entries = { COLOR: "blue", color: "blue" };
  assert.deepEqual(environmentOf(take("COLOR", false), read, places, data), { ...entries, ONE: "blue" });
  assert.deepEqual(environmentOf(take("SHAPE", true), read, places, data), entries);
  assert.throws(
    () => environmentOf(take("SHAPE", false), read, places, data),
    /couldn't find key SHAPE in ConfigMap default\/c/,
  );
  const both = environmentOf(take("COLOR", false), read, places, data.set(dataKey(secret), { PASS: "x" }));
  assert.equal(both.S_PASS, "x");
});
