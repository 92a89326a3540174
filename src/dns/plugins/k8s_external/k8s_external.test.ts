import assert from "node:assert/strict";
import { test } from "node:test";
import { type RawObject, serve } from "../../testing.ts";
import { parseRecord } from "../../wire/parse.ts";

const service = (name: string, spec: object, status: object = {}): RawObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "default" },
  spec: { ports: [{ name: "http", protocol: "TCP", port: 80 }], ...spec },
  status,
});
const objects: readonly RawObject[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } },
  service(
    "web",
    { clusterIPs: ["10.0.0.1"], externalIPs: ["192.0.2.1"] },
    { loadBalancer: { ingress: [{ ip: "2001:db8::1" }] } },
  ),
  service("named", { clusterIPs: ["10.0.0.2"] }, { loadBalancer: { ingress: [{ hostname: "lb.example.org" }] } }),
  service("inner", { clusterIPs: ["10.0.0.3"] }),
  service("db", { clusterIPs: ["None"] }),
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "db-1", namespace: "default", labels: { "kubernetes.io/service-name": "db" } },
    addressType: "IPv4",
    ports: [{ name: "http", protocol: "TCP", port: 80 }],
    endpoints: [{ addresses: ["10.1.0.1"], hostname: "db-0" }],
  },
];

test("Services with external addresses have names outside of the cluster", async () => {
  const server = await serve(
    `. {
      bind 192.0.2.53
      kubernetes cluster.local
      k8s_external ext.example in-addr.arpa {
        headless
      }
      template IN A lb.example.org {
        answer "{{ .Name }} 60 IN A 192.0.2.77"
      }
    }`,
    { objects },
  );
  const soa =
    "authority ext.example. 5 SOA ns1.dns.ext.example. hostmaster.dns.ext.example. 1700000000 7200 1800 86400 5";
  const rows: readonly (readonly [string, string])[] = [
    ["web.default.ext.example A", "NOERROR aa\nweb.default.ext.example. 5 A 192.0.2.1"],
    ["web.default.ext.example AAAA", "NOERROR aa\nweb.default.ext.example. 5 AAAA 2001:db8::1"],
    [
      "_http._tcp.web.default.ext.example SRV",
      `NOERROR aa
_http._tcp.web.default.ext.example. 5 SRV 0 50 80 web.default.ext.example.
additional web.default.ext.example. 5 A 192.0.2.1
additional web.default.ext.example. 5 AAAA 2001:db8::1`,
    ],
    ["web.default.ext.example MX", `NOERROR aa\n${soa}`],
    ["inner.default.ext.example A", `NXDOMAIN aa\n${soa}`],
    ["none.default.ext.example A", `NXDOMAIN aa\n${soa}`],
    ["default.ext.example A", `NOERROR aa\n${soa}`],
    [
      "named.default.ext.example A",
      "NOERROR aa\nnamed.default.ext.example. 5 CNAME lb.example.org.\nlb.example.org. 60 A 192.0.2.77",
    ],
    ["db.default.ext.example A", "NOERROR aa\ndb.default.ext.example. 5 A 10.1.0.1"],
    ["db-0.db.default.ext.example A", "NOERROR aa\ndb-0.db.default.ext.example. 5 A 10.1.0.1"],
    ["ext.example SOA", `NOERROR aa\n${soa.slice(10)}`],
    [
      "ext.example NS",
      "NOERROR aa\next.example. 5 NS ns1.dns.ext.example.\nadditional ns1.dns.ext.example. 5 A 192.0.2.53",
    ],
    ["ns1.dns.ext.example A", "NOERROR aa\nns1.dns.ext.example. 5 A 192.0.2.53"],
    ["1.2.0.192.in-addr.arpa PTR", "NOERROR aa\n1.2.0.192.in-addr.arpa. 5 PTR web.default.ext.example."],
  ];
  for (const [question, expected] of rows) assert.equal(await server.text(question), expected, question);
  server.stop();
});

test("the name server has the external addresses of the Service that leads to this server", async () => {
  const dns = service("dns", { clusterIPs: ["10.0.0.10"], externalIPs: ["198.51.100.53"] });
  const slice: RawObject = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "dns-1", namespace: "default", labels: { "kubernetes.io/service-name": "dns" } },
    addressType: "IPv4",
    ports: [{ name: "dns", protocol: "UDP", port: 53 }],
    endpoints: [{ addresses: ["192.0.2.53"] }],
  };
  const corefile = ". {\n bind 192.0.2.53\n kubernetes cluster.local\n k8s_external ext.example\n}";
  const server = await serve(corefile, { objects: [...objects, dns, slice] });
  assert.equal(await server.text("ns1.dns.ext.example A"), "NOERROR aa\nns1.dns.ext.example. 5 A 198.51.100.53");
  server.stop();
});

test("zones are given to plugin transfer, and refused without it", async () => {
  const corefile = (more: string) =>
    `. {\n bind 192.0.2.53\n ${more}\n kubernetes cluster.local\n k8s_external ext.example in-addr.arpa {\n headless\n }\n}`;
  const server = await serve(corefile(""), { objects });
  assert.equal(await server.text("ext.example AXFR", { protocol: "tcp" }), "REFUSED");
  server.stop();
  const giving = await serve(corefile("transfer ext.example in-addr.arpa {\n to *\n }"), { objects });
  const soa = "ext.example. 5 SOA ns1.dns.ext.example. hostmaster.dns.ext.example. 1700000000 7200 1800 86400 5";
  assert.deepEqual((await giving.text("ext.example AXFR", { protocol: "tcp" })).split("\n"), [
    "NOERROR aa",
    soa,
    "ext.example. 5 NS ns1.dns.ext.example.",
    "ns1.dns.ext.example. 5 A 192.0.2.53",
    "web.default.ext.example. 5 A 192.0.2.1",
    "web.default.ext.example. 5 AAAA 2001:db8::1",
    "_http._tcp.web.default.ext.example. 5 SRV 0 50 80 web.default.ext.example.",
    "named.default.ext.example. 5 CNAME lb.example.org.",
    "db.default.ext.example. 5 A 10.1.0.1",
    "_http._tcp.db.default.ext.example. 5 SRV 0 100 80 db-0.db.default.ext.example.",
    "db-0.db.default.ext.example. 5 A 10.1.0.1",
    soa,
  ]);
  const authority = [parseRecord(soa)];
  const same = await giving.text("ext.example IXFR", { protocol: "tcp", message: { authority } });
  assert.equal(same, `NOERROR aa\n${soa}`);
  assert.equal(await giving.text("in-addr.arpa AXFR", { protocol: "tcp" }), "REFUSED");
  giving.stop();
});

test("without plugin kubernetes it is refused", async () => {
  await assert.rejects(serve(". {\n k8s_external ext.example\n}"), /:2: k8s_external: needs plugin kubernetes/);
});
