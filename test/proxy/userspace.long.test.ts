/** The userspace proxy with as many clients and services as a busy node has. */
import assert from "node:assert/strict";
import { createSocket, type Socket as Datagrams } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { after, test } from "node:test";
import { enterNamespace } from "../../src/kernel/namespace.ts";
import { parseAddress } from "../../src/net/address.ts";
import type { Protocol } from "../../src/net/protocol.ts";
import { userspace } from "../../src/proxy/modes/userspace/index.ts";
import { type Decision, decisionKey } from "../../src/service/decision.ts";
import { externalCluster } from "../../src/service/outcomes.ts";
import type { NodeSettings } from "../../src/service/settings.ts";
import { TestNetwork } from "../support/network.ts";

const network = new TestNetwork("userspace");
const node = network.host("node");
network.bridge(node, "eth0");
node.address("eth0", "192.0.2.1/24");
node.addRoute("10.96.0.0/16", { link: "eth0" });
enterNamespace(node.namespace);
const mode = await userspace.create();
const { signal } = new AbortController();
const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
}).listen({ port: 7, host: "127.0.0.2", backlog: 4096 });
const echo = createSocket("udp4").on("message", (message, from) => echo.send(message, from.port, from.address));
echo.bind(7, "127.0.0.2");

after(() => {
  mode.close();
  server.close();
  echo.close();
  network.close();
});

const settings: NodeSettings = {
  masqueradeBit: 14,
  families: {
    IPv4: { detector: { kind: "none" }, nodePortAddresses: { kind: "all", loopback: false }, serviceCIDRs: [] },
  },
};
const clusterIP = parseAddress("10.96.0.1");

function entry(protocol: Protocol, port: number, addresses: readonly string[] = ["127.0.0.2"]) {
  const service = { namespace: "test", name: `service-${port}`, port: "", protocol };
  const decision: Decision = {
    service,
    family: "IPv4",
    frontEnds: [{ kind: "ClusterIP", address: clusterIP, port, outcomes: externalCluster }],
    cluster: addresses.map((address) => ({ address: parseAddress(address), port: 7, local: true })),
    local: [],
    affinitySeconds: 0,
  };
  return [decisionKey(service, "IPv4"), decision] as const;
}

/** Says something, ends, and takes everything that comes back. */
async function exchange(socket: Socket, words: string): Promise<string> {
  socket.end(words);
  let answer = "";
  for await (const part of socket) answer += part;
  return answer;
}

test("3,000 connections at a time are each answered with their own words, through changes of the service", async () => {
  await mode.replace({ settings, decisions: new Map([entry("TCP", 80)]) }, signal);
  const sockets: Socket[] = [];
  for (let i = 0; i < 3000; i++) {
    const socket = connect({ host: clusterIP, port: 80 });
    socket.write(`${i}:`);
    sockets.push(socket);
    if (i % 100 === 0) await once(socket, "connect");
    if (i % 500 === 0) await mode.apply(new Map([entry("TCP", 80), entry("TCP", 1000 + i)]), signal);
  }
  const answers = await Promise.all(sockets.map((socket, i) => exchange(socket, `words of ${i}`)));
  assert.deepEqual(
    answers,
    sockets.map((_, i) => `${i}:words of ${i}`),
  );
});

test("of 6,000 UDP clients each is answered, though fewer are remembered", async () => {
  await mode.replace({ settings, decisions: new Map([entry("UDP", 53)]) }, signal);
  const sockets: Datagrams[] = [];
  const ask = async (socket: Datagrams, words: string) => {
    socket.send(words, 53, clusterIP);
    const [answer] = (await once(socket, "message", { signal: AbortSignal.timeout(10_000) })) as [Buffer];
    assert.equal(answer.toString(), words);
  };
  try {
    // No more at once than a socket's buffer holds.
    for (let i = 0; i < 6000; i += 50) {
      const some = Array.from({ length: 50 }, () => createSocket("udp4"));
      sockets.push(...some);
      await Promise.all(some.map((socket, at) => ask(socket, String(i + at))));
      if (sockets.length > 3000) for (const socket of sockets.splice(0, 50)) socket.close();
    }
  } finally {
    for (const socket of sockets) socket.close();
  }
});

test("2,000 services of each protocol are served, with at most 1,024 sockets for UDP and one for TCP", async () => {
  const ports = Array.from({ length: 2000 }, (_, i) => 2000 + i);
  const decisions = new Map(ports.flatMap((port) => [entry("TCP", port), entry("UDP", port)]));
  node.exec("sysctl", ["-qw", "net.ipv4.conf.all.route_localnet=1"]);
  await mode.replace({ settings, decisions }, signal);
  const count = (flag: string) =>
    node
      .exec("ss", [`-Hln${flag}`, "src", "169.254.96.96"])
      .trim()
      .split("\n").length;
  assert.equal(count("t"), 1);
  assert.ok(count("u") <= 1024 && count("u") >= 1023, `${count("u")} UDP listeners`);
  for (const port of [2000, 2500, 3500, 3999]) {
    assert.equal(await exchange(connect({ host: clusterIP, port }), "x"), "x");
    const socket = createSocket("udp4");
    socket.send("x", port, clusterIP);
    await once(socket, "message", { signal: AbortSignal.timeout(2000) });
    socket.close();
  }
});

test("an endpoint that does not answer at all is passed over after three seconds, and then at once", async () => {
  node.exec("ip", ["route", "add", "blackhole", "203.0.113.0/24"]);
  node.exec("ip", ["route", "add", "198.51.100.0/24", "dev", "eth0"]);
  node.exec("nft", ["table ip quiet { chain c { type filter hook output priority 0; ip daddr 198.51.100.7 drop; }; }"]);
  await mode.replace({ settings, decisions: new Map([entry("TCP", 80, ["198.51.100.7", "127.0.0.2"])]) }, signal);
  const times: number[] = [];
  for (let i = 0; i < 8; i++) {
    const began = performance.now();
    assert.equal(await exchange(connect({ host: clusterIP, port: 80 }), "x"), "x");
    times.push(performance.now() - began);
  }
  const slow = times.filter((time) => time > 2500);
  assert.ok(slow.length <= 1 && Math.max(...times) < 4000, times.map(Math.round).join(" "));
});
