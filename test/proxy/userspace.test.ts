/** What the userspace proxy does with traffic, beyond what every mode does. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { after, afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { enterNamespace } from "../../src/kernel/namespace.ts";
import { listAddresses, openRoute } from "../../src/kernel/route/index.ts";
import { parseAddress } from "../../src/net/address.ts";
import type { Protocol } from "../../src/net/protocol.ts";
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { userspace, userspaceFactory } from "../../src/proxy/modes/userspace/index.ts";
import type { Limits } from "../../src/proxy/modes/userspace/limits.ts";
import { UserspaceMode } from "../../src/proxy/modes/userspace/mode.ts";
import { UserspaceProxy } from "../../src/proxy/modes/userspace/proxy.ts";
import { inIptables, inNftables } from "../../src/proxy/modes/userspace/rules.ts";
import { type Decision, decisionKey } from "../../src/service/decision.ts";
import { externalCluster } from "../../src/service/outcomes.ts";
import type { NodeSettings } from "../../src/service/settings.ts";
import { TestNetwork } from "../support/network.ts";
import { attemptTcp, attemptUdp } from "../support/sockets.ts";

const network = new TestNetwork("userspace");
const node = network.host("node");
network.bridge(node, "eth0");
node.address("eth0", "192.0.2.1/24");
node.addRoute("10.96.0.0/16", { link: "eth0" });
enterNamespace(node.namespace);
const mode = await userspace.create();
const { signal } = new AbortController();

/** A mode whose proxy has narrow limits; it takes the place of the other one. */
async function narrowMode(limits: Partial<Limits>): Promise<UserspaceMode> {
  const proxy = new UserspaceProxy({ connections: 100, udpListeners: 100, udpSessions: 100, ...limits });
  const narrow = new UserspaceMode(proxy, await inNftables.create());
  open.push(narrow);
  return narrow;
}

const settings: NodeSettings = {
  masqueradeBit: 14,
  families: {
    IPv4: { detector: { kind: "none" }, nodePortAddresses: { kind: "all", loopback: false }, serviceCIDRs: [] },
  },
};
const clusterIP = parseAddress("10.96.0.1");
const open: { close(): void }[] = [];

after(() => {
  mode.close();
  network.close();
});

afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** The entry of a service on 10.96.0.1 with endpoints on loopback addresses. */
function entry(protocol: Protocol, port: number, endpoints: readonly [address: string, port: number][]) {
  const service = { namespace: "test", name: `service-${port}`, port: "", protocol };
  const decision: Decision = {
    service,
    family: "IPv4",
    frontEnds: [{ kind: "ClusterIP", address: clusterIP, port, outcomes: externalCluster }],
    cluster: endpoints.map(([address, at]) => ({ address: parseAddress(address), port: at, local: true })),
    local: [],
    affinitySeconds: 0,
  };
  return [decisionKey(service, "IPv4"), decision] as const;
}

function serve(protocol: Protocol, port: number, endpoints: readonly [address: string, port: number][]): Promise<void> {
  return mode.replace({ settings, decisions: new Map([entry(protocol, port, endpoints)]) }, signal);
}

/** Answers datagrams on an address with the port of the client, as it is seen there. */
async function echoPorts(address: string): Promise<number> {
  const socket = createSocket("udp4");
  socket.on("message", (_, from) => socket.send(String(from.port), from.port, from.address));
  socket.bind(0, address);
  await once(socket, "listening");
  open.push(socket);
  return socket.address().port;
}

/** A client that asks on one socket again and again. */
function asker(port: number): () => Promise<string> {
  const socket = createSocket("udp4");
  open.push(socket);
  return async () => {
    socket.send("?", port, clusterIP);
    const [message] = (await once(socket, "message", { signal: AbortSignal.timeout(2000) })) as [Buffer];
    return message.toString();
  };
}

/** What listens on the own address, as `ss` has it. */
function listeners(protocol: "t" | "u"): readonly string[] {
  const found = node.exec("ss", [`-Hln${protocol}`, "src", "169.254.96.96"]).trim();
  return found === "" ? [] : found.split("\n");
}

/** Listens on an address, on a free port. @returns the port. */
async function listen(address: string, onConnection: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  }).listen(0, address);
  await once(server, "listening");
  open.push(server);
  const at = server.address();
  assert.ok(at !== null && typeof at === "object");
  return at.port;
}

