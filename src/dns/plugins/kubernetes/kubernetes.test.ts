import assert from "node:assert/strict";
import { test } from "node:test";
import { type RawObject, serve } from "../../testing.ts";

const namespace = (name: string): RawObject => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
const service = (name: string, spec: object, ns = "default"): RawObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: ns },
  spec,
});
const slice = (name: string, owner: string, ports: object[], endpoints: object[], family = "IPv4"): RawObject => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name, namespace: "default", labels: { "kubernetes.io/service-name": owner } },
  addressType: family,
  ports,
  endpoints,
});
const pod = (name: string, ns: string, ip: string): RawObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: ns },
  status: { phase: "Running", podIP: ip },
});
const http = { name: "http", protocol: "TCP", port: 80 };

const objects: readonly RawObject[] = [
  namespace("default"),
  namespace("empty"),
  service("web", {
    clusterIPs: ["10.0.0.1", "fd00::1"],
    ports: [http, { name: "dns", protocol: "UDP", port: 53 }, { name: "metrics", port: 9090 }],
  }),
  slice(
    "web-1",
    "web",
    [{ ...http, port: 8080 }],
    [
      { addresses: ["10.1.0.1"], targetRef: { kind: "Pod", name: "web-x" } },
      { addresses: ["10.1.0.9"], conditions: { ready: false } },
    ],
  ),
  service("noports", { clusterIPs: ["10.0.0.2"] }),
  service("unready", { clusterIPs: ["10.0.0.3"], ports: [http] }),
  service("db", { clusterIP: "None", clusterIPs: ["None"], ports: [http] }),
  slice(
    "db-1",
    "db",
    [http],
    [
      { addresses: ["10.1.0.2"], hostname: "db-0" },
      { addresses: ["10.1.0.3"], targetRef: { kind: "Pod", name: "db-pod" } },
    ],
  ),
  slice("db-2", "db", [http], [{ addresses: ["fd01::"] }], "IPv6"),
  service("gone", { clusterIP: "None", ports: [http] }),
  service("inside", { type: "ExternalName", externalName: "web.default.svc.cluster.local" }),
  service("chain", { type: "ExternalName", externalName: "inside.default.svc.cluster.local" }),
  service("self", { type: "ExternalName", externalName: "self.default.svc.cluster.local" }),
  service("outside", { type: "ExternalName", externalName: "example.org" }),
  service("literal", { type: "ExternalName", externalName: "192.0.2.1" }),
  pod("p", "default", "10.1.0.77"),
];

const corefile = (properties = "") => `. {
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    ${properties}
  }
}`;
const soa =
  "authority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1700000000 7200 1800 86400 5";
const nodata = `NOERROR aa\n${soa}`;
const missing = `NXDOMAIN aa\n${soa}`;

