/** What the controllers take for thousands of pods: until all serve, and for one pod that is replaced. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startControllers } from "../src/kube/controllers/start.ts";
import { type Api, internal } from "../src/kube/server/api.ts";
import { listAt, objectAt, textAt } from "../src/kube/server/json.ts";
import { startApiServer } from "../src/kube/server/server.ts";
import { parsePrefix } from "../src/net/prefix.ts";
import { runKubelets } from "../test/api/kubelet.ts";

/** What was measured, in milliseconds. */
export interface ControllerFigures {
  readonly pods: number;
  readonly services: number;
  /** From the first Deployment until every pod serves. */
  readonly allServe: number;
  /** What of that the process computed: the rest it waited, or others had the machine. */
  readonly computed: number;
  /** From the deletion of a pod until another one serves in its place: the median of 20. */
  readonly replaced: number;
}

/** So many pods has a Deployment, and so many Services select each of them. */
const perDeployment = 4;

/** Runs a cluster of so many pods in this process, with nodes that do nothing but say so. */
export async function benchControllers(pods = 5_000, services = 5_000): Promise<ControllerFigures> {
  const directory = mkdtempSync(join(tmpdir(), "ptl-bench-controllers-"));
  const stop = new AbortController();
  const server = await startApiServer({ directory }, stop.signal);
  try {
    const { api } = server;
    startControllers(api, { podCIDRs: [parsePrefix("10.0.0.0/8")] }, stop.signal);
    const nodes = Array.from({ length: 50 }, (_, i) => `node-${i}`);
    runKubelets(api, nodes, { ready: 1, ending: 1 }, stop.signal);
    const deployments = Math.ceil(pods / perDeployment);
    // Each Service selects the pods of one Deployment.
    for (let i = 0; i < services; i++) make(api, "services", service(i, i % deployments));
    await until(() => api.list("endpointslices.discovery.k8s.io").length >= services);
    const start = performance.now();
    const before = process.cpuUsage();
    for (let i = 0; i < deployments; i++) make(api, "deployments.apps", deployment(i));
    await until(
      () => serving(api, "service-0").length === perDeployment && readyPods(api) === deployments * perDeployment,
    );
    const allServe = performance.now() - start;
    const { user, system } = process.cpuUsage(before);
    const computed = (user + system) / 1000;
    const times: number[] = [];
    for (let i = 0; i < 20; i++) {
      const [victim = ""] = serving(api, "service-0");
      const begun = performance.now();
      api.delete(kindOf(api, "pods"), "default", victim, { dryRun: false });
      await until(() => {
        const names = serving(api, "service-0");
        return names.length === perDeployment && !names.includes(victim);
      });
      times.push(performance.now() - begun);
    }
    times.sort((a, b) => a - b);
    return { pods: deployments * perDeployment, services, allServe, computed, replaced: times[10] ?? 0 };
  } finally {
    stop.abort();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function kindOf(api: Api, resource: string) {
  const kind = api.kinds.kindOf(resource);
  if (kind === undefined) throw new Error(`there is no ${resource}`);
  return kind;
}

function make(api: Api, resource: string, object: Parameters<Api["create"]>[2]): void {
  api.create(kindOf(api, resource), "default", object, internal);
}

function service(i: number, app: number) {
  return { metadata: { name: `service-${i}` }, spec: { selector: { app: `app-${app}` }, ports: [{ port: 80 }] } };
}

function deployment(i: number) {
  const labels = { app: `app-${i}` };
  const template = { metadata: { labels }, spec: { containers: [{ name: "web", image: "web" }] } };
  return {
    metadata: { name: `app-${i}` },
    spec: { replicas: perDeployment, selector: { matchLabels: labels }, template },
  };
}

/** The pods that serve for a Service. */
function serving(api: Api, name: string): readonly string[] {
  return api
    .list("endpointslices.discovery.k8s.io", "default")
    .filter((slice) => textAt(slice, "metadata", "labels", "kubernetes.io/service-name") === name)
    .flatMap((slice) => listAt(slice, "endpoints"))
    .filter((endpoint) => objectAt({ endpoint }, "endpoint", "conditions").ready === true)
    .map((endpoint) => textAt(endpoint, "targetRef", "name"));
}

function readyPods(api: Api): number {
  return api.list("replicasets.apps").reduce((sum, set) => sum + Number(objectAt(set, "status").readyReplicas ?? 0), 0);
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
}

if (import.meta.main) {
  const [pods, services] = process.argv.slice(2).map(Number);
  console.dir(await benchControllers(pods, services));
}
