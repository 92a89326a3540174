import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ApiError } from "../errors.ts";
import type { ApiObject } from "../json.ts";
import { duration } from "../kinds/columns.ts";
import { builtIn } from "../kinds/index.ts";
import { pod } from "../kinds/pod.ts";
import { service } from "../kinds/service.ts";
import { chooseForm } from "./accept.ts";
import { aggregatedVersion } from "./discovery.ts";
import { decodeContinue, encodeContinue, selectionOf, writeOptionsOf } from "./params.ts";
import { renderList } from "./render.ts";
import { parseRoute } from "./route.ts";

test("paths name resources, objects and their parts", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["/api/v1/pods", "pods|||"],
    ["/api/v1/namespaces", "namespaces|||"],
    ["/api/v1/namespaces/shop", "namespaces||shop|"],
    ["/api/v1/namespaces/shop/status", "namespaces||shop|status"],
    ["/api/v1/namespaces/shop/finalize", "namespaces||shop|finalize"],
    ["/api/v1/namespaces/shop/services/web", "services|shop|web|"],
    ["/apis/apps/v1/namespaces/shop/deployments/web/scale", "deployments|shop|web|scale"],
    ["/apis/networking.k8s.io/v1/ipaddresses/fd00::1", "ipaddresses||fd00::1|"],
    ["/api/v1/namespaces/shop/pods/a%2Fb", "pods|shop|a/b|"],
  ];
  for (const [path, wanted] of cases) {
    const route = parseRoute(path, builtIn);
    assert.ok(route.type === "resource", path);
    assert.equal(`${route.kind.plural}|${route.namespace}|${route.name}|${route.subresource}`, wanted);
  }
  for (const path of [
    "/api/v1/pods/p",
    "/api/v1/namespaces/shop/nodes/n",
    "/apis/apps/v1beta1/deployments",
    "/apix",
    "/api/v1/namespaces/s/pods/p/status/x",
  ]) {
    assert.equal(parseRoute(path, builtIn).type, "unknown", path);
  }
});

test("any path means something or is unknown", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc
          .array(
            fc.oneof(
              fc.constantFrom("api", "apis", "v1", "apps", "namespaces", "pods", "%2F", "%"),
              fc.string({ maxLength: 4 }),
            ),
            { maxLength: 8 },
          )
          .map((parts) => `/${parts.join("/")}`),
        fc.string(),
      ),
      (path) => assert.equal(typeof parseRoute(path, builtIn).type, "string"),
    ),
  );
});

test("the first form that a client accepts and the server has is chosen", () => {
  assert.equal(chooseForm(""), "object");
  assert.equal(chooseForm("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), "table");
  assert.equal(chooseForm("application/json;as=Table;v=v9;g=meta.k8s.io,application/json"), "object");
  assert.equal(chooseForm("application/vnd.kubernetes.protobuf,application/json"), "object");
  assert.equal(chooseForm("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"), "metadata");
  assert.throws(() => chooseForm("text/html"), /only the following media types/);
  assert.equal(
    aggregatedVersion("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"),
    "v2beta1",
  );
  assert.equal(aggregatedVersion("application/json"), undefined);
});

test("a continuation comes back as it was given out, and rubbish is refused", () => {
  const value = { version: 7, after: "default/web" };
  assert.deepEqual(decodeContinue(encodeContinue(value)), value);
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        decodeContinue(text);
      } catch (error) {
        assert.ok(error instanceof ApiError && error.code === 410);
      }
    }),
  );
});

test("the manager of a write is what the client says, or the first word of its agent", () => {
  const options = (query: string, agent: string) => writeOptionsOf(new URLSearchParams(query), agent, () => undefined);
  assert.equal(options("fieldManager=me", "kubectl/v1").manager, "me");
  assert.equal(options("", "kubectl/v1.33 (linux)").manager, "kubectl");
  assert.equal(options("", "").manager, "unknown");
  assert.ok(options("dryRun=All", "").dryRun);
  assert.throws(() => options("dryRun=Some", ""), /supported values: "All"/);
  assert.throws(() => selectionOf(pod, new URLSearchParams("fieldSelector=spec.x=1")), /field label not supported/);
});

const web: ApiObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: {
    name: "web",
    namespace: "default",
    uid: "u",
    resourceVersion: "3",
    creationTimestamp: "2026-01-01T00:00:00Z",
  },
  spec: {
    type: "NodePort",
    clusterIP: "10.96.0.5",
    ports: [{ port: 80, nodePort: 30080, protocol: "TCP" }],
    selector: { b: "2", a: "1" },
  },
};

test("tables show what kubectl prints", () => {
  const view = { kind: service, form: "table", include: "None", now: Date.parse("2026-01-01T01:30:00Z") } as const;
  const table = JSON.parse(renderList(view, [web], { resourceVersion: "3" }));
  assert.deepEqual(
    table.columnDefinitions.map((column: { name: string; priority: number }) => `${column.name}${column.priority}`),
    ["Name0", "Type0", "Cluster-IP0", "External-IP0", "Port(s)0", "Age0", "Selector1"],
  );
  assert.deepEqual(table.rows, [
    { cells: ["web", "NodePort", "10.96.0.5", "<none>", "80:30080/TCP", "90m", "a=1,b=2"] },
  ]);
  const list = JSON.parse(renderList({ ...view, form: "object" }, [web], { resourceVersion: "3" }));
  assert.equal(list.kind, "ServiceList");
  assert.deepEqual(list.items, [web]);
});

test("lengths of time are short", () => {
  const second = 1000;
  const hour = 3_600 * second;
  const cases: readonly (readonly [number, string])[] = [
    [0, "0s"],
    [119 * second, "119s"],
    [125 * second, "2m5s"],
    [600 * second, "10m"],
    [3 * hour, "3h"],
    [3.5 * hour, "3h30m"],
    [47 * hour, "47h"],
    [50 * hour, "2d2h"],
    [24 * 30 * hour, "30d"],
    [24 * 800 * hour, "2y70d"],
  ];
  for (const [milliseconds, wanted] of cases) assert.equal(duration(milliseconds), wanted);
});
