import assert from "node:assert/strict";
import test from "node:test";
import { router } from "../../telemetry/http.ts";
import { Registry } from "../../telemetry/metrics.ts";
import { formatGoTime, healthRoutes, ProxyHealth } from "./health.ts";
import { registerProxyMetrics } from "./metrics.ts";
import { serviceHealthReply } from "./servicehealth.ts";

const start = Date.UTC(2026, 10, 21, 10, 0, 0);

function setUp() {
  const clock = { time: start, now: () => clock.time };
  const registry = new Registry();
  const health = new ProxyHealth(clock, 60_000);
  const pages = router(healthRoutes(health, clock, registerProxyMetrics(registry)));
  const get = async (path: string) => {
    const { status, body } = await pages({
      method: "GET",
      path,
      query: new URLSearchParams(),
      headers: {},
      body: "",
    });
    return { status, body };
  };
  return { clock, registry, health, get };
}

test("the proxy is healthy while it starts", async () => {
  const { get } = setUp();
  assert.deepEqual(await get("/healthz"), {
    status: 200,
    body: '{"lastUpdated": "2026-11-21 10:00:00 +0000 UTC","currentTime": "2026-11-21 10:00:00 +0000 UTC", "nodeEligible": true}',
  });
  assert.deepEqual(await get("/livez"), {
    status: 200,
    body: '{"lastUpdated": "2026-11-21 10:00:00 +0000 UTC","currentTime": "2026-11-21 10:00:00 +0000 UTC"}',
  });
});

test("a change that waits too long in one family makes the proxy unhealthy until it is programmed", async () => {
  const { clock, health, get, registry } = setUp();
  health.updated("IPv4");
  health.updated("IPv6");
  clock.time += 1500;
  health.queued("IPv6");
  clock.time += 59_999;
  health.queued("IPv6");
  assert.equal((await get("/livez")).status, 200);
  clock.time += 1;
  assert.deepEqual(await get("/livez"), {
    status: 503,
    body: '{"lastUpdated": "2026-11-21 10:00:00 +0000 UTC","currentTime": "2026-11-21 10:01:01.5 +0000 UTC"}',
  });
  assert.equal((await get("/healthz")).status, 503);
  health.updated("IPv6");
  assert.equal((await get("/healthz")).status, 200);
  assert.match(registry.text(), /^kubeproxy_proxy_healthz_total\{code="503"\} 1$/m);
  assert.match(registry.text(), /^kubeproxy_proxy_livez_total\{code="200"\} 1$/m);
});

test("a node that is about to go is not eligible, but the proxy lives", async () => {
  const { health, get } = setUp();
  for (const node of [
    { deleting: true, taints: [] },
    { deleting: false, taints: ["ToBeDeletedByClusterAutoscaler"] },
  ]) {
    health.setNode(node);
    const { status, body } = await get("/healthz");
    assert.equal(status, 503);
    assert.match(body, /"nodeEligible": false\}$/);
    assert.equal((await get("/livez")).status, 200);
  }
  health.setNode({ deleting: false, taints: ["node.kubernetes.io/not-ready"] });
  assert.equal((await get("/healthz")).status, 200);
});

test("times are written as Go writes them", () => {
  assert.equal(formatGoTime(start), "2026-11-21 10:00:00 +0000 UTC");
  assert.equal(formatGoTime(start + 120), "2026-11-21 10:00:00.12 +0000 UTC");
  assert.equal(formatGoTime(start + 10_000), "2026-11-21 10:00:10 +0000 UTC");
});

test("the health check of a Service answers byte for byte as kube-proxy's", () => {
  const check = { namespace: "shop", name: "web", port: 30000, localEndpoints: 2 };
  const reply = serviceHealthReply(check, true);
  assert.equal(reply.status, 200);
  assert.equal(reply.headers?.["X-Load-Balancing-Endpoint-Weight"], "2");
  assert.equal(
    reply.body,
    '{\n\t"service": {\n\t\t"namespace": "shop",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}',
  );
  assert.equal(serviceHealthReply({ ...check, localEndpoints: 0 }, true).status, 503);
  assert.equal(serviceHealthReply(check, false).status, 503);
});