/** A connection to a port of the service; it ends with the test. */
function dial(port: number): Socket {
  const socket = connect({ host: clusterIP, port });
  open.push({ close: () => socket.destroy() });
  return socket;
}

async function text(socket: Socket): Promise<string> {
  let all = "";
  for await (const part of socket) all += part;
  return all;
}

test("a client that has said everything still gets the answer", async () => {
  const port = await listen("127.0.0.2", async (socket) => {
    let length = 0;
    socket.on("data", (data) => {
      length += data.length;
    });
    await once(socket, "end");
    await sleep(50);
    socket.end(`${length} bytes`);
  });
  await serve("TCP", 80, [["127.0.0.2", port]]);
  const client = dial(80);
  client.end("x".repeat(300_000));
  assert.equal(await text(client), "300000 bytes");
});

test("a server that does not read stops the client, and nothing is lost", async () => {
  const total = 64 * 1024 * 1024;
  const block = Buffer.alloc(1024 * 1024, "portolan");
  const hash = createHash("sha256");
  let received = 0;
  let go = () => {};
  const port = await listen("127.0.0.2", (socket) => {
    socket.pause();
    go = () => socket.resume();
    socket.on("data", (data) => {
      hash.update(data);
      received += data.length;
    });
    socket.on("end", () => socket.end());
  });
  await serve("TCP", 80, [["127.0.0.2", port]]);
  const client = dial(80);
  client.resume();
  let written = 0;
  const writing = (async () => {
    for (; written < total; written += block.length) if (!client.write(block)) await once(client, "drain");
    client.end();
  })();
  await sleep(500);
  assert.equal(received, 0);
  assert.ok(written < 24 * 1024 * 1024, `${written} bytes were taken though nobody read them`);
  go();
  await writing;
  await once(client, "close");
  assert.equal(received, total);
  const expected = createHash("sha256");
  for (let sent = 0; sent < total; sent += block.length) expected.update(block);
  assert.equal(hash.digest("hex"), expected.digest("hex"));
});

test("endpoints that refuse are passed over, and connections are refused only where all do", async () => {
  const port = await listen("127.0.0.2", (socket) => socket.end("here"));
  await serve("TCP", 80, [
    ["127.0.0.3", port],
    ["127.0.0.2", port],
    ["127.0.0.4", port],
  ]);
  for (let i = 0; i < 10; i++) assert.equal(await text(dial(80)), "here");
  await serve("TCP", 80, [["127.0.0.3", port]]);
  await assert.rejects(text(dial(80)), { code: "ECONNRESET" });
});

test("a reset of one side becomes a reset of the other", async () => {
  const port = await listen("127.0.0.2", (socket) => {
    socket.once("data", () => socket.resetAndDestroy());
  });
  await serve("TCP", 80, [["127.0.0.2", port]]);
  const client = dial(80);
  client.write("?");
  await assert.rejects(text(client), { code: "ECONNRESET" });
});

test("established connections go on when their endpoint, or their service, is taken away", async () => {
  const port = await listen("127.0.0.2", (socket) => void socket.pipe(socket));
  await serve("TCP", 80, [["127.0.0.2", port]]);
  const client = dial(80);
  const echo = async () => {
    client.write("?");
    await once(client, "data", { signal: AbortSignal.timeout(2000) });
  };
  await echo();
  const [key] = entry("TCP", 80, []);
  await mode.apply(new Map([entry("TCP", 80, [["127.0.0.3", port]])]), signal);
  await echo();
  await mode.apply(new Map([[key, undefined]]), signal);
  await echo();
  await serve("TCP", 81, [["127.0.0.3", port]]);
  await echo();
  client.destroy();
});

test("a datagram that an endpoint refuses goes to another one; a client stays until its endpoint is gone", async () => {
  const endpoints = ["127.0.0.2", "127.0.0.3"].map((address) => {
    const socket = createSocket("udp4");
    socket.on("message", (_, from) => socket.send(address, from.port, from.address));
    socket.bind(5300, address);
    open.push(socket);
    return [address, 5300] as [string, number];
  });
  const dead: [string, number] = ["127.0.0.4", 5300];
  await serve("UDP", 53, [dead, ...endpoints, ["127.0.0.5", 5300]]);
  for (let i = 0; i < 10; i++) {
    const attempt = await attemptUdp(node, { to: clusterIP, port: 53, timeout: 1000 });
    assert.equal(attempt.kind, "answered");
  }
  const client = createSocket("udp4");
  open.push(client);
  const ask = async (): Promise<string> => {
    client.send("?", 53, clusterIP);
    const [message] = (await once(client, "message", { signal: AbortSignal.timeout(2000) })) as [Buffer];
    return message.toString();
  };
  const first = await ask();
  for (let i = 0; i < 5; i++) assert.equal(await ask(), first);
  await mode.apply(new Map([entry("UDP", 53, [...endpoints.filter(([address]) => address !== first), dead])]), signal);
  const second = await ask();
  assert.notEqual(second, first);
});

