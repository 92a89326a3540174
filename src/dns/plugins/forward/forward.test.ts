import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { serve } from "../../testing.ts";
import { type ScriptedServer, scriptedServer } from "../../testserver.ts";
import { nameServersOf, parseDestination } from "./destination.ts";

let one: ScriptedServer;
let two: ScriptedServer;
before(async () => {
  one = await scriptedServer();
  two = await scriptedServer();
});
beforeEach(() => {
  one.reset();
  two.reset();
});
after(() => {
  one.close();
  two.close();
});

const corefile = (to: string, properties = "") => `. {\n forward . ${to} {\n ${properties}\n }\n}`;
const at = (server: ScriptedServer) => `127.0.0.1:${server.port}`;
const address = "a.example. 60 IN A 192.0.2.1";

test("queries go on with their flags, EDNS and case, under an id of their own", async () => {
  const server = await serve(corefile(at(one)), { random: () => 0.25 });
  one.script["a.example. A"] = [address];
  const edns = { udpSize: 1400, version: 0, do: true, options: [{ code: 8, data: Uint8Array.of(0, 1, 0, 0) }] };
  const answer = await server.ask("A.example. A", { message: { edns, cd: true } });
  assert.equal(answer?.id, 4711);
  assert.equal(one.last?.id, 16384);
  assert.deepEqual([one.last?.rd, one.last?.cd, one.last?.edns], [true, true, edns]);
  assert.deepEqual(one.questions, ["udp A.example. A"]);
  server.stop();
});

test("queries over TCP go on over TCP, those over UDP do so if that is forced", async () => {
  const plain = await serve(corefile(at(one)));
  one.otherwise = [address];
  await plain.text("a.example. A", { protocol: "tcp" });
  plain.stop();
  const forced = await serve(corefile(at(one), "force_tcp"));
  await forced.text("a.example. A");
  await forced.text("a.example. A");
  forced.stop();
  const both = await serve(corefile(at(one), "force_tcp\n prefer_udp"));
  await both.text("a.example. A");
  both.stop();
  assert.deepEqual(one.questions, Array(4).fill("tcp a.example. A"));
});

test("a truncated answer is passed on, or asked for again over TCP with prefer_udp", async () => {
  one.script["a.example. A"] = ["tc", address];
  const plain = await serve(corefile(at(one)));
  assert.equal(await plain.text("a.example. A"), "NOERROR tc ra\na.example. 60 A 192.0.2.1");
  plain.stop();
  const preferring = await serve(corefile(at(one), "prefer_udp"));
  assert.equal(await preferring.text("a.example. A"), "NOERROR ra\na.example. 60 A 192.0.2.1");
  preferring.stop();
  assert.deepEqual(one.questions.slice(1), ["udp a.example. A", "tcp a.example. A"]);
});

test("answers to other questions become FORMERR, those with another id are not seen", async () => {
  const server = await serve(corefile(at(one), "read_timeout 100ms\n max_connect_attempts 1"));
  one.script["a.example. A"] = ["wrong-question", address];
  one.script["b.example. A"] = ["wrong-id", address];
  assert.equal(await server.text("a.example. A"), "FORMERR");
  assert.equal(await server.text("b.example. A"), "SERVFAIL");
  server.stop();
});

test("a destination that does not answer is followed by the next one", async () => {
  const server = await serve(corefile(`${at(one)} ${at(two)}`, "policy sequential\n read_timeout 100ms"));
  one.otherwise = ["silent"];
  two.otherwise = [address];
  assert.match(await server.text("a.example. A"), /192.0.2.1/);
  assert.equal(two.asked, 1);
  server.stop();
});

