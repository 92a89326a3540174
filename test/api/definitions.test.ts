/** Custom resources, by kubectl and without it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { test } from "node:test";
import { eventually, startCluster } from "./cluster.ts";
import { cronTab, crontabs, define, fixture, useDefinition } from "./definitions.ts";

test("kubectl defines a kind, and works with its objects as with any other", async (t) => {
  const cluster = await startCluster(t, { nodes: [] });
  await useDefinition(cluster);
  assert.equal(
    cluster.server.api.store.count("crontabs.stable.example.com"),
    0,
    "the objects went with their definition",
  );
  assert.equal((await cluster.request("GET", crontabs)).status, 404);
});

test("the status is written by itself, versions are one object, and old ones warn", async (t) => {
  const cluster = await startCluster(t, { nodes: [] });
  await define(cluster);
  const made = await cluster.request("POST", crontabs, cronTab("one", { cronSpec: "* * * * *" }));
  assert.equal(made.status, 201);
  const one = JSON.parse(made.text);
  const status = { replicas: 2, labelSelector: "app=one", conditions: [{ type: "Ready", status: "True" }] };
  const written = await cluster.request(
    "PUT",
    `${crontabs}/one/status`,
    JSON.stringify({ ...one, spec: { cronSpec: "1 1 1 1 1" }, status }),
  );
  const after = JSON.parse(written.text);
  assert.deepEqual([after.status, after.spec.cronSpec, after.metadata.generation], [status, "* * * * *", 1]);
  const scale = JSON.parse((await cluster.request("GET", `${crontabs}/one/scale`)).text);
  assert.deepEqual([scale.spec, scale.status], [{ replicas: 1 }, { replicas: 2, selector: "app=one" }]);
  assert.match(await cluster.kubectl(["get", "crontab", "one"]), /one +\* \* \* \* \* +1 +True/);
  const old = await cluster.request("GET", `${crontabs.replace("/v1/", "/v1beta1/")}/one`);
  assert.match(old.headers.get("warning") ?? "", /299 - "stable.example.com\/v1beta1 CronTab is deprecated"/);
  assert.equal(JSON.parse(old.text).apiVersion, "stable.example.com/v1beta1");
  const changed = await cluster.request(
    "PATCH",
    `${crontabs.replace("/v1/", "/v1beta1/")}/one`,
    '{"spec":{"replicas":4}}',
    { "content-type": "application/merge-patch+json" },
  );
  assert.equal(changed.status, 200, changed.text);
  const stored = cluster.server.api.list("crontabs.stable.example.com", "default")[0];
  assert.deepEqual([stored?.apiVersion, stored?.metadata.generation], ["stable.example.com/v1", 2]);
  const strict = await cluster.request(
    "POST",
    `${crontabs}?fieldValidation=Strict`,
    cronTab("two", { cronSpec: "* * * * *", odd: 1 }),
  );
  assert.equal(strict.status, 400);
  assert.match(strict.text, /unknown field \\"spec.odd\\"/);
});

test("a server that starts again knows its definitions, and a watch ends with its kind", async (t) => {
  const cluster = await startCluster(t, { nodes: [] });
  await define(cluster);
  const { server } = cluster;
  const call = request(`${server.url}${crontabs}?watch=true`, {
    ca: server.credentials.authority.certificate,
    headers: { authorization: `Bearer ${server.credentials.token}` },
    agent: false,
  });
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  let text = "";
  response.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const ended = once(response, "end");
  await cluster.request("POST", crontabs, cronTab("one", { cronSpec: "* * * * *" }));
  await eventually("it is told", () => text.includes("ADDED"));
  await cluster.kubectl(["delete", "crd", "crontabs.stable.example.com", "--timeout=10s"]);
  await ended;
  assert.match(text, /DELETED/);
  await define(cluster);
  const { Api } = await import("../../src/kube/server/api.ts");
  const again = new Api(server.api.store, {
    now: Date.now,
    nodePorts: { first: 30_000, last: 30_100 },
    random: Math.random,
  });
  assert.equal(again.kinds.kindOf("crontabs.stable.example.com")?.kind, "CronTab");
});

test("names that are taken are not accepted, and definitions that cannot be served are refused", async (t) => {
  const cluster = await startCluster(t, { nodes: [] });
  await define(cluster);
  const { kubectl } = cluster;
  const definition = (group: string, plural: string, change: Record<string, unknown> = {}) =>
    JSON.stringify({
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${plural}.${group}` },
      spec: {
        group,
        scope: "Cluster",
        names: { plural, kind: "Other", shortNames: ["ct"] },
        versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
        ...change,
      },
    });
  await kubectl(["create", "-f", "-"], definition("stable.example.com", "others"));
  await kubectl(["wait", "--for=condition=NamesAccepted=false", "crd/others.stable.example.com", "--timeout=5s"]);
  assert.equal((await cluster.request("GET", "/apis/stable.example.com/v1/others")).status, 404);
  await kubectl(["delete", "crd", "crontabs.stable.example.com", "--timeout=10s"]);
  await kubectl(["wait", "--for=condition=Established", "crd/others.stable.example.com", "--timeout=5s"]);
  const cases: readonly (readonly [string, RegExp])[] = [
    [definition("apps.k8s.io", "others"), /protected groups must have approval annotation/],
    [definition("example", "others"), /should be a domain with at least one dot/],
    [definition("e.com", "others", { versions: [] }), /must have at least one version/],
    [definition("e.com", "others", { scope: "Both" }), /spec.scope: Unsupported value: "Both"/],
    [
      definition("e.com", "others", { conversion: { strategy: "Webhook" } }),
      /spec.conversion.strategy: Unsupported value: "Webhook"/,
    ],
    [
      definition("e.com", "others", {
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            schema: { openAPIV3Schema: { type: "object", properties: { a: {} } } },
          },
        ],
      }),
      /openAPIV3Schema.properties\[a\].type: Required value/,
    ],
  ];
  for (const [body, message] of cases) {
    const answer = await cluster.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body);
    assert.equal(answer.status, 422);
    assert.match(JSON.parse(answer.text).message, message);
  }
});

test("definitions like those of Gateway API are taken, with a word about their rules", async (t) => {
  const cluster = await startCluster(t, { nodes: [] });
  const { tryKubectl, kubectl } = cluster;
  const applied = await tryKubectl(["apply", "-f", fixture("gateway")]);
  assert.equal(applied.code, 0, applied.stderr);
  assert.match(applied.stderr, /x-kubernetes-validations are kept and not evaluated/);
  await kubectl(["wait", "--for=condition=Established", "crd/gateways.gateway.networking.k8s.io", "--timeout=5s"]);
  const gateway = (listeners: unknown) =>
    JSON.stringify({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "g" },
      spec: { gatewayClassName: "c", listeners },
    });
  assert.match(
    (await tryKubectl(["apply", "-f", "-"], gateway([]))).stderr,
    /spec.listeners in body should have at least 1 items/,
  );
  await kubectl(["apply", "-f", "-"], gateway([{ name: "http", port: 80, protocol: "HTTP", tls: {} }]));
  const made = JSON.parse(await kubectl(["get", "gtw", "g", "-o", "json"]));
  assert.deepEqual(made.spec.listeners[0].allowedRoutes, { namespaces: { from: "Same" } });
  assert.equal(made.spec.listeners[0].tls.mode, "Terminate");
  assert.equal(made.status.conditions[0].reason, "Pending");
  const stored = JSON.parse(await kubectl(["get", "crd", "gateways.gateway.networking.k8s.io", "-o", "json"]));
  assert.equal(
    stored.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.listeners["x-kubernetes-validations"]
      .length,
    1,
  );
});
