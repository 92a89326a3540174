/** What becomes of a node that is not heard of any more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { listAt, objectAt, textAt } from "../../src/kube/server/json.ts";
import { eventually, startCluster } from "./cluster.ts";

test("a node that is lost takes no pods, its pods serve nobody, and it comes back without taints", async (t) => {
  const { server, request } = await startCluster(t);
  const { api } = server;
  const post = async (path: string, body: unknown) =>
    assert.equal((await request("POST", path, JSON.stringify(body))).status, 201);
  const labels = { app: "web" };
  const template = { metadata: { labels }, spec: { containers: [{ name: "web", image: "web" }] } };
  const spec = { replicas: 4, selector: { matchLabels: labels }, template };
  await post("/apis/apps/v1/namespaces/default/deployments", { metadata: { name: "web" }, spec });
  await post("/api/v1/namespaces/default/services", {
    metadata: { name: "web" },
    spec: { selector: labels, ports: [{ port: 80 }] },
  });
  const serving = () =>
    api
      .list("endpointslices.discovery.k8s.io", "default")
      .filter((slice) => slice.metadata.name.startsWith("web-"))
      .flatMap((slice) => listAt(slice, "endpoints"))
      .filter((endpoint) => objectAt(endpoint as never, "conditions").ready === true)
      .map((endpoint) => textAt(endpoint, "nodeName"))
      .sort();
  await eventually("all serve", () => String(serving()) === "node-a,node-a,node-b,node-b");
  const say = async (status: string) => {
    const conditions = [{ type: "Ready", status, reason: "Test", lastTransitionTime: "2026-01-01T00:00:00Z" }];
    const headers = { "content-type": "application/strategic-merge-patch+json" };
    const patch = JSON.stringify({ status: { conditions } });
    assert.equal((await request("PATCH", "/api/v1/nodes/node-b/status", patch, headers)).status, 200);
  };
  const taints = () => {
    const node = api.store.get({ resource: "nodes", namespace: "", name: "node-b" });
    return listAt(node, "spec", "taints").map((taint) => `${textAt(taint, "key")}:${textAt(taint, "effect")}`);
  };
  await say("Unknown");
  await eventually("nobody is sent there", () => String(serving()) === "node-a,node-a");
  const lost = "node.kubernetes.io/unreachable";
  assert.deepEqual(taints(), [`${lost}:NoSchedule`, `${lost}:NoExecute`]);
  const scale = JSON.stringify({ spec: { replicas: 6 } });
  await request("PATCH", "/apis/apps/v1/namespaces/default/deployments/web/scale", scale, {
    "content-type": "application/merge-patch+json",
  });
  await eventually("new pods go elsewhere", () => String(serving()) === "node-a,node-a,node-a,node-a");
  await say("False");
  await eventually(
    "it is known to be there, and not ready",
    () => taints()[0] === "node.kubernetes.io/not-ready:NoSchedule",
  );
  assert.equal(taints().length, 2);
  await say("True");
  await eventually("the taints are gone", () => taints().length === 0);
});
