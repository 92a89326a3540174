/** Real kubectl against the API server: what people do every day. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { basename } from "node:path";
import { test } from "node:test";
import {
  type Cluster,
  eventually,
  kubectlPrograms,
  manifestFile,
  newestKubectl,
  startCluster,
  webManifest,
  withoutKubectl,
} from "./cluster.ts";

const skip = withoutKubectl;

for (const program of kubectlPrograms()) {
  test(`${basename(program)} (${program}) applies, reads, changes and deletes`, async (t) => {
    const { kubectl, tryKubectl } = await startCluster(t, { program });
    assert.match(await kubectl(["version"]), /1.33/);
    assert.match(await kubectl(["create", "namespace", "shop"]), /namespace\/shop created/);
    assert.match(
      await kubectl(["-n", "shop", "apply", "-f", "-"], webManifest()),
      /service\/web created\ndeployment.apps\/web created/,
    );
    assert.match(
      await kubectl(["-n", "shop", "apply", "-f", "-"], webManifest()),
      /service\/web unchanged\ndeployment.apps\/web unchanged/,
    );
    await kubectl(["-n", "shop", "rollout", "status", "deployment/web", "--timeout=20s"]);
    assert.match(
      await kubectl(["-n", "shop", "get", "pods,svc,deploy,rs", "-o", "wide"]),
      /web-\S+\s+1\/1\s+Running\s+0\s+\S+\s+10\.244\.\S+\s+node-[ab]/,
    );
    assert.match(
      await kubectl(["-n", "shop", "apply", "-f", "-"], webManifest({ port: 9090 })),
      /service\/web unchanged\ndeployment.apps\/web configured/,
    );
    assert.match(await kubectl(["explain", "service.spec.ports.nodePort"]), /integer/);
    await kubectl(["-n", "shop", "create", "configmap", "settings", "--from-literal=colour=blue"]);
    await kubectl(["-n", "shop", "create", "secret", "generic", "keys", "--from-literal=token=abc"]);
    await kubectl(["-n", "shop", "create", "deployment", "other", "--image=other:1", "--replicas=2"]);
    await kubectl(["-n", "shop", "create", "service", "nodeport", "other", "--tcp=80:8080"]);
    await kubectl(["-n", "shop", "create", "ingress", "web", "--rule=example.com/*=web:80"]);
    assert.match(await kubectl(["auth", "can-i", "create", "pods"]), /yes/);
    assert.equal(await kubectl(["-n", "shop", "get", "secret", "keys", "-o", "jsonpath={.data.token}"]), "YWJj");
    assert.match(await kubectl(["-n", "shop", "describe", "service", "web"]), /Endpoints:\s+10\.244\./);
    const bad = await tryKubectl(["-n", "shop", "apply", "-f", "-"], webManifest().replace("replicas:", "replicsa:"));
    assert.notEqual(bad.code, 0);
    assert.match(bad.stderr, /unknown field "?(spec\.replicsa|replicsa)/);
    const again = await tryKubectl(["create", "namespace", "shop"]);
    assert.match(again.stderr, /AlreadyExists.*namespaces "shop" already exists/);
    await kubectl(["delete", "namespace", "shop", "--timeout=20s"]);
    assert.match((await tryKubectl(["get", "namespace", "shop"])).stderr, /NotFound/);
  });
}

test("objects can be read in every form", { skip }, async (t) => {
  const cluster = await startCluster(t);
  const { kubectl, tryKubectl } = cluster;
  await kubectl(["apply", "-f", "-"], webManifest());
  const json = JSON.parse(await kubectl(["get", "service", "web", "-o", "json"]));
  assert.equal(json.spec.ports[0].targetPort, "http");
  assert.equal(json.spec.clusterIPs[0], json.spec.clusterIP);
  assert.match(await kubectl(["get", "service", "web", "-o", "yaml"]), /ipFamilyPolicy: SingleStack/);
  assert.equal(await kubectl(["get", "service", "web", "-o", "name"]), "service/web\n");
  assert.equal(await kubectl(["get", "svc", "-l", "app=web", "-o", "jsonpath={.items[*].spec.ports[*].port}"]), "80");
  assert.match(
    await kubectl(["get", "svc", "-A", "--no-headers", "-o", "custom-columns=N:.metadata.name,T:.spec.type"]),
    /web\s+ClusterIP/,
  );
  assert.match(
    await kubectl(["get", "pods", "--field-selector=status.phase!=Failed", "--show-labels"]),
    /pod-template-hash=/,
  );
  const events = await kubectl(["get", "events", "--sort-by=.lastTimestamp"]);
  assert.match(events, /Scaled up replica set/);
  assert.match(events, /SuccessfulCreate +replicaset\/web-\S+ +Created pod: web-/);
  const accept = "application/json;as=Table;g=meta.k8s.io;v=v1";
  const scale = await cluster.request("GET", "/apis/apps/v1/namespaces/default/deployments/web/scale", undefined, {
    accept,
  });
  assert.deepEqual(JSON.parse(scale.text).rows[0].cells.slice(0, 2), ["web", 3]);
  assert.match(await kubectl(["get", "nodes", "-o", "wide"]), /node-a\s+Ready\s+<none>\s+\S+\s+v1.33.0\s+192.0.2.1/);
  assert.match(await kubectl(["get", "all"]), /replicaset.apps\/web-/);
  assert.match(await kubectl(["api-resources"]), /deployments\s+deploy\s+apps\/v1\s+true\s+Deployment/);
  assert.match(await kubectl(["explain", "deployment.spec.strategy", "--recursive"]), /maxUnavailable/);
  assert.match(await kubectl(["get", "--raw", "/readyz"]), /^ok/);
  assert.match(await kubectl(["describe", "node", "node-a"]), /PodCIDR:\s+10\.244\./);
  assert.match((await tryKubectl(["get", "flowers"])).stderr, /doesn't have a resource type "flowers"/);
  assert.match(
    (await tryKubectl(["get", "pods", "--field-selector=spec.colour=red"])).stderr,
    /field label not supported: spec.colour/,
  );
  assert.match((await tryKubectl(["get", "pods", "-l", "a in b"])).stderr, /unable to parse/);
});

test("objects can be changed in every way", { skip }, async (t) => {
  const cluster = await startCluster(t);
  const { kubectl, tryKubectl } = cluster;
  const field = (path: string) => kubectl(["get", "service", "web", "-o", `jsonpath={${path}}`]);
  await kubectl(["apply", "-f", "-"], webManifest({ replicas: 1 }));
  await kubectl(["label", "service", "web", "tier=front"]);
  await kubectl(["annotate", "service", "web", "note=hello"]);
  assert.equal(await field(".metadata.labels.tier"), "front");
  assert.notEqual(
    (await tryKubectl(["label", "service", "web", "tier=back"])).code,
    0,
    "labels are not overwritten unasked",
  );
  await kubectl([
    "patch",
    "service",
    "web",
    "-p",
    '{"spec":{"ports":[{"port":443,"name":"https","targetPort":"http"}]}}',
  ]);
  assert.equal(await field(".spec.ports[*].name"), "http https");
  await kubectl(["patch", "service", "web", "--type=json", "-p", '[{"op":"remove","path":"/spec/ports/1"}]']);
  assert.equal(await field(".spec.ports[*].name"), "http");
  await kubectl([
    "patch",
    "service",
    "web",
    "--type=merge",
    "-p",
    '{"metadata":{"labels":{"tier":null}},"spec":{"sessionAffinity":"ClientIP"}}',
  ]);
  assert.equal(await field(".spec.sessionAffinityConfig.clientIP.timeoutSeconds"), "10800");
  assert.equal(await field(".metadata.labels.tier"), "");
  const edited = await tryKubectl(["edit", "service", "web"], "", { KUBE_EDITOR: "sed -i 's/port: 80$/port: 8000/'" });
  assert.equal(edited.code, 0, edited.stderr);
  assert.equal(await field(".spec.ports[0].port"), "8000");
  await kubectl([
    "patch",
    "service",
    "web",
    "--type=json",
    "-p",
    '[{"op":"replace","path":"/spec/ports/0/port","value":80}]',
  ]);
  await kubectl([
    "expose",
    "deployment",
    "web",
    "--name=outside",
    "--port=80",
    "--target-port=8080",
    "--type=NodePort",
  ]);
  const nodePort = Number(await kubectl(["get", "service", "outside", "-o", "jsonpath={.spec.ports[0].nodePort}"]));
  assert.ok(nodePort >= 30_000 && nodePort <= 32_767);
  const taken = await tryKubectl(["create", "service", "nodeport", "third", "--tcp=80", `--node-port=${nodePort}`]);
  assert.match(taken.stderr, /provided port is already allocated/);
  const ip = await field(".spec.clusterIP");
  const moved = await tryKubectl([
    "patch",
    "service",
    "web",
    "-p",
    '{"spec":{"clusterIP":"10.96.0.77","clusterIPs":["10.96.0.77"]}}',
  ]);
  assert.match(moved.stderr, /spec.clusterIPs\[0\]: Invalid value: \["10.96.0.77"\]: may not change once set/);
  assert.equal(await field(".spec.clusterIP"), ip);
  const file = manifestFile(cluster, "web.yaml", webManifest({ replicas: 2 }));
  const difference = await tryKubectl(["diff", "-f", file]);
  assert.equal(difference.code, 1, difference.stderr);
  assert.match(difference.stdout, /-\s+replicas: 1\n\+\s+replicas: 2/);
  await kubectl(["apply", "-f", file]);
  assert.equal((await tryKubectl(["diff", "-f", file])).code, 0);
  await kubectl(["replace", "-f", file]);
  await kubectl(["create", "deployment", "trial", "--image=x", "--dry-run=server"]);
  assert.match((await tryKubectl(["get", "deployment", "trial"])).stderr, /NotFound/);
  await kubectl(["delete", "-f", file, "--timeout=20s"]);
});

test("server-side apply keeps track of who owns what", { skip }, async (t) => {
  const [program, version] = newestKubectl();
  const { kubectl, tryKubectl } = await startCluster(t, { program });
  const apply = (manager: string, manifest: string, ...more: readonly string[]) =>
    tryKubectl(["apply", "--server-side", `--field-manager=${manager}`, ...more, "-f", "-"], manifest);
  assert.equal((await apply("alice", webManifest({ replicas: 1 }))).code, 0);
  const clash = await apply("bob", webManifest({ replicas: 4 }));
  assert.match(clash.stderr, /Apply failed with 1 conflict: conflict with "alice": .spec.replicas/);
  assert.equal((await apply("bob", webManifest({ replicas: 4 }), "--force-conflicts")).code, 0);
  assert.equal(await kubectl(["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"]), "4");
  const web = JSON.parse(await kubectl(["get", "--raw", "/apis/apps/v1/namespaces/default/deployments/web"])) as {
    readonly metadata: { readonly managedFields: readonly { readonly manager: string; readonly operation: string }[] };
  };
  const owners = web.metadata.managedFields.filter(({ operation }) => operation === "Apply");
  assert.deepEqual(
    owners.map(({ manager }) => manager),
    ["alice", "bob"],
  );
  await kubectl(
    ["apply", "-f", "-"],
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {a: '1', b: '2'}\n",
  );
  assert.equal(
    (await apply("kubectl", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {a: '1'}\n")).code,
    0,
  );
  // It is kubectl that moves fields of client-side apply over, from 1.26 on.
  const data = version < 26 ? '{"a":"1","b":"2"}' : '{"a":"1"}';
  assert.equal(await kubectl(["get", "configmap", "cm", "-o", "jsonpath={.data}"]), data);
});

test("deployments roll forward and back, scale, pause and restart", { skip }, async (t) => {
  const { kubectl, tryKubectl, server } = await startCluster(t);
  const status = () => kubectl(["rollout", "status", "deployment/web", "--timeout=20s"]);
  const image = () => kubectl(["get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"]);
  await kubectl(["apply", "-f", "-"], webManifest());
  assert.match(await status(), /successfully rolled out/);
  let least = 3;
  const unsubscribe = server.api.store.subscribe((resource) => {
    if (resource !== "endpointslices.discovery.k8s.io") return;
    for (const slice of server.api.list(resource, "default")) {
      const ready = (slice.endpoints as readonly { conditions: { ready: boolean } }[]).filter(
        (item) => item.conditions.ready,
      );
      if (slice.metadata.name.startsWith("web-")) least = Math.min(least, ready.length);
    }
  });
  await kubectl(["set", "image", "deployment/web", "web=web:2"]);
  await kubectl(["annotate", "deployment/web", "kubernetes.io/change-cause=second"]);
  await status();
  unsubscribe();
  assert.equal(least, 3, "with a maxUnavailable of 25 % of 3, none may be missing");
  assert.match(await kubectl(["rollout", "history", "deployment/web"]), /1\s+<none>\n2\s+second/);
  await kubectl(["rollout", "undo", "deployment/web"]);
  await status();
  assert.equal(await image(), "web:1");
  await kubectl(["rollout", "undo", "deployment/web", "--to-revision=2"]);
  assert.equal(await image(), "web:2");
  await kubectl(["rollout", "restart", "deployment/web"]);
  await status();
  await kubectl(["scale", "deployment/web", "--replicas=5"]);
  await status();
  assert.match(
    (await tryKubectl(["scale", "deployment/web", "--current-replicas=2", "--replicas=1"])).stderr,
    /Expected replicas to be 2, was 5/,
  );
  await kubectl(["rollout", "pause", "deployment/web"]);
  await kubectl(["set", "image", "deployment/web", "web=web:3"]);
  const pods = await kubectl(["get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}"]);
  assert.ok(!pods.includes("web:3"));
  await kubectl(["rollout", "resume", "deployment/web"]);
  await status();
  await kubectl(["set", "image", "deployment/web", "web=broken:1"]);
  const stuck = await tryKubectl(["rollout", "status", "deployment/web", "--timeout=1s"]);
  assert.notEqual(stuck.code, 0);
  assert.match(
    await kubectl(["get", "deployment", "web"]),
    /web\s+[45]\/5/,
    "pods that never get ready do not replace those that are",
  );
  await kubectl(["wait", "--for=condition=Available", "deployment/web", "--timeout=5s"]);
});

test("daemon sets run on every node and roll back", { skip }, async (t) => {
  const { kubectl } = await startCluster(t, { nodes: ["n1", "n2", "n3"] });
  const manifest = `apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: "agent:1"}]}
`;
  await kubectl(["apply", "-f", "-"], manifest);
  assert.match(await kubectl(["rollout", "status", "daemonset/agent", "--timeout=20s"]), /successfully rolled out/);
  const nodes = await kubectl(["get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"]);
  assert.deepEqual(nodes.split(" ").sort(), ["n1", "n2", "n3"]);
  await kubectl(["set", "image", "daemonset/agent", "agent=agent:2"]);
  await kubectl(["rollout", "status", "daemonset/agent", "--timeout=20s"]);
  assert.match(await kubectl(["rollout", "history", "daemonset/agent"]), /1\s+<none>\n2\s+<none>/);
  await kubectl(["rollout", "undo", "daemonset/agent"]);
  await kubectl(["rollout", "status", "daemonset/agent", "--timeout=20s"]);
  assert.equal(
    await kubectl(["get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}"]),
    "agent:1 agent:1 agent:1",
  );
  assert.match(await kubectl(["get", "daemonset", "agent"]), /agent\s+3\s+3\s+3\s+3\s+3/);
  const pods = () => kubectl(["get", "pods", "-o", "name"]);
  const before = await pods();
  await kubectl(["delete", "daemonset", "agent", "--cascade=orphan", "--timeout=20s"]);
  await kubectl(["apply", "-f", "-"], manifest);
  await kubectl(["rollout", "status", "daemonset/agent", "--timeout=20s"]);
  assert.equal(await pods(), before, "the same DaemonSet takes up its pods again");
  assert.match(await kubectl(["rollout", "history", "daemonset/agent"]), /2\s+<none>\n3\s+<none>/);
});

test("deleting takes dependents along, waits for them, or leaves them", { skip }, async (t) => {
  const { kubectl, server } = await startCluster(t);
  const count = (resource: string) => server.api.list(resource, "default").length;
  const apply = async () => {
    await kubectl(["apply", "-f", "-"], webManifest());
    await kubectl(["rollout", "status", "deployment/web", "--timeout=20s"]);
  };
  await apply();
  await kubectl(["delete", "deployment", "web", "--cascade=foreground", "--timeout=20s"]);
  assert.equal(count("replicasets.apps") + count("pods"), 0, "foreground: dependents went first");
  await apply();
  await kubectl(["delete", "deployment", "web", "--timeout=20s"]);
  await eventually("the pods are gone", () => count("replicasets.apps") + count("pods") === 0);
  await apply();
  await kubectl(["delete", "deployment", "web", "--cascade=orphan", "--timeout=20s"]);
  assert.equal(count("replicasets.apps"), 1);
  const pods = () => server.api.list("pods", "default").map(({ metadata }) => metadata.name);
  const before = pods();
  await apply();
  assert.deepEqual(pods(), before, "a Deployment that is made again takes up what the first one left");
  const [aside = ""] = before;
  await kubectl(["label", "pod", aside, "app=aside", "--overwrite"]);
  await eventually("it is replaced", () => count("pods") === 4);
  await kubectl(["delete", "deployment", "web", "--timeout=20s"]);
  await eventually("the pod that was put aside is left", () => pods().join() === aside);
  await kubectl(["delete", "pod", aside, "--now"]);
  await kubectl(["run", "single", "--image=x"]);
  await kubectl(["wait", "--for=condition=Ready", "pod/single", "--timeout=20s"]);
  await kubectl(["delete", "pod", "single", "--grace-period=0", "--force"]);
  await kubectl(["delete", "services,deployments", "--all", "--timeout=20s"]);
  assert.equal(count("endpointslices.discovery.k8s.io"), 0);
  await kubectl(["create", "configmap", "held"]);
  await kubectl(["patch", "configmap", "held", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}']);
  await kubectl(["delete", "configmap", "held", "--wait=false"]);
  assert.notEqual(await kubectl(["get", "configmap", "held", "-o", "jsonpath={.metadata.deletionTimestamp}"]), "");
  await kubectl(["patch", "configmap", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}']);
  await eventually(
    "it is gone",
    async () => (await kubectl(["get", "configmap", "held", "--ignore-not-found"])) === "",
  );
});

test("kubectl get --watch tells changes as they happen", { skip }, async (t) => {
  const cluster = await startCluster(t);
  const [program = ""] = kubectlPrograms();
  const env = { PATH: process.env.PATH ?? "", KUBECONFIG: cluster.server.kubeconfig, HOME: "/nonexistent" };
  const child = spawn(program, ["get", "configmaps", "--watch", "--output-watch-events", "-n", "default"], { env });
  t.after(() => child.kill("SIGKILL"));
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  await cluster.kubectl(["create", "configmap", "first"]);
  await eventually("the first is told", () => /ADDED\s+first\s+0/.test(output));
  await cluster.kubectl(["patch", "configmap", "first", "-p", '{"data":{"a":"1"}}']);
  await cluster.kubectl(["delete", "configmap", "first"]);
  await eventually("its end is told", () => /MODIFIED\s+first\s+1[\s\S]*DELETED\s+first/.test(output));
});

test("services follow the cluster's families and give back what they had", { skip }, async (t) => {
  const cluster = await startDual(t);
  const { kubectl, tryKubectl, server } = cluster;
  const service = (extra: string) =>
    `apiVersion: v1\nkind: Service\nmetadata: {name: dual}\nspec:\n  selector: {app: web}\n  ports: [{port: 80}]\n${extra}`;
  await kubectl(["apply", "-f", "-"], service("  ipFamilyPolicy: PreferDualStack\n"));
  const ips = JSON.parse(
    await kubectl(["get", "service", "dual", "-o", "jsonpath={.spec.clusterIPs}"]),
  ) as readonly string[];
  assert.match(ips.join(), /^10\.96\.\S+,fd00:10:96::/);
  assert.match(await kubectl(["get", "ipaddresses"]), /services\/default\/dual/);
  assert.equal(server.api.list("ipaddresses.networking.k8s.io").length, 3);
  await kubectl(["patch", "service", "dual", "-p", '{"spec":{"ipFamilyPolicy":"SingleStack"}}']);
  assert.equal(server.api.list("ipaddresses.networking.k8s.io").length, 2);
  await kubectl(["patch", "service", "dual", "-p", '{"spec":{"type":"LoadBalancer","externalTrafficPolicy":"Local"}}']);
  assert.notEqual(await kubectl(["get", "service", "dual", "-o", "jsonpath={.spec.healthCheckNodePort}"]), "");
  await kubectl(["patch", "service", "dual", "-p", '{"spec":{"type":"ClusterIP"}}']);
  assert.equal(
    await kubectl(["get", "service", "dual", "-o", "jsonpath={.spec.healthCheckNodePort}{.spec.ports[0].nodePort}"]),
    "",
  );
  const again = await tryKubectl(["create", "service", "clusterip", "copy", "--tcp=80", `--clusterip=${ips[0]}`]);
  assert.match(again.stderr, /provided IP is already allocated/);
  await kubectl(["delete", "service", "dual"]);
  await kubectl(["create", "service", "clusterip", "copy", "--tcp=80", `--clusterip=${ips[0]}`]);
});

async function startDual(t: Parameters<typeof startCluster>[0]): Promise<Cluster> {
  const { parsePrefix } = await import("../../src/net/prefix.ts");
  return await startCluster(t, { serviceCIDRs: [parsePrefix("10.96.0.0/16"), parsePrefix("fd00:10:96::/112")] });
}

test("manifests of other programs apply: roles, accounts, endpoints by hand", { skip }, async (t) => {
  const { kubectl, server } = await startCluster(t);
  const manifest = `apiVersion: v1
kind: ServiceAccount
metadata: {name: agent, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:agent"}
rules:
- apiGroups: [""]
  resources: [endpoints, services]
  verbs: [list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:agent"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:agent"}
subjects: [{kind: ServiceAccount, name: agent, namespace: kube-system}]
---
apiVersion: v1
kind: Service
metadata: {name: database}
spec:
  ports: [{port: 5432}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: database}
subsets:
- addresses: [{ip: 192.0.2.50}]
  notReadyAddresses: [{ip: 192.0.2.51}]
  ports: [{port: 5432}]
`;
  await kubectl(["apply", "-f", "-"], manifest);
  assert.match(
    await kubectl(["apply", "-f", "-"], manifest),
    /clusterrolebinding.rbac.authorization.k8s.io\/system:agent unchanged/,
  );
  const mirrored = () =>
    server.api
      .list("endpointslices.discovery.k8s.io", "default")
      .filter((slice) => slice.metadata.name.startsWith("database-"));
  await eventually("the endpoints are mirrored", () => mirrored().length === 1);
  const endpoints = mirrored()[0]?.endpoints as readonly {
    addresses: readonly string[];
    conditions: { ready: boolean };
  }[];
  assert.deepEqual(
    endpoints.map((item) => [...item.addresses, item.conditions.ready]),
    [
      ["192.0.2.50", true],
      ["192.0.2.51", false],
    ],
  );
  await kubectl(["delete", "endpoints", "database"]);
  await eventually("the mirror is empty", () => mirrored().length === 0);
});