/** The records of the specification and the rules of names, row by row. */
const rows: readonly (readonly [question: string, reply: string])[] = [
  // Cluster IPs
  ["web.default.svc.cluster.local A", "NOERROR aa\nweb.default.svc.cluster.local. 5 A 10.0.0.1"],
  ["web.default.svc.cluster.local AAAA", "NOERROR aa\nweb.default.svc.cluster.local. 5 AAAA fd00::1"],
  ["WEB.Default.svc.Cluster.LOCAL A", "NOERROR aa\nWEB.Default.svc.Cluster.LOCAL. 5 A 10.0.0.1"],
  ["noports.default.svc.cluster.local A", "NOERROR aa\nnoports.default.svc.cluster.local. 5 A 10.0.0.2"],
  ["noports.default.svc.cluster.local AAAA", nodata],
  ["noports.default.svc.cluster.local SRV", nodata],
  ["_http._tcp.noports.default.svc.cluster.local SRV", missing],
  [
    "_http._tcp.web.default.svc.cluster.local SRV",
    `NOERROR aa
_http._tcp.web.default.svc.cluster.local. 5 SRV 0 50 80 web.default.svc.cluster.local.
additional web.default.svc.cluster.local. 5 A 10.0.0.1
additional web.default.svc.cluster.local. 5 AAAA fd00::1`,
  ],
  [
    "web.default.svc.cluster.local SRV",
    `NOERROR aa
web.default.svc.cluster.local. 5 SRV 0 16 80 web.default.svc.cluster.local.
web.default.svc.cluster.local. 5 SRV 0 16 53 web.default.svc.cluster.local.
web.default.svc.cluster.local. 5 SRV 0 16 9090 web.default.svc.cluster.local.
additional web.default.svc.cluster.local. 5 A 10.0.0.1
additional web.default.svc.cluster.local. 5 AAAA fd00::1`,
  ],
  ["http.tcp.web.default.svc.cluster.local A", "NOERROR aa\nhttp.tcp.web.default.svc.cluster.local. 5 A 10.0.0.1"],
  ["_http._udp.web.default.svc.cluster.local SRV", missing],
  ["_other._tcp.web.default.svc.cluster.local SRV", missing],
  ["1.0.0.10.in-addr.arpa PTR", "NOERROR aa\n1.0.0.10.in-addr.arpa. 5 PTR web.default.svc.cluster.local."],
  [
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa PTR",
    "NOERROR aa\n1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 5 PTR web.default.svc.cluster.local.",
  ],
  // Endpoints
  ["10-1-0-1.web.default.svc.cluster.local A", "NOERROR aa\n10-1-0-1.web.default.svc.cluster.local. 5 A 10.1.0.1"],
  ["10-1-0-9.web.default.svc.cluster.local A", missing],
  ["1.0.1.10.in-addr.arpa PTR", "NOERROR aa\n1.0.1.10.in-addr.arpa. 5 PTR 10-1-0-1.web.default.svc.cluster.local."],
  // Headless
  [
    "db.default.svc.cluster.local A",
    "NOERROR aa\ndb.default.svc.cluster.local. 5 A 10.1.0.2\ndb.default.svc.cluster.local. 5 A 10.1.0.3",
  ],
  ["db.default.svc.cluster.local AAAA", "NOERROR aa\ndb.default.svc.cluster.local. 5 AAAA fd01::"],
  ["db-0.db.default.svc.cluster.local A", "NOERROR aa\ndb-0.db.default.svc.cluster.local. 5 A 10.1.0.2"],
  ["db-0.db.default.svc.cluster.local AAAA", nodata],
  ["db-9.db.default.svc.cluster.local A", missing],
  [
    "_http._tcp.db.default.svc.cluster.local SRV",
    `NOERROR aa
_http._tcp.db.default.svc.cluster.local. 5 SRV 0 33 80 db-0.db.default.svc.cluster.local.
_http._tcp.db.default.svc.cluster.local. 5 SRV 0 33 80 10-1-0-3.db.default.svc.cluster.local.
_http._tcp.db.default.svc.cluster.local. 5 SRV 0 33 80 fd01--0.db.default.svc.cluster.local.
additional db-0.db.default.svc.cluster.local. 5 A 10.1.0.2
additional 10-1-0-3.db.default.svc.cluster.local. 5 A 10.1.0.3
additional fd01--0.db.default.svc.cluster.local. 5 AAAA fd01::`,
  ],
  ["2.0.1.10.in-addr.arpa PTR", "NOERROR aa\n2.0.1.10.in-addr.arpa. 5 PTR db-0.db.default.svc.cluster.local."],
  ["gone.default.svc.cluster.local A", missing],
  // ExternalName
  [
    "inside.default.svc.cluster.local A",
    `NOERROR aa
inside.default.svc.cluster.local. 5 CNAME web.default.svc.cluster.local.
web.default.svc.cluster.local. 5 A 10.0.0.1`,
  ],
  [
    "chain.default.svc.cluster.local A",
    `NOERROR aa
chain.default.svc.cluster.local. 5 CNAME inside.default.svc.cluster.local.
inside.default.svc.cluster.local. 5 CNAME web.default.svc.cluster.local.
web.default.svc.cluster.local. 5 A 10.0.0.1`,
  ],
  ["outside.default.svc.cluster.local CNAME", "NOERROR aa\noutside.default.svc.cluster.local. 5 CNAME example.org."],
  ["outside.default.svc.cluster.local SRV", nodata],
  ["self.default.svc.cluster.local A", nodata],
  ["literal.default.svc.cluster.local A", missing],
  ["x.outside.default.svc.cluster.local A", missing],
  ["_http._tcp.outside.default.svc.cluster.local SRV", missing],
  ["web.default.svc.cluster.local CNAME", nodata],
  // Other types and names
  ["dns-version.cluster.local TXT", 'NOERROR aa\ndns-version.cluster.local. 28800 TXT "1.1.0"'],
  ["web.default.svc.cluster.local TXT", nodata],
  ["web.default.svc.cluster.local MX", nodata],
  ["none.default.svc.cluster.local TXT", missing],
  ["none.default.svc.cluster.local MX", missing],
  ["cluster.local SOA", `NOERROR aa\n${soa.slice("authority ".length)}`],
  ["web.default.svc.cluster.local SOA", nodata],
  ["cluster.local A", nodata],
  ["svc.cluster.local A", nodata],
  ["pod.cluster.local A", nodata],
  ["default.svc.cluster.local A", nodata],
  ["nowhere.svc.cluster.local A", missing],
  ["web.nowhere.svc.cluster.local A", missing],
  ["foo.cluster.local A", missing],
  ["a.b.c.web.default.svc.cluster.local A", missing],
  ["*.default.svc.cluster.local A", missing],
  ["cluster.local AXFR", "REFUSED"],
  ["10-1-0-77.default.pod.cluster.local A", missing],
  ["default.pod.cluster.local A", missing],
];