test("the proxy's own address answers nobody who does not come through a service", async () => {
  const port = await listen("127.0.0.2", (socket) => socket.end("here"));
  await serve("TCP", 80, [["127.0.0.2", port]]);
  const listening = node
    .exec("ss", ["-Hltn", "src", "169.254.96.96"])
    .trim()
    .split("\n")
    .map((line) => Number(/169\.254\.96\.96:(\d+)/.exec(line)?.[1]));
  assert.equal(listening.length, 1);
  for (const at of listening) {
    const attempt = await attemptTcp(node, { to: parseAddress("169.254.96.96"), port: at, timeout: 200 });
    assert.equal(attempt.kind, "silent");
  }
});

test("connections beyond the limit are reset, and taken again once others have ended", async () => {
  const port = await listen("127.0.0.2", (socket) => void socket.pipe(socket));
  const narrow = await narrowMode({ connections: 3 });
  await narrow.replace({ settings, decisions: new Map([entry("TCP", 80, [["127.0.0.2", port]])]) }, signal);
  const ask = async () => {
    const client = dial(80);
    client.write("?");
    await once(client, "data", { signal: AbortSignal.timeout(2000) });
    return client;
  };
  const clients = await Promise.all([ask(), ask(), ask()]);
  for (let i = 0; i < 5; i++) await assert.rejects(ask(), { code: "ECONNRESET" });
  clients[1]?.destroy();
  await sleep(50);
  const [first, , third] = clients;
  for (const client of [first, await ask(), third]) {
    client?.write("!");
    await once(client ?? process, "data", { signal: AbortSignal.timeout(2000) });
  }
  await assert.rejects(ask(), { code: "ECONNRESET" });
  for (const client of clients) client.destroy();
});

test("of too many UDP clients the one that was silent longest is forgotten", async () => {
  const port = await echoPorts("127.0.0.2");
  const narrow = await narrowMode({ udpSessions: 2 });
  await narrow.replace({ settings, decisions: new Map([entry("UDP", 53, [["127.0.0.2", port]])]) }, signal);
  const [first, second, third] = [asker(53), asker(53), asker(53)];
  const seen = [await first(), await second()];
  assert.deepEqual([await second(), await first()], [seen[1], seen[0]]);
  await third();
  assert.equal(await first(), seen[0]);
  assert.notEqual(await second(), seen[1]);
});

test("UDP service ports beyond the limit of listeners are balanced by the kernel, and TCP needs no further ones", async () => {
  const port = await echoPorts("127.0.0.2");
  const tcp = await listen("127.0.0.2", (socket) => socket.end("here"));
  const narrow = await narrowMode({ udpListeners: 2 });
  node.exec("sysctl", ["-qw", "net.ipv4.conf.all.route_localnet=1"]);
  await narrow.replace({ settings, decisions: new Map() }, signal);
  const before = [listeners("t").length, listeners("u").length] as const;
  const ports = Array.from({ length: 50 }, (_, i) => 1000 + i);
  const entries = ports.flatMap((at) => [
    entry("TCP", at, [["127.0.0.2", tcp]]),
    ...(at < 1004 ? [entry("UDP", at, [["127.0.0.2", port]])] : []),
  ]);
  await narrow.apply(new Map(entries), signal);
  assert.deepEqual([listeners("t").length - before[0], listeners("u").length - before[1]], [1, 2]);
  for (const at of ports) assert.equal(await text(dial(at)), "here");
  for (const at of [1000, 1001, 1002, 1003]) assert.ok(Number(await asker(at)()) > 0);
  // One goes, and another one gets its place when it changes.
  const change = new Map([[entry("UDP", 1000, [])[0], undefined], entry("UDP", 1003, [["127.0.0.2", port]])]);
  await narrow.apply(change, signal);
  await narrow.apply(new Map([entry("UDP", 1003, [["127.0.0.2", port]])]), signal);
  assert.equal(listeners("u").length - before[1], 2);
  assert.ok(Number(await asker(1003)()) > 0);
});

