/** Nodes that nobody hears of any more, and those that people take out of service. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { listAt, numberAt, objectAt, textAt } from "../../src/kube/server/json.ts";
import { eventually, startCluster, webManifest, withoutKubectl } from "./cluster.ts";

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

test("nodes are cordoned, tainted and drained", { skip: withoutKubectl }, async (t) => {
  const { kubectl } = await startCluster(t);
  const nodes = () => kubectl(["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}"]);
  await kubectl(["cordon", "node-a"]);
  await kubectl(["apply", "-f", "-"], webManifest());
  await kubectl(["rollout", "status", "deployment/web", "--timeout=20s"]);
  assert.equal(await nodes(), "node-b node-b node-b");
  await kubectl(["uncordon", "node-a"]);
  await kubectl(["drain", "node-b", "--timeout=20s"]);
  await kubectl(["rollout", "status", "deployment/web", "--timeout=20s"]);
  assert.equal(await nodes(), "node-a node-a node-a");
  await kubectl(["delete", "node", "node-a"]);
  await kubectl(["uncordon", "node-b"]);
  await eventually("the pods move", async () => (await nodes()) === "node-b node-b node-b");
  await kubectl(["taint", "nodes", "--all", "dedicated=db:NoSchedule"]);
  await kubectl(["scale", "deployment/web", "--replicas=4"]);
  await eventually("the event tells why", async () =>
    (await kubectl(["get", "events"])).includes("1 node(s) had untolerated taint"),
  );
});

test("a drain evicts pods, which their disruption budget must allow", {
  skip: withoutKubectl,
}, async (t) => {
  const { kubectl, tryKubectl, request, server } = await startCluster(t);
  const budget = (minAvailable: number) => {
    const spec = { minAvailable, selector: { matchLabels: { app: "web" } } };
    return JSON.stringify({ apiVersion: "policy/v1", kind: "PodDisruptionBudget", metadata: { name: "web" }, spec });
  };
  const status = (name: string) =>
    server.api.list("poddisruptionbudgets.policy").map((one) => numberAt(one, ["status", name]))[0];
  await kubectl(["apply", "-f", "-"], webManifest({ replicas: 2 }));
  await kubectl(["apply", "-f", "-"], budget(2));
  await eventually("both are healthy", () => status("currentHealthy") === 2);
  assert.match(
    await kubectl(["get", "pdb"]),
    /MIN AVAILABLE +MAX UNAVAILABLE +ALLOWED DISRUPTIONS[\s\S]*web +2 +N\/A +0/,
  );
  const [pod] = server.api.list("pods");
  const evict = async () => {
    const path = `/api/v1/namespaces/default/pods/${pod?.metadata.name}/eviction`;
    const answer = await request("POST", path, '{"deleteOptions":{"dryRun":["All"]}}');
    return { code: answer.status, text: answer.text };
  };
  const refused = await evict();
  assert.equal(refused.code, 429);
  assert.match(refused.text, /The disruption budget web needs 2 healthy pods and has 2 currently/);
  await kubectl(["apply", "-f", "-"], budget(1));
  await eventually("one may go", () => status("disruptionsAllowed") === 1);
  assert.equal((await evict()).code, 201);
  assert.equal(status("disruptionsAllowed"), 1, "a rehearsal takes nothing from the budget");
  const drained = await tryKubectl(["drain", "node-a", "--timeout=20s", "-v=6"]);
  assert.match(drained.stderr, /POST.*eviction.*201 Created/, "kubectl evicts");
  const nodes = await kubectl(["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}"]);
  assert.equal(nodes, "node-b node-b");
});
