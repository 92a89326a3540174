/** The load generator and idle connections, against rules written by hand. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseAddress } from "../../src/net/address.ts";
import { IdleConnections, serveEcho } from "./idle.ts";
import { type LoadServer, measureLoad, startLoad, startLoadServer } from "./load.ts";
import { type Host, TestNetwork } from "./network.ts";

const vip = parseAddress("10.96.0.10");
let network: TestNetwork;
let client: Host;
let router: Host;
let servers: readonly LoadServer[];

before(async () => {
  network = new TestNetwork("load");
  client = network.host("client");
  router = network.host("router");
  router.forwarding();
  network.join(router, "c", client, "eth0");
  router.address("c", "10.0.0.1/24");
  client.address("eth0", "10.0.0.2/24");
  client.addRoute("default", { via: "10.0.0.1" });
  const started: LoadServer[] = [];
  for (const [i, name] of ["one", "two"].entries()) {
    const server = network.host(name);
    network.join(router, name, server, "eth0");
    router.address(name, `10.1.${i}.1/24`);
    server.address("eth0", `10.1.${i}.2/24`);
    server.addRoute("default", { via: `10.1.${i}.1` });
    started.push(await startLoadServer(server, parseAddress(`10.1.${i}.2`), 8080, name));
    serveEchoOf.push(serveEcho(server, parseAddress(`10.1.${i}.2`), 9090));
  }
  servers = started;
  rules("random");
});

const serveEchoOf: { close(): void }[] = [];

after(async () => {
  for (const echo of serveEchoOf) echo.close();
  await Promise.all(servers.map((server) => server.close()));
  network.close();
});

/** Replaces the rules of the router by those that balance, or that refuse. */
function rules(what: "random" | "reject"): void {
  const target = "dnat to numgen random mod 2 map { 0 : 10.1.0.2, 1 : 10.1.1.2 }";
  const balance = `chain nat { type nat hook prerouting priority -100; ip daddr ${vip} ${target}; }`;
  const refuse = `chain refuse { type filter hook prerouting priority -150; ip daddr ${vip} tcp flags syn / syn,ack reject with tcp reset; }`;
  const chains = what === "random" ? balance : `${balance}\n${refuse}`;
  router.exec("nft", ["-f", "-"], { input: `table ip t\ndelete table ip t\ntable ip t {\n${chains}\n}\n` });
}

test("connections are counted by who answers, with their latency", async () => {
  const result = await measureLoad(client, { to: vip, port: 8080, connections: 2000 });
  assert.deepEqual(result.failures, {});
  assert.equal(result.connections, 2000);
  assert.deepEqual(Object.keys(result.answers).sort(), ["one", "two"]);
  assert.equal((result.answers.one ?? 0) + (result.answers.two ?? 0), 2000);
  assert.ok(result.latency.p50 > 0 && result.latency.p50 <= result.latency.p99);
});

test("connections that are refused meanwhile are noticed, and idle ones that live on are not", async () => {
  const idle = await IdleConnections.open(client, vip, 9090, 50);
  assert.equal(await idle.check(), 50);
  const load = startLoad(client, { to: vip, port: 8080 });
  while (load.count < 200) await new Promise((resolve) => setTimeout(resolve, 5));
  rules("reject");
  await new Promise((resolve) => setTimeout(resolve, 50));
  rules("random");
  const seen = load.count;
  while (load.count < seen + 200) await new Promise((resolve) => setTimeout(resolve, 5));
  const result = await load.stop();
  assert.ok((result.failures.ECONNREFUSED ?? 0) > 0, JSON.stringify(result));
  assert.equal(await idle.check(), 50, JSON.stringify(idle.broken));
  for (const echo of serveEchoOf.splice(0)) echo.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(await idle.check(200), 0);
  assert.equal(
    Object.values(idle.broken).reduce((a, b) => a + b, 0),
    50,
  );
  idle.close();
});
