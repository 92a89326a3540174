import assert from "node:assert/strict";
import { test } from "node:test";
import { type RawObject, serve } from "../../testing.ts";
import { searchDomains } from "./resolvconf.ts";

const objects: readonly RawObject[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "default" },
    spec: { clusterIPs: ["10.0.0.1"], ports: [{ port: 80 }] },
  },
  {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    status: { podIP: "10.1.0.1" },
  },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "s", namespace: "default", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.1.0.2"] }],
  },
];

const corefile = (pods: string) => `. {
  autopath @kubernetes
  kubernetes cluster.local {
    pods ${pods}
  }
  template IN A example.org {
    answer "{{ .Name }} 60 IN A 192.0.2.7"
  }
}`;

test("the first query of a search path is answered with what the walk finds", async () => {
  const server = await serve(corefile("verified"), { objects });
  const ask = (question: string, from: string) => server.text(question, { from });
  assert.match(
    await ask("web.default.svc.cluster.local A", "10.1.0.1"),
    /^NOERROR aa\nweb.default.svc.cluster.local. 5 A 10.0.0.1$/,
  );
  assert.equal(
    await ask("www.example.org.default.svc.cluster.local A", "10.1.0.1"),
    "NOERROR aa\nwww.example.org.default.svc.cluster.local. 60 CNAME www.example.org.\nwww.example.org. 60 A 192.0.2.7",
  );
  assert.match(await ask("nothing.default.svc.cluster.local A", "10.1.0.1"), /^NXDOMAIN aa\nauthority cluster.local/);
  assert.match(await ask("www.example.org.default.svc.cluster.local A", "10.9.9.9"), /^NXDOMAIN/);
  assert.match(await ask("www.example.org.svc.cluster.local A", "10.1.0.1"), /^NXDOMAIN/);
  assert.match(await ask("www.example.org.default.svc.cluster.local MX", "10.1.0.1"), /^NXDOMAIN/);
  assert.equal(server.metric('coredns_autopath_success_total{server="dns://:53"}'), 1);
  server.stop();
});

test("without verified pods, the namespace of a client is known if it is an endpoint", async () => {
  const server = await serve(corefile("insecure"), { objects });
  assert.match(await server.text("www.example.org.default.svc.cluster.local A", { from: "10.1.0.2" }), /192.0.2.7/);
  assert.match(await server.text("www.example.org.default.svc.cluster.local A", { from: "10.1.0.1" }), /^NXDOMAIN/);
  server.stop();
});

test("a file gives the search path of all clients", () => {
  assert.deepEqual(searchDomains("search a\nnameserver 192.0.2.1\nsearch Example.org corp. # x\n"), [
    "example.org.",
    "corp.",
    ".",
  ]);
});

test("a plugin that knows no search paths is refused", async () => {
  await assert.rejects(
    serve(". {\n autopath @forward\n whoami\n}"),
    /:2: autopath: plugin forward is not in this block/,
  );
});
