/** Packets that are sent to see whether the kernel does what a walk says. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { after, test } from "node:test";
import { parseAddress } from "../../src/net/address.ts";
import { capture, type Snapshot } from "../../src/trace/snapshot/index.ts";
import { formatVerification } from "../../src/trace/verify/report.ts";
import { type Verification, verify } from "../../src/trace/verify/verify.ts";
import { Cluster, type Question } from "../../src/trace/walk/index.ts";
import { openBound, serveTcp } from "../support/sockets.ts";
import { nodeBetween } from "./between.ts";

const { client: pod, node, server } = nodeBetween("verify");
node.exec("nft", ["-f", "-"], {
  input: `table ip shop {
    chain pre { type nat hook prerouting priority -100; ip daddr 10.96.0.1 tcp dport 80 dnat to 10.2.0.2:8080; }
    chain passing { type filter hook forward priority 0; udp dport 53 drop comment "no names"; }
    chain out { type nat hook postrouting priority 100; ip daddr 10.2.0.0/24 masquerade; }
  }`,
});
const listener = serveTcp(server, parseAddress("10.2.0.2"), 8080, () => "hello");
after(() => listener.close());
const places = async () => Promise.all([pod, node, server].map(({ namespace }) => capture(namespace)));

async function verified(snapshots: readonly Snapshot[], packet: Question["packet"]): Promise<Verification> {
  return verify(() => new Cluster(snapshots, 100_000), { packet }, AbortSignal.timeout(10_000));
}

const web = { family: "IPv4", destination: parseAddress("10.96.0.1"), protocol: 6, destinationPort: 80 } as const;

test("one packet is sent, seen in every namespace, and the walk agrees", async () => {
  const before = node.exec("nft", ["list", "ruleset"]);
  const result = await verified(await places(), web);
  const text = formatVerification(result, (_, index) => `#${index}`);
  assert.match(text, /Agreed: the kernel did what the walk says/);
  assert.match(text, /ip shop pre rule \d+ accept/);
  assert.deepEqual(result.unwatched, []);
  assert.deepEqual(
    [...result.accounts.values()].map((hooks) => hooks.map(({ hook }) => hook)),
    [
      ["output", "postrouting"],
      ["prerouting", "forward", "postrouting"],
      ["prerouting", "input"],
    ],
  );
  assert.deepEqual(result.reaction, { kind: "answered" });
  assert.equal(node.exec("nft", ["list", "ruleset"]), before);
});

test("datagrams and echo requests are followed alike", async () => {
  const dropped = await verified(await places(), {
    ...web,
    protocol: 17,
    destination: parseAddress("10.2.0.2"),
    destinationPort: 53,
  });
  assert.equal(dropped.comparison.kind, "agrees");
  assert.equal(dropped.comparison.kind === "agrees" && dropped.comparison.way.outcome.kind, "dropped");
  const { destinationPort: _, ...rest } = web;
  const echo = await verified(await places(), {
    ...rest,
    protocol: 1,
    icmpType: 8,
    destination: parseAddress("10.2.0.2"),
  });
  assert.equal(echo.comparison.kind, "agrees");
  assert.deepEqual(echo.reaction, { kind: "answered" });
});

test("what a program sends back in a packet of its own is no difference", async () => {
  const echo = createSocket("udp4");
  const fd = openBound(server, "UDP", parseAddress("10.2.0.2"), 7);
  echo.on("message", (message, from) => echo.send(message, from.port, from.address));
  await new Promise<void>((done) => echo.bind({ fd }, done));
  try {
    const packet = { ...web, protocol: 17, destination: parseAddress("10.2.0.2"), destinationPort: 7 };
    const result = await verified(await places(), packet);
    assert.equal(result.comparison.kind, "agrees");
    assert.equal(result.comparison.kind === "agrees" && result.comparison.sentOn, server.namespace);
    assert.match(
      formatVerification(result, String),
      /A program of .*-server sent what the datagram carried on, or back/,
    );
  } finally {
    echo.close();
  }
});

test("a snapshot that is not as the kernel is differs, and the first different line is shown", async () => {
  const snapshots = (await places()).map((snapshot) => ({
    ...snapshot,
    nftables: { ...snapshot.nftables, rules: snapshot.nftables.rules.filter(({ chain }) => chain !== "out") },
  }));
  const result = await verified(snapshots, web);
  assert.equal(result.comparison.kind, "differs");
  const text = formatVerification(result, () => "eth1");
  assert.match(text, /- +ip shop out rule \d+ accept/);
  assert.match(text, /\+ +ip shop out policy accept/);
});

test("whatever ends the process, the kernel takes the tracing table away", async () => {
  const script = `import { Tracing } from "${import.meta.dirname}/../../src/trace/verify/tracing.ts";
    const tracing = new Tracing("${node.namespace}", { protocol: 6 });
    console.log("traced"); setInterval(() => tracing.take(), 1000);`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  assert.match(node.exec("nft", ["list", "tables"]), /portolan-trace/);
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
  assert.doesNotMatch(node.exec("nft", ["list", "tables"]), /portolan-trace/);
});

test("a packet that nobody takes on a link is no difference, though bridges show it to their places", async () => {
  const lost = async () => {
    const result = await verified(await places(), { ...web, destination: parseAddress("10.3.0.1") });
    assert.ok(result.comparison.kind === "agrees", formatVerification(result, String));
    assert.equal(result.comparison.way.outcome.kind, "no neighbour");
    return [...(result.accounts.get(server.namespace) ?? [])].map(({ hook }) => hook);
  };
  node.exec("ip", ["route", "add", "10.3.0.0/24", "via", "10.2.0.77"]);
  assert.deepEqual(await lost(), []);
  server.exec("ip", ["link", "add", "br0", "type", "bridge"]);
  server.exec("ip", ["link", "set", "br0", "up"]);
  server.exec("ip", ["link", "set", "eth0", "master", "br0"]);
  server.sysctl("net/bridge/bridge-nf-call-iptables", 1);
  node.exec("ip", ["neigh", "replace", "10.2.0.77", "lladdr", "02:00:00:00:00:77", "dev", "eth1", "nud", "permanent"]);
  assert.deepEqual(await lost(), ["prerouting"]);
});
