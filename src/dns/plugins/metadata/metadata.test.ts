import assert from "node:assert/strict";
import { test } from "node:test";
import { type RawObject, serve } from "../../testing.ts";

const objects: readonly RawObject[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "buyer", namespace: "shop" },
    status: { phase: "Running", podIP: "10.1.0.7" },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "shop" },
    spec: { clusterIP: "10.0.0.1", clusterIPs: ["10.0.0.1"], ports: [{ name: "http", port: 80 }] },
  },
];
const labels = [
  "client-namespace",
  "client-pod-name",
  "endpoint",
  "kind",
  "namespace",
  "port-name",
  "protocol",
  "service",
  "parse-error",
];
const corefile = (zones: string) => `. {
  metadata ${zones}
  log . "${labels.map((label) => `{/kubernetes/${label}}`).join(",")}"
  kubernetes cluster.local {
    pods verified
  }
}`;

test("plugin kubernetes tells what a name means and which pod asks", async () => {
  const server = await serve(corefile(""), { objects });
  const rows: readonly (readonly [question: string, from: string, values: string])[] = [
    ["web.shop.svc.cluster.local. A", "10.1.0.7", "shop,buyer,-,svc,shop,-,-,web,-"],
    ["_http._tcp.web.shop.svc.cluster.local. SRV", "10.1.0.8", "-,-,-,svc,shop,http,tcp,web,-"],
    ["db-0.web.shop.svc.cluster.local. A", "10.1.0.8", "-,-,db-0,svc,shop,-,-,web,-"],
    ["10-1-0-7.shop.pod.cluster.local. A", "10.1.0.8", "-,-,-,pod,shop,-,-,10-1-0-7,-"],
    ["a.b.c.d.e.cluster.local. A", "10.1.0.8", "-,-,-,-,-,-,-,-,invalid query name"],
    ["cluster.local. SOA", "10.1.0.8", "-,-,-,-,-,-,-,-,-"],
  ];
  for (const [question, from, values] of rows) {
    await server.text(question, { from });
    assert.equal(server.log.at(-1)?.replace("[INFO] ", ""), values, question);
  }
  server.stop();
});

test("names outside of its zones have no values", async () => {
  const server = await serve(corefile("example.org"), { objects });
  await server.text("web.shop.svc.cluster.local. A");
  assert.equal(server.log.at(-1)?.replace("[INFO] ", ""), "-,-,-,-,-,-,-,-,-");
  server.stop();
});

test("faults of the directive are reported", async () => {
  await assert.rejects(serve(". {\n metadata {\n x\n }\n}"), /unknown property 'x'/);
  await assert.rejects(serve(". {\n metadata\n metadata\n}"), /once in a server block/);
});
