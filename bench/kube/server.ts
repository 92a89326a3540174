/** A server with a given number of EndpointSlices of about 1.9 KB, streamed or in one list; tells its port to its parent. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const count = Number(process.argv[2]);

/** A slice as a controller writes it, managed fields included. */
function slice(i: number): string {
  const service = `service-${i % 10_000}`;
  const name = `${service}-${i.toString(36).padStart(5, "0")}`;
  const address = (e: number) => `10.${(i >> 14) & 255}.${(i >> 6) & 255}.${((i & 63) << 2) + e}`;
  const endpoints = [0, 1, 2].map((e) => ({
    addresses: [address(e)],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: `node-${(i * 3 + e) % 1000}`,
    targetRef: {
      kind: "Pod",
      name: `${service}-pod-${e}`,
      namespace: "default",
      uid: `0b5c8e9e-0000-4000-8000-${String(i).padStart(12, "0")}`,
    },
    zone: `zone-${(i + e) % 3}`,
  }));
  const managedFields = [
    {
      manager: "kube-controller-manager",
      operation: "Update",
      apiVersion: "discovery.k8s.io/v1",
      time: "2026-01-02T03:04:05Z",
      fieldsType: "FieldsV1",
      fieldsV1: {
        "f:addressType": {},
        "f:endpoints": {},
        "f:metadata": { "f:annotations": {}, "f:labels": {} },
        "f:ports": {},
      },
    },
  ];
  return JSON.stringify({
    kind: "EndpointSlice",
    apiVersion: "discovery.k8s.io/v1",
    metadata: {
      name,
      generateName: `${service}-`,
      namespace: `namespace-${i % 100}`,
      uid: `7f6a1c2e-0000-4000-8000-${String(i).padStart(12, "0")}`,
      resourceVersion: String(1_000_000 + i),
      generation: 3,
      creationTimestamp: "2026-01-02T03:04:05Z",
      labels: {
        "app.kubernetes.io/name": service,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": service,
      },
      annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z" },
      ownerReferences: [
        { apiVersion: "v1", kind: "Service", name: service, uid: "u", controller: true, blockOwnerDeletion: true },
      ],
      managedFields,
    },
    addressType: "IPv4",
    endpoints,
    ports: [
      { name: "http", protocol: "TCP", port: 8080 },
      { name: "metrics", protocol: "TCP", port: 9090 },
    ],
  });
}

// Written once, so that the server's own work does not count.
const streamed: Buffer[] = [];
const listed: Buffer[] = [];
for (let from = 0; from < count; from += 1000) {
  const slices = Array.from({ length: Math.min(1000, count - from) }, (_, i) => slice(from + i));
  streamed.push(Buffer.from(slices.map((text) => `{"type":"ADDED","object":${text}}\n`).join("")));
  listed.push(Buffer.from(`${from === 0 ? "" : ","}${slices.join(",")}`));
}

async function send(response: ServerResponse, parts: readonly (Buffer | string)[]): Promise<void> {
  for (const part of parts) if (!response.write(part)) await once(response, "drain");
}

const server = createServer(async (request, response) => {
  const { searchParams } = new URL(request.url ?? "/", "http://server");
  response.setHeader("content-type", "application/json");
  if (searchParams.get("sendInitialEvents") === "true") {
    if (process.argv[3] === "listed") {
      response.writeHead(422).end("{}");
      return;
    }
    const metadata = { resourceVersion: "2000000", annotations: { "k8s.io/initial-events-end": "true" } };
    await send(response, [...streamed, `${JSON.stringify({ type: "BOOKMARK", object: { metadata } })}\n`]);
  } else if (searchParams.get("watch") === "true") {
    response.flushHeaders();
  } else {
    await send(response, [
      '{"kind":"EndpointSliceList","metadata":{"resourceVersion":"2000000"},"items":[',
      ...listed,
      "]}",
    ]);
    response.end();
  }
});
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.on("disconnect", () => process.exit());