test("each name of the specification and of the grammar has its reply", async () => {
  const server = await serve(corefile(), { objects });
  for (const [question, expected] of rows) assert.equal(await server.text(question), expected, question);
  server.stop();
});

test("reverse names that nobody has do not exist, or fall through", async () => {
  const server = await serve(`. {\n kubernetes cluster.local 10.0.0.0/8 {\n fallthrough 10.0.0.0/8\n }\n whoami\n}`, {
    objects,
  });
  assert.match(
    await server.text("9.9.9.10.in-addr.arpa PTR"),
    /^NOERROR aa\nadditional 9.9.9.10.in-addr.arpa. 0 A 192.0.2.99/,
  );
  assert.equal(await server.text("nope.cluster.local A"), missing);
  assert.match(await server.text("1.2.0.192.in-addr.arpa PTR"), /additional/);
  server.stop();
});

test("names of pods are answered for any address, or for addresses of pods only", async () => {
  const insecure = await serve(corefile("pods insecure\nttl 30"), { objects });
  const answer = "NOERROR aa\n10-1-0-78.default.pod.cluster.local. 30 A 10.1.0.78";
  assert.equal(await insecure.text("10-1-0-78.default.pod.cluster.local A"), answer);
  assert.match(await insecure.text("2001-db8--1.default.pod.cluster.local AAAA"), /30 AAAA 2001:db8::1/);
  assert.match(await insecure.text("10-1-0-78.nowhere.pod.cluster.local A"), /^NXDOMAIN/);
  assert.match(await insecure.text("10-1-0.default.pod.cluster.local A"), /^NXDOMAIN/);
  assert.match(await insecure.text("default.pod.cluster.local A"), /^NOERROR aa\nauthority cluster.local. 30 SOA/);
  insecure.stop();
  const verified = await serve(corefile("pods verified"), { objects });
  assert.match(await verified.text("10-1-0-77.default.pod.cluster.local A"), /5 A 10.1.0.77/);
  assert.match(await verified.text("10-1-0-77.empty.pod.cluster.local A"), /^NXDOMAIN/);
  assert.match(await verified.text("10-1-0-78.default.pod.cluster.local A"), /^NXDOMAIN/);
  verified.stop();
});

