/** A lab as people use a cluster: with kubectl, whose word counts. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { getInside } from "../../src/lab/network/http.ts";
import { parseAddress } from "../../src/net/address.ts";
import { eventually, TestLab } from "./testlab.ts";

const lab = new TestLab();
const node = parseAddress("172.20.0.11");

const deployment = (name: string, more = "") => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name} }
spec:
  replicas: 3
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      containers:
        - name: web
          image: web
          ports: [{ containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /readyz, port: 8080 }, periodSeconds: 1 }${more}
`;

before(async () => {
  await lab.lab("up", "--zones", "east,west");
});
after(() => lab.remove());

/** Sends requests without a pause until it is told to stop. */
function load(port: number) {
  const stop = new AbortController();
  const counts = { good: 0, bad: [] as string[] };
  const client = async () => {
    while (!stop.signal.aborted) {
      try {
        const wanted = { namespace: lab.namespace("outside"), address: node, port, path: "/hostname" };
        const { status } = await getInside(wanted, AbortSignal.timeout(3000));
        if (status === 200) counts.good++;
        else counts.bad.push(`status ${status}`);
      } catch (error) {
        counts.bad.push(String(error));
      }
    }
  };
  const clients = Promise.all([client(), client(), client(), client()]);
  return {
    counts,
    async end() {
      stop.abort();
      await clients;
    },
  };
}

test("kubectl sees nodes that are ready, in their zones", async () => {
  await lab.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=5s");
  assert.equal(await lab.field("node node2", ".metadata.labels.topology\\.kubernetes\\.io/zone"), "west");
  assert.equal(await lab.field("node node1", ".spec.podCIDR"), "10.244.1.0/24");
});

test("kubectl creates, exposes, scales, explains, compares and deletes", async () => {
  await lab.kubectl("create", "deployment", "plain", "--image=plain", "--port=8080", "--replicas=1");
  await lab.kubectl("rollout", "status", "deployment/plain", "--timeout=10s");
  await lab.kubectl("expose", "deployment", "plain", "--port=80", "--target-port=8080", "--type=NodePort");
  const port = Number(await lab.field("service plain", ".spec.ports[0].nodePort"));
  await eventually(
    "one pod answers",
    () => lab.answers("outside", `http://${node}:${port}/hostname`),
    (found) => found.length === 1 && found[0]?.startsWith("plain-") === true,
  );
  await lab.kubectl("scale", "deployment", "plain", "--replicas=10");
  await lab.kubectl("rollout", "status", "deployment/plain", "--timeout=10s");
  await eventually(
    "ten pods answer",
    () => lab.answers("outside", `http://${node}:${port}/hostname`, 200),
    (found) => found.length === 10 && found.every((name) => name.startsWith("plain-")),
  );
  const nodes = (await lab.field("pods", "range .items[*]}{.spec.nodeName} {end", "-l", "app=plain")).trim().split(" ");
  assert.deepEqual(
    ["node1", "node2"].map((name) => nodes.filter((found) => found === name).length),
    [5, 5],
  );
  assert.match(await lab.kubectl("explain", "deployment.spec.replicas"), /replicas/);
  assert.match(await lab.kubectl("describe", "service", "plain"), /Endpoints:\s+10\.244\./);
  assert.match(await lab.kubectl("get", "events"), /Started container/);
  await lab.kubectl("delete", "deployment,service", "plain");
  await eventually(
    "its pods are gone",
    () => lab.kubectl("get", "pods", "-l", "app=plain", "-o", "name"),
    (names) => names === "",
    15_000,
  );
  assert.deepEqual(
    lab.namespaces().filter((name) => name.includes("-pod-default.")),
    [],
  );
});

test("kubectl diff shows what apply would change, and edit changes it", async () => {
  const file = join(lab.folder, "web.yaml");
  writeFileSync(file, deployment("diff"));
  await lab.kubectl("apply", "-f", file);
  assert.equal((await lab.run(["kubectl", "diff", "-f", file])).code, 0);
  writeFileSync(file, deployment("diff").replace("replicas: 3", "replicas: 2"));
  const { code, out } = await lab.run(["kubectl", "diff", "-f", file]);
  assert.equal(code, 1);
  assert.match(out, /^\+ {2}replicas: 2$/m);
  await lab.run(["env", "KUBE_EDITOR=sed -i s/replicas:.3/replicas:\\ 1/", "kubectl", "edit", "deployment", "diff"]);
  assert.equal(await lab.field("deployment diff", ".spec.replicas"), "1");
  await lab.kubectl("delete", "deployment", "diff", "--wait=false");
});

test("kubectl get --watch sees a pod come and go", async () => {
  const watch = lab.start(["kubectl", "get", "pods", "-l", "app=seen", "--watch", "--no-headers"]);
  let shown = "";
  watch.stdout?.setEncoding("utf8").on("data", (text: string) => {
    shown += text;
  });
  await lab.kubectl("run", "seen", "--image=seen", "--labels=app=seen", "--env=SHUTDOWN_DELAY=0");
  await eventually(
    "it runs",
    () => shown,
    (text) => /seen +1\/1 +Running/.test(text),
  );
  await lab.kubectl("delete", "pod", "seen");
  await eventually(
    "it ends",
    () => shown,
    (text) => /seen +1\/1 +Terminating/.test(text),
  );
  watch.kill();
  await once(watch, "exit");
});

test("rolling updates, scaling and a change of the proxy's mode under load fail no request", async () => {
  await lab.apply(deployment("rolling"));
  await lab.kubectl("rollout", "status", "deployment/rolling", "--timeout=10s");
  await lab.kubectl("expose", "deployment", "rolling", "--port=80", "--target-port=8080", "--type=NodePort");
  const port = Number(await lab.field("service rolling", ".spec.ports[0].nodePort"));
  await eventually(
    "it answers",
    () => lab.answers("outside", `http://${node}:${port}/healthz`),
    (found) => String(found) === "ok\n",
  );
  const { counts, end } = load(port);
  await lab.kubectl("set", "env", "deployment/rolling", "VERSION=2");
  await lab.kubectl("rollout", "status", "deployment/rolling", "--timeout=20s");
  await lab.kubectl("scale", "deployment", "rolling", "--replicas=1");
  await sleep(1500);
  await lab.lab("mode", "iptables");
  await lab.kubectl("scale", "deployment", "rolling", "--replicas=4");
  await lab.kubectl("rollout", "restart", "deployment/rolling");
  await lab.kubectl("rollout", "status", "deployment/rolling", "--timeout=20s");
  await lab.lab("mode", "nftables");
  await sleep(1500);
  await end();
  assert.deepEqual(counts.bad, []);
  assert.ok(counts.good > 100, `${counts.good} requests`);
});
