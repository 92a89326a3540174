import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { KubeClient, KubeError, resourcePath } from "../../src/kube/client.ts";
import { ClusterSource } from "../../src/kube/cluster.ts";
import { findCluster } from "../../src/kube/kubeconfig.ts";
import { serviceCIDRs } from "../../src/kube/objects/node.ts";
import { type Service, services } from "../../src/kube/objects/service.ts";
import { startApiServer } from "../../src/kube/server/server.ts";
import { keepLog, until } from "./follower.ts";

test("the Services of the embedded API server are followed, through its restart", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "portolan-embedded-"));
  const stop = new AbortController();
  let server = await startApiServer({ directory });
  const access = findCluster({ kubeconfig: server.kubeconfig });
  const client = new KubeClient(access);
  t.after(async () => {
    stop.abort();
    await client.destroy();
    await server.stop();
    rmSync(directory, { recursive: true });
  });
  const { log, lines } = keepLog();
  const timings = { pauses: { first: 20, longest: 200 } };
  const listed: string[] = [];
  const hooks = { onList: (resource: string, objects: number) => void listed.push(`${resource} ${objects}`) };
  const source = new ClusterSource(client, { log, timings, hooks });
  const known = new Map<string, Service>();
  let synced = 0;
  const labels = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless";
  const onSynced = () => {
    synced++;
  };
  source.watch(
    {
      resource: services,
      selection: { labels },
      onEvents(events) {
        for (const event of events) {
          const name = event.object.name;
          assert.equal(event.type === "upsert" ? event.previous : event.object, known.get(name));
          if (event.type === "upsert") known.set(name, event.object);
          else known.delete(name);
        }
      },
      onSynced,
    },
    stop.signal,
  );
  source.watch({ resource: serviceCIDRs, onEvents() {}, onSynced }, stop.signal);
  await until(() => synced === 2, "synced");
  assert.ok(listed.includes("services 1"), `the API server's own Service: ${listed}`);

  const path = resourcePath(services, { namespace: "default" });
  const service = (name: string, more: object = {}) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, ...more },
    spec: { ports: [{ port: 80 }], type: "NodePort" },
  });
  const send = (body: object) => client.send({ method: "POST", path, body }, stop.signal);
  await send(service("web"));
  await send(service("other-proxy", { labels: { "service.kubernetes.io/service-proxy-name": "x" } }));
  await until(() => known.has("web"), "a new Service");
  const [port] = known.get("web")?.ports ?? [];
  assert.equal(known.get("web")?.clusterIPs.length, 1);
  assert.ok(port && port.nodePort >= 30000);
  assert.ok(!known.has("other-proxy"));
  await assert.rejects(send(service("web")), (error) => error instanceof KubeError && error.reason === "AlreadyExists");

  const { port: listening } = server;
  await server.stop();
  server = await startApiServer({ directory, port: listening });
  // A new client, whose connections did not live through the restart.
  const other = new KubeClient(findCluster({ kubeconfig: server.kubeconfig }));
  t.after(() => other.destroy());
  await other.send({ method: "POST", path, body: service("second") }, stop.signal);
  await other.send({ method: "DELETE", path: `${path}/web` }, stop.signal);
  await until(() => known.has("second") && !known.has("web"), "changes after the restart");
  assert.ok(!lines.some((line) => line.includes("malformed")), lines.join("\n"));
});
