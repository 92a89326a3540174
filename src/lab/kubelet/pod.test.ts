import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { projectPod, resolvePort } from "./pod.ts";
import { environmentOf, expand } from "./start.ts";

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
  const env = environmentOf(container.env, read, { addresses: [] });
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