test("properties change which names there are", async () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["endpoint_pod_names", "db-pod.db.default.svc.cluster.local A", /5 A 10.1.0.3/],
    ["ignore empty_service", "unready.default.svc.cluster.local A", /^NXDOMAIN/],
    ["ignore empty_service", "web.default.svc.cluster.local A", /10.0.0.1/],
    ["noendpoints", "db.default.svc.cluster.local A", /^NXDOMAIN/],
    ["namespaces empty", "web.default.svc.cluster.local A", /^NXDOMAIN/],
    ["namespaces empty", "empty.svc.cluster.local A", /^NOERROR/],
    ["ttl 0", "web.default.svc.cluster.local A", /local. 0 A/],
  ];
  for (const [property, question, expected] of cases) {
    const server = await serve(corefile(property), { objects });
    assert.match(await server.text(question), expected, `${property}: ${question}`);
    server.stop();
  }
});

test("an external name is asked of the server itself, and follows other blocks' answers", async () => {
  const server = await serve(`cluster.local {\n kubernetes\n}\nexample.org {\n whoami\n}`, { objects });
  assert.equal(
    await server.text("outside.default.svc.cluster.local A"),
    "NOERROR aa\noutside.default.svc.cluster.local. 5 CNAME example.org.",
  );
  server.stop();
});

test("answers follow changes at once", async () => {
  const server = await serve(corefile(), { objects });
  server.cluster.apply(service("new", { clusterIPs: ["10.0.0.200"], ports: [http] }));
  assert.match(await server.text("new.default.svc.cluster.local A"), /10.0.0.200/);
  server.cluster.apply(service("new", { clusterIPs: ["10.0.0.201"], ports: [http] }));
  assert.match(await server.text("new.default.svc.cluster.local A"), /10.0.0.201/);
  assert.match(await server.text("200.0.0.10.in-addr.arpa PTR"), /^NXDOMAIN/);
  server.cluster.remove(service("new", {}));
  assert.match(await server.text("new.default.svc.cluster.local A"), /^NXDOMAIN/);
  server.stop();
});

test("the zone's name servers are the Services that lead to this server, otherwise ns.dns", async () => {
  const server = await serve(`. {\n bind 10.1.0.2\n kubernetes cluster.local\n}`, { objects });
  const ask = (question: string) => server.text(question, { server: "dns://10.1.0.2:53" });
  assert.equal(
    await ask("cluster.local NS"),
    "NOERROR aa\ncluster.local. 5 NS db-0.db.default.svc.cluster.local.\nadditional db-0.db.default.svc.cluster.local. 5 A 10.1.0.2",
  );
  assert.equal(await ask("ns.dns.cluster.local A"), "NOERROR aa\nns.dns.cluster.local. 5 A 10.1.0.2");
  server.stop();
  const other = await serve(`. {\n bind 10.9.9.9\n kubernetes cluster.local\n}`, { objects });
  assert.match(
    await other.text("cluster.local NS"),
    /NS ns.dns.cluster.local.\nadditional ns.dns.cluster.local. 5 A 10.9.9.9/,
  );
  other.stop();
});

test("faults of the directive are reported with file and line", async () => {
  const faults: readonly (readonly [string, RegExp])[] = [
    ["kubernetes in-addr.arpa", /:2: kubernetes: a zone that is not a reverse zone/],
    ["kubernetes a.org {\n ttl 3601\n}", /:3: ttl: ttl is '3601', must be a number from 0 to 3600/],
    ["kubernetes a.org {\n pods maybe\n}", /must be one of disabled, insecure, verified/],
    ["kubernetes a.org {\n upstream\n}", /:3: kubernetes: unknown property 'upstream'/],
    ["kubernetes a.org {\n namespaces a\n namespace_labels b=c\n}", /cannot both be given/],
    ["kubernetes a.org {\n tls a b\n}", /needs 3 arguments, got 2/],
    ["kubernetes a.org\n kubernetes b.org", /:3: kubernetes: may be given once/],
  ];
  for (const [text, fault] of faults) await assert.rejects(serve(`. {\n${text}\n}`), fault, text);
});
