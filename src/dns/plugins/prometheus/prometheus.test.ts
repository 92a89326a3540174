import assert from "node:assert/strict";
import { test } from "node:test";
import { loadOnly, serve } from "../../testing.ts";

const address = `127.0.0.1:${39000 + (process.pid % 9000)}`;

test("queries are counted by server, zone, protocol, family, type and code", async () => {
  const server = await serve(
    `. {\n prometheus ${address}\n template IN A {\n answer "{{.Name}} 1 IN A 192.0.2.1"\n }\n}`,
  );
  await server.ask("a. A");
  await server.ask("a. A", { protocol: "tls", from: "2001:db8::1" });
  await server.ask("a. TYPE65280");
  await server.ask("a. A", { message: { edns: { udpSize: 1232, version: 0, do: true, options: [] } } });
  const where = 'server="dns://:53",zone=".",view=""';
  const samples: readonly (readonly [string, number])[] = [
    [`coredns_dns_requests_total{${where},proto="udp",family="1",type="A"}`, 2],
    [`coredns_dns_requests_total{${where},proto="tcp",family="2",type="A"}`, 1],
    [`coredns_dns_requests_total{${where},proto="udp",family="1",type="other"}`, 1],
    [`coredns_dns_do_requests_total{${where}}`, 1],
    [`coredns_dns_responses_total{${where},rcode="NOERROR",plugin="template"}`, 3],
    [`coredns_dns_request_duration_seconds_count{${where}}`, 4],
    [`coredns_dns_request_size_bytes_count{${where},proto="udp"}`, 3],
    [`coredns_dns_response_size_bytes_count{${where},proto="tcp"}`, 1],
    [`coredns_plugin_enabled{${where},name="template"}`, 1],
    ["coredns_panics_total", 0],
  ];
  for (const [sample, value] of samples) assert.equal(server.metric(sample), value, sample);
  const response = await fetch(`http://${address}/metrics`);
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  assert.match(await response.text(), /^# TYPE coredns_dns_requests_total counter$/m);
  server.stop();
});

test("queries that no block is for are counted as dropped", async () => {
  const server = await serve("a.test {\n prometheus 127.0.0.1:0\n whoami\n}");
  assert.equal(await server.text("b.test. A"), "REFUSED");
  const dropped = 'server="dns://:53",zone="dropped",view=""';
  assert.equal(server.metric(`coredns_dns_requests_total{${dropped},proto="udp",family="1",type="A"}`), 1);
  assert.equal(server.metric(`coredns_dns_responses_total{${dropped},rcode="REFUSED",plugin=""}`), 1);
  server.stop();
});

test("faults of the directive are reported", async () => {
  for (const [text, fault] of [
    ["prometheus localhost", /must be host:port/],
    ["prometheus {\n foo\n}", /unknown property 'foo'/],
    ["prometheus\nprometheus", /once in a server block/],
  ] as const)
    await assert.rejects(loadOnly(`. {\n${text}\n}`), fault, text);
});