test("another configuration of the mode drops no connection and no UDP client", async () => {
  const udp = await echoPorts("127.0.0.2");
  const tcp = await listen("127.0.0.2", (socket) => void socket.pipe(socket));
  const decisions = new Map([entry("TCP", 80, [["127.0.0.2", tcp]]), entry("UDP", 53, [["127.0.0.2", udp]])]);
  const first = await userspace.create();
  await first.replace({ settings, decisions }, signal);
  const client = dial(80);
  const ask = asker(53);
  const echo = async () => {
    client.write("?");
    await once(client, "data", { signal: AbortSignal.timeout(2000) });
    return ask();
  };
  const seen = await echo();
  first.close();
  const next = await userspace.create();
  await next.replace({ settings: { ...settings, masqueradeBit: 20 }, decisions }, signal);
  assert.equal(await echo(), seen);
  await next.replace({ settings, decisions: new Map(decisions) }, signal);
  assert.equal(await echo(), seen);
  next.close();
  client.destroy();
});

// From here on proxies retire, and take the addresses along some seconds later.

test("its addresses are told of when they are gone, come back, and go with the last connection after cleanup", async () => {
  const port = await listen("127.0.0.2", (socket) => void socket.pipe(socket));
  await serve("TCP", 80, [["127.0.0.2", port]]);
  node.exec("ip", ["address", "delete", "169.254.96.96/32", "dev", "lo"]);
  assert.deepEqual(await mode.audit(signal), [{ what: "address 169.254.96.96: gone" }]);
  await serve("TCP", 80, [["127.0.0.2", port]]);
  assert.deepEqual(await mode.audit(signal), []);

  const client = dial(80);
  client.write("?");
  await once(client, "data");
  // As with the rules of another mode: where no rule needs the connection tracker, the kernel ends translations.
  node.exec("nft", ["table ip other { chain c { type nat hook prerouting priority 0; ct state new; }; }"]);
  await userspace.cleanup();
  await sleep(3500);
  client.write("?");
  await once(client, "data", { signal: AbortSignal.timeout(2000) });
  const there = () => {
    using socket = openRoute();
    return listAddresses(socket).some(({ address }) => address === "169.254.96.96");
  };
  assert.equal(there(), true);
  client.end();
  await once(client, "close");
  await sleep(100);
  assert.equal(there(), false);
});

test("modes iptables and userspace take over each other's chains, and neither removes what the other uses", async () => {
  const port = await listen("127.0.0.2", (socket) => socket.end("here"));
  const [key, decision] = entry("TCP", 80, [["127.0.0.2", port]]);
  const desired = { settings, decisions: new Map([[key, { ...decision, cluster: decision.cluster }]]) };
  const served = async () => assert.equal(await text(dial(80)), "here");
  node.exec("sysctl", ["-qw", "net.ipv4.conf.all.route_localnet=1"]);
  const factories = {
    iptables: iptablesFactory("legacy"),
    userspace: userspaceFactory([inIptables("legacy")]),
  };
  const iptables = await factories.iptables.create();
  const overIptables = await factories.userspace.create();
  await iptables.replace(desired, signal);
  await factories.userspace.cleanup();
  assert.deepEqual(await iptables.audit(signal), []);
  await served();
  await overIptables.replace(desired, signal);
  await factories.iptables.cleanup();
  assert.deepEqual(await overIptables.audit(signal), []);
  await served();
  const [at] = /169\.254\.96\.96:(\d+)/.exec(node.exec("ss", ["-Hltn", "src", "169.254.96.96"])) ?? [];
  const to = { to: parseAddress("169.254.96.96"), port: Number(at?.split(":")[1]), timeout: 200 };
  assert.equal((await attemptTcp(node, to)).kind, "silent");
  await iptables.replace(desired, signal);
  await factories.userspace.cleanup();
  assert.deepEqual(await iptables.audit(signal), []);
  await overIptables.replace(desired, signal);
  await factories.userspace.cleanup();
  assert.doesNotMatch(node.exec("iptables-legacy-save", []), /KUBE-S/);
  iptables.close();
  overIptables.close();
});
