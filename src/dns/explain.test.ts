import assert from "node:assert/strict";
import { test } from "node:test";
import { explain, formatExplanation, namesOf } from "./explain.ts";
import { type RawObject, serve } from "./testing.ts";

const objects: readonly RawObject[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "default" },
    spec: { clusterIPs: ["10.0.0.1"], ports: [{ port: 80 }] },
  },
];
const client = {
  protocol: "udp",
  family: "IPv4",
  address: "10.1.0.1",
  port: 1,
  localAddress: "10.0.0.10",
  localPort: 53,
} as const;
const resolver = { search: ["default.svc.cluster.local.", "svc.cluster.local.", "cluster.local."], ndots: 5 };
const corefile = `. {
  errors
  rewrite name old.example.org www.example.org
  kubernetes cluster.local
  template IN A example.org {
    answer "{{ .Name }} 60 IN A 192.0.2.1"
  }
}`;

test("a resolver asks for the names of its search path, or for the name itself first", () => {
  assert.deepEqual(namesOf("web", resolver).slice(0, 2), ["web.default.svc.cluster.local.", "web.svc.cluster.local."]);
  assert.equal(namesOf("web", resolver).at(-1), "web.");
  assert.deepEqual(namesOf("web.", resolver), ["web."]);
  assert.equal(namesOf("a.b.c.d.e.f", resolver)[0], "a.b.c.d.e.f.");
});

test("each query is told with its server block and what the plugins did", async () => {
  const server = await serve(corefile, { objects });
  const found = await explain(server.instance, { name: "web", type: 1, client, resolver });
  assert.equal(
    formatExplanation(found),
    `web.default.svc.cluster.local. A: NOERROR
  server block . of dns://:53
  errors      passed on
  rewrite     passed on
  template    passed on
  kubernetes  answered
  = web.default.svc.cluster.local. 5 IN A 10.0.0.1

1 query
`,
  );
  const rewritten = await explain(server.instance, { name: "old.example.org.", type: 1, client, resolver });
  assert.deepEqual(rewritten.steps[0]?.plugins[1], {
    plugin: "rewrite",
    action: "asked for something else",
    instead: "www.example.org. A",
  });
  const external = await explain(server.instance, { name: "www.example.org", type: undefined, client, resolver });
  assert.equal(external.queries, 8);
  assert.equal(external.needed, 2);
  assert.match(external.advice ?? "", /^6 of 8 queries .*"www\.example\.org\."/);
  // Nothing is behind plugin kubernetes for names of other zones.
  const unanswered = await explain(server.instance, { name: "a.test.", type: 1, client, resolver });
  assert.match(unanswered.advice ?? "", /^1 of 1 queries were not answered/);
  server.stop();
});
