/** The agent as a node of a cluster: objects from an API server, Events to it. */
import assert from "node:assert/strict";
import test from "node:test";
import { eventually, Machine } from "./machine.ts";

const [one, two] = ["10.244.0.11", "10.244.0.12"];

const node = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "here", labels: { "topology.kubernetes.io/zone": "a" } },
  spec: { podCIDR: "10.244.0.0/24", podCIDRs: ["10.244.0.0/24"] },
};

const web = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web" },
  spec: {
    type: "LoadBalancer",
    externalTrafficPolicy: "Local",
    clusterIP: "10.96.0.20",
    healthCheckNodePort: 30999,
    ports: [{ port: 80, targetPort: 8080, protocol: "TCP" }],
  },
};

function slice(address: string, nodeName = "here") {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ name: "", port: 8080, protocol: "TCP" }],
    endpoints: [{ addresses: [address], nodeName, conditions: { ready: true } }],
  };
}

const slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

test("a node of a cluster: Services, health checks, node eligibility, Events, an API server that goes away", async (t) => {
  const machine = await Machine.make(t);
  const api = await machine.startApi();
  api.request("POST", "/api/v1/nodes", node);
  const status = { addresses: [{ type: "InternalIP", address: "192.168.7.1" }] };
  api.request("PATCH", "/api/v1/nodes/here/status", { status });
  api.request("POST", "/api/v1/namespaces/default/services", web);
  api.request("POST", slices, slice(one));
  const agent = await machine.start(
    "--kubeconfig",
    api.kubeconfig,
    "--hostname-override",
    "HERE",
    "--detect-local-mode",
    "NodeCIDR",
  );
  assert.equal(await machine.get("http://10.96.0.20/"), one);

  // Health checks of the Service answer on the node's primary address, as node ports do in mode nftables.
  const check = "http://192.168.7.1:30999/";
  await eventually("the health check is served", async () =>
    (await machine.get(check)).includes('"localEndpoints": 1'),
  );
  api.request("PUT", `${slices}/web-1`, slice(two, "elsewhere"));
  await eventually("the changed slice counts", async () => (await machine.get("http://10.96.0.20/")) === two);
  await eventually("no endpoint is local", async () => (await machine.get(check)).includes('"localEndpoints": 0'));

  const addresses = [{ type: "InternalIP", address: "192.168.9.1" }];
  machine.exec("ip", "address", "add", "192.168.9.1/24", "dev", "pods");
  api.request("PATCH", "/api/v1/nodes/here/status", { status: { addresses } });
  const moved = "http://192.168.9.1:30999/";
  await eventually("the health check follows the node's address", async () =>
    (await machine.get(moved)).startsWith("{"),
  );
  await eventually("it left the old address", async () => (await machine.get(check)) === "curl: 7");

  const taints = [{ key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" }];
  api.request("PATCH", "/api/v1/nodes/here", { spec: { taints } });
  await eventually("the node is not eligible", async () =>
    (await machine.get("http://127.0.0.1:10256/healthz")).includes('"nodeEligible": false'),
  );
  assert.doesNotMatch(await machine.get("http://127.0.0.1:10256/livez"), /nodeEligible/);

  await eventually("the Event is there", () => {
    const { items } = api.request("GET", "/apis/events.k8s.io/v1/namespaces/default/events");
    return (items as { reason: string; regarding: { name: string } }[]).some(
      ({ reason, regarding }) => reason === "Starting" && regarding.name === "here",
    );
  });

  await api.stop();
  assert.equal(await machine.get("http://10.96.0.20/"), two);
  const again = await machine.startApi();
  again.request("PUT", `${slices}/web-1`, slice(one));
  await eventually("changes after the outage count", async () => (await machine.get("http://10.96.0.20/")) === one);
  again.request("DELETE", "/api/v1/namespaces/default/services/web");
  await eventually("the health check is closed", async () => (await machine.get(moved)) === "curl: 7");
  assert.match(await machine.get("http://127.0.0.1:10249/metrics"), /^rest_client_requests_total\{code="200",/m);
  assert.equal(await agent.end("SIGTERM"), 0);
});
