import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { serve, type TestServer } from "../../testing.ts";
import { type ScriptedServer, scriptedServer } from "../../testserver.ts";
import { TYPE } from "../../wire/codes.ts";
import { makeQuery } from "../../wire/message.ts";
import { parseRecord } from "../../wire/parse.ts";
import { Entry, Store } from "./store.ts";

let upstream: ScriptedServer;
before(async () => {
  upstream = await scriptedServer();
});
after(() => upstream.close());

/** A caching server in front of the scripted one. */
async function caching(properties = "", args = ""): Promise<TestServer> {
  upstream.reset();
  return serve(
    `. {\n prometheus 127.0.0.1:0\n cache ${args} {\n ${properties}\n }\n forward . 127.0.0.1:${upstream.port}\n}`,
  );
}

/** Lets refreshes in the background arrive. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await turn();
  await new Promise((resolve) => setTimeout(resolve, 30));
}

const soa = "example. 100 IN SOA ns.example. admin.example. 1 2 3 4 40";

test("a reply is given again with the rest of its time, and asked for anew after it", async () => {
  const server = await caching();
  upstream.script["a.example. A"] = ["a.example. 100 IN A 192.0.2.1"];
  assert.equal(await server.text("a.example. A"), "NOERROR ra\na.example. 100 A 192.0.2.1");
  await server.clock.pass(40_000);
  assert.equal(await server.text("A.Example. A"), "NOERROR aa ra\nA.Example. 60 A 192.0.2.1");
  assert.equal(upstream.asked, 1);
  await server.clock.pass(60_000);
  assert.match(await server.text("a.example. A"), /100 A/);
  assert.equal(upstream.asked, 2);
  assert.equal(server.metric('coredns_cache_hits_total{server="dns://:53",type="success",zones=".",view=""}'), 1);
  server.stop();
});

test("denials are kept as long as the SOA says, failures for 5 seconds, and TTLs have limits", async () => {
  const server = await caching("", "50");
  upstream.script["no.example. A"] = ["NXDOMAIN", `authority ${soa}`];
  upstream.script["bad.example. A"] = ["SERVFAIL"];
  upstream.script["long.example. A"] = ["long.example. 9999 IN A 192.0.2.1"];
  upstream.script["short.example. A"] = ["short.example. 1 IN A 192.0.2.1"];
  assert.match(await server.text("no.example. A"), /^NXDOMAIN ra\nauthority example. 40 SOA/);
  assert.match(await server.text("long.example. A"), / 50 A/);
  assert.match(await server.text("short.example. A"), / 5 A/);
  await server.text("bad.example. A");
  await server.clock.pass(4000);
  assert.match(await server.text("no.example. A"), /^NXDOMAIN aa ra\nauthority example. 36 SOA/);
  assert.equal((await server.text("bad.example. A")).split(" ")[0], "SERVFAIL");
  assert.equal(upstream.asked, 4);
  await server.clock.pass(2000);
  await server.text("bad.example. A");
  await server.text("short.example. A");
  assert.equal(upstream.asked, 6);
  server.stop();
});

test("what is half an answer is not kept", async () => {
  const server = await caching();
  upstream.script["cut.example. A"] = ["tc", "cut.example. 100 IN A 192.0.2.1"];
  upstream.script["odd.example. A"] = ["NXDOMAIN"];
  upstream.script["alias.example. A"] = ["alias.example. 100 IN CNAME b.example."];
  upstream.script["refused.example. A"] = ["REFUSED"];
  for (const name of ["cut", "odd", "alias", "refused"]) {
    await server.text(`${name}.example. A`);
    await server.text(`${name}.example. A`);
  }
  assert.equal(upstream.asked, 8);
  server.stop();
});

test("replies with and without DNSSEC are kept apart", async () => {
  const server = await caching();
  upstream.script["a.example. A"] = ["a.example. 100 IN A 192.0.2.1"];
  const edns = { udpSize: 1232, version: 0, do: true, options: [] };
  await server.ask("a.example. A");
  await server.ask("a.example. A", { message: { edns } });
  await server.ask("a.example. A", { message: { edns } });
  assert.equal(upstream.asked, 2);
  server.stop();
});

test("zones can be left out, for answers and for denials", async () => {
  const server = await caching("disable success cluster.local\n disable denial cluster.local");
  upstream.script["a.cluster.local. A"] = ["a.cluster.local. 100 IN A 192.0.2.1"];
  upstream.script["no.cluster.local. A"] = ["NXDOMAIN", `authority ${soa}`];
  for (let i = 0; i < 2; i++) {
    assert.match(await server.text("a.cluster.local. A"), /100 A/);
    await server.text("no.cluster.local. A");
  }
  assert.equal(upstream.asked, 4);
  server.stop();
});

test("a popular reply is fetched again once, in the last part of its time", async () => {
  const server = await caching("prefetch 1 1m 10%");
  upstream.script["a.example. A"] = ["a.example. 100 IN A 192.0.2.1"];
  await server.text("a.example. A");
  await server.clock.pass(80_000);
  await server.text("a.example. A");
  await settle();
  assert.equal(upstream.asked, 1);
  await server.clock.pass(15_000);
  await server.text("a.example. A");
  await settle();
  assert.equal(upstream.asked, 2);
  assert.match(await server.text("a.example. A"), /100 A/);
  server.stop();
});

test("while the source is silent, replies past their time are given, with a TTL of 0", async () => {
  const server = await caching("serve_stale 1h");
  upstream.script["a.example. A"] = ["a.example. 10 IN A 192.0.2.1"];
  await server.text("a.example. A");
  upstream.script["a.example. A"] = ["SERVFAIL"];
  await server.clock.pass(60_000);
  assert.equal(await server.text("a.example. A"), "NOERROR aa ra\na.example. 0 A 192.0.2.1");
  await settle();
  assert.equal(await server.text("a.example. A"), "NOERROR aa ra\na.example. 0 A 192.0.2.1", "again");
  await settle();
  upstream.script["a.example. A"] = ["a.example. 10 IN A 192.0.2.2"];
  await server.clock.pass(10_000);
  await server.text("a.example. A");
  await settle();
  assert.match(await server.text("a.example. A"), /192.0.2.2/);
  server.stop();
});

test("with verify the source is asked first", async () => {
  const server = await caching("serve_stale 1h verify");
  upstream.script["a.example. A"] = ["a.example. 10 IN A 192.0.2.1"];
  await server.text("a.example. A");
  await server.clock.pass(60_000);
  upstream.script["a.example. A"] = ["a.example. 10 IN A 192.0.2.2"];
  assert.match(await server.text("a.example. A"), /192.0.2.2/);
  upstream.script["a.example. A"] = ["SERVFAIL"];
  await server.clock.pass(60_000);
  for (const code of ["SERVFAIL", "SERVFAIL", "REFUSED"]) {
    upstream.script["a.example. A"] = [code];
    assert.match(await server.text("a.example. A"), /^NOERROR.* 0 A 192.0.2.2/s, code);
  }
  server.stop();
});

test("a reply that is still good is given while it cannot be fetched anew", async () => {
  const server = await caching("prefetch 1 1m 90%");
  upstream.script["a.example. A"] = ["a.example. 10 IN A 192.0.2.1"];
  await server.text("a.example. A");
  upstream.script["a.example. A"] = ["SERVFAIL"];
  await server.clock.pass(5000);
  for (let i = 0; i < 2; i++) {
    assert.match(await server.text("a.example. A"), /^NOERROR.* 5 A 192.0.2.1/s);
    await settle();
  }
  assert.ok(upstream.asked >= 2);
  server.stop();
});

test("a flood of names does not grow the cache", async () => {
  const server = await caching("success 1024\n denial 1024");
  upstream.otherwise = ["NXDOMAIN", `authority ${soa}`];
  upstream.script["keep.example. A"] = ["keep.example. 100 IN A 192.0.2.1"];
  await server.text("keep.example. A");
  for (let i = 0; i < 1100; i += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, j) => server.ask(`n${i + j}.example. A`)));
  }
  const labels = 'zones=".",view=""}';
  assert.equal(server.metric(`coredns_cache_entries{server="dns://:53",type="denial",${labels}`), 1024);
  assert.equal(server.metric(`coredns_cache_evictions_total{server="dns://:53",type="denial",${labels}`), 76);
  const { asked } = upstream;
  await server.text("keep.example. A");
  assert.equal(upstream.asked, asked);
  server.stop();
});

test("large replies take the place of more than one", () => {
  const evicted: number[] = [];
  const store = new Store(4, () => evicted.push(store.size));
  const reply = (count: number) => ({
    ...makeQuery(1, "a.", TYPE.A),
    answer: Array.from({ length: count }, () => parseRecord("a. 60 IN A 192.0.2.1")),
  });
  for (const [key, count] of [
    ["a", 1],
    ["b", 8],
    ["c", 8],
    ["d", 15],
  ] as const)
    store.set(key, new Entry(reply(count), 0, 60));
  assert.equal(store.size, 4);
  store.set("e", new Entry(reply(10), 0, 60));
  assert.deepEqual(
    ["a", "b", "c", "d", "e"].filter((key) => store.get(key) !== undefined),
    ["d", "e"],
  );
  store.set("f", new Entry(reply(4000), 0, 60));
  assert.equal(store.size, 0, "one that is larger than all together is not kept");
  assert.equal(evicted.length, 6);
});

test("faults of the directive are reported", async () => {
  const faults: readonly (readonly [string, RegExp])[] = [
    ["cache 0", /the TTL is '0'/],
    ["cache -1 example.org", /the TTL is '-1'/],
    ["cache {\n prefetch 5 1m 95%\n}", /from 10% to 90%/],
    ["cache {\n servfail 6m\n}", /5m at most/],
    ["cache {\n success x\n}", /the capacity is 'x'/],
    ["cache {\n disable all\n}", /success or denial/],
    ["cache {\n serve_stale 1h maybe\n}", /immediate or verify/],
    ["cache {\n foo\n}", /unknown property 'foo'/],
  ];
  for (const [text, fault] of faults) await assert.rejects(serve(`. {\n${text}\n}`), fault, text);
});