test("a destination whose health checks fail is left out until it answers again", async () => {
  const server = await serve(corefile(`${at(one)} ${at(two)}`, "policy sequential\n read_timeout 100ms\n max_fails 1"));
  one.otherwise = ["silent"];
  two.otherwise = [address];
  await server.text("a.example. A");
  while (server.metric(`coredns_proxy_healthcheck_failures_total{proxy_name="forward",to="${at(one)}"}`) !== 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { asked } = one;
  await server.text("a.example. A");
  assert.equal(one.asked, asked);
  one.otherwise = ["REFUSED"];
  await server.clock.pass(500);
  while (one.asked === asked) await new Promise((resolve) => setTimeout(resolve, 20));
  await new Promise((resolve) => setTimeout(resolve, 20));
  one.otherwise = [address];
  await server.text("a.example. A");
  assert.equal(one.questions.at(-1), "udp a.example. A");
  server.stop();
});

test("failover, next and next_on_nodata look elsewhere for certain replies", async () => {
  one.otherwise = ["SERVFAIL"];
  two.otherwise = [address];
  const failing = await serve(corefile(`${at(one)} ${at(two)}`, "policy sequential\n failover SERVFAIL"));
  assert.match(await failing.text("a.example. A"), /192.0.2.1/);
  failing.stop();
  const following = await serve(
    `. {\n forward . ${at(one)} {\n next SERVFAIL\n next_on_nodata\n }\n forward . ${at(two)}\n}`,
  );
  assert.match(await following.text("a.example. A"), /192.0.2.1/);
  one.otherwise = ["NOERROR"];
  assert.match(await following.text("a.example. A"), /192.0.2.1/);
  one.otherwise = ["NXDOMAIN"];
  assert.equal(await following.text("a.example. A"), "NXDOMAIN ra");
  following.stop();
});

test("without a forward behind it, next and next_on_nodata count for nothing", async () => {
  const server = await serve(`. {\n forward . ${at(one)} {\n next NXDOMAIN\n next_on_nodata\n }\n whoami\n}`);
  one.otherwise = ["NXDOMAIN"];
  assert.equal(await server.text("a.example. A"), "NXDOMAIN ra");
  one.otherwise = ["NOERROR"];
  assert.equal(await server.text("a.example. A"), "NOERROR ra");
  server.stop();
});

test("who has answered can be logged", async () => {
  const server = await serve(`. {\n metadata\n log "{name} {/forward/upstream}"\n forward . ${at(one)}\n}`);
  one.otherwise = [address];
  await server.ask("a.example. A");
  assert.deepEqual(server.log, [`[INFO] a.example. ${at(one)}`]);
  server.stop();
});

test("queries beyond max_concurrent are refused", async () => {
  const server = await serve(corefile(at(one), "max_concurrent 1\n read_timeout 100ms\n max_connect_attempts 1"));
  one.otherwise = ["silent"];
  const first = server.text("a.example. A");
  assert.equal(await server.text("b.example. A"), "REFUSED");
  assert.equal(await first, "SERVFAIL");
  assert.equal(server.metric("coredns_forward_max_concurrent_rejects_total"), 1);
  server.stop();
});

test("names outside of FROM and below except are not forwarded", async () => {
  const server = await serve(`. {\n forward example. ${at(one)} {\n except b.example.\n }\n whoami\n}`);
  one.otherwise = ["NXDOMAIN"];
  assert.match(await server.text("a.example. A"), /^NXDOMAIN/);
  assert.match(await server.text("x.b.example. A"), /^NOERROR aa/);
  assert.match(await server.text("other. A"), /^NOERROR aa/);
  server.stop();
});

test("destinations are addresses, hosts, URLs and files", () => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ["192.0.2.1", "dns 192.0.2.1 53 "],
    ["192.0.2.1:5353", "dns 192.0.2.1 5353 "],
    ["dns://[2001:db8::1]:54", "dns 2001:db8::1 54 "],
    ["2001:db8::1", "dns 2001:db8::1 53 "],
    ["tls://192.0.2.1%dns.example", "tls 192.0.2.1 853 dns.example"],
    ["tls://192.0.2.1%dns.example:8853", "tls 192.0.2.1 8853 dns.example"],
    ["tls://192.0.2.1:8853%dns.example", "tls 192.0.2.1 8853 dns.example"],
    ["tls://[2001:db8::1%dns.example]:8853", "tls 2001:db8::1 8853 dns.example"],
    ["tls://[2001:db8::1]:8853%dns.example", "tls 2001:db8::1 8853 dns.example"],
    ["tls://192.0.2.1%", undefined],
    ["https://dns.example/q", "https dns.example 443 dns.example"],
    ["dns.example:5353", "dns dns.example 5353 "],
    ["/etc/resolv.conf", undefined],
    ["192.0.2.1:0", undefined],
    ["192.0.2.1:99999", undefined],
  ];
  for (const [text, expected] of cases) {
    const found = parseDestination(text);
    const shown = found && `${found.kind} ${found.host} ${found.port} ${found.serverName}`;
    assert.equal(shown, expected, text);
  }
  assert.deepEqual(nameServersOf("# x\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n nameserver 2001:db8::1 # y\n"), [
    "192.0.2.1",
    "fe80::1",
    "2001:db8::1",
  ]);
});

test("faults of the directive are reported", async () => {
  const faults: readonly (readonly [string, RegExp])[] = [
    ["forward .", /needs at least 2 arguments/],
    ["forward . /nothing/here", /not an address, a host name or a file/],
    ["forward . 192.0.2.1 {\n policy best\n}", /random, round_robin or sequential/],
    ["forward . 192.0.2.1 {\n next NOCODE\n}", /not a response code/],
    [`forward . ${Array(16).fill("192.0.2.1").join(" ")}`, /more than 15 destinations/],
  ];
  for (const [text, fault] of faults) await assert.rejects(serve(`. {\n${text}\n}`), fault, text);
});
