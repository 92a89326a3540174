/** An API server with a given number of Services and endpoints, five in each slice; tells its port to its parent. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const services = Number(process.argv[2]);
const endpoints = Number(process.argv[3]);
const perService = Math.max(1, Math.floor(endpoints / services));
const namespaces = 100;

const dotted = (first: number, i: number) => `${first}.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
const metadata = (name: string, i: number, labels: object = {}) => ({
  name,
  namespace: `ns-${i % namespaces}`,
  uid: `7f6a1c2e-0000-4000-8000-${String(i).padStart(12, "0")}`,
  resourceVersion: String(1_000_000 + i),
  creationTimestamp: "2026-01-02T03:04:05Z",
  labels: { "app.kubernetes.io/name": name, ...labels },
});

function service(i: number): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadata(`svc-${i}`, i),
    spec: {
      type: "ClusterIP",
      clusterIP: dotted(10, i),
      clusterIPs: [dotted(10, i)],
      selector: { app: `svc-${i}` },
      ports: [{ name: "http", protocol: "TCP", port: 80, targetPort: 8080 }],
    },
  };
}

function slice(i: number): object {
  const name = `svc-${i}`;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: metadata(`${name}-abcde`, i, { "kubernetes.io/service-name": name }),
    addressType: "IPv4",
    endpoints: Array.from({ length: perService }, (_, e) => ({
      addresses: [dotted(172, i * perService + e)],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${(i + e) % 500}`,
      targetRef: { kind: "Pod", name: `${name}-7d4b9-${e}`, namespace: `ns-${i % namespaces}`, uid: "u" },
    })),
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
  };
}

const namespace = (i: number) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name: `ns-${i}` } });

const kinds: Readonly<Record<string, readonly [number, (i: number) => object]>> = {
  namespaces: [namespaces, namespace],
  services: [services, service],
  endpointslices: [services, slice],
};

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://server");
  const [count, make] = kinds[pathname.split("/").at(-1) ?? ""] ?? [0, namespace];
  response.setHeader("content-type", "application/json");
  if (searchParams.get("sendInitialEvents") !== "true") {
    response.flushHeaders();
    return;
  }
  for (let i = 0; i < count; i++) {
    const line = `${JSON.stringify({ type: "ADDED", object: make(i) })}\n`;
    if (!response.write(line)) await once(response, "drain");
  }
  const annotations = { "k8s.io/initial-events-end": "true" };
  const bookmark = { type: "BOOKMARK", object: { metadata: { resourceVersion: "2000000", annotations } } };
  response.write(`${JSON.stringify(bookmark)}\n`);
});
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.on("disconnect", () => process.exit());
