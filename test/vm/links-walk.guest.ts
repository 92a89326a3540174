/** Walks over links that this machine's kernel may lack, against real connections; runs in a virtual machine. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { listLinks } from "../../src/kernel/route/index.ts";
import { parseAddress } from "../../src/net/address.ts";
import { formatWalk, summaryOf } from "../../src/trace/render/index.ts";
import { captureSurroundings, formatSnapshot, parseSnapshot } from "../../src/trace/snapshot/index.ts";
import { stepsOf, type Walk, walk } from "../../src/trace/walk/index.ts";
import { type Host, TestNetwork } from "../support/network.ts";
import { attemptTcp, type Listener, serveTcp } from "../support/sockets.ts";

const network = new TestNetwork("links");
const [a, b] = [network.host("a"), network.host("b")];
const [p, q] = [network.host("p"), network.host("q")];
const port = 8080;
const listeners: Listener[] = [];
after(() => {
  for (const listener of listeners) listener.close();
  network.close();
});

// Two nodes on a wire, each with a pod on a link of its own.
network.join(a, "eth0", b, "eth0");
for (const [node, pod, n] of [
  [a, p, 1],
  [b, q, 2],
] as const) {
  node.forwarding();
  node.address("eth0", `192.0.2.${n}/24`);
  network.join(node, "pod", pod, "eth0");
  node.address("pod", `10.${n}.0.1/24`);
  pod.address("eth0", `10.${n}.0.2/24`);
  pod.addRoute("default", { via: `10.${n}.0.1` });
  listeners.push(serveTcp(pod, parseAddress(`10.${n}.0.2`), port, () => "here"));
}

const ip = (host: Host, line: string) => host.exec("ip", line.split(" "));
/** The kernel says some time after a link was made that it can carry packets. */
async function ready(...hosts: readonly Host[]): Promise<void> {
  const isReady = () => hosts.every(({ route }) => listLinks(route).every(({ up, running }) => !up || running));
  for (let tries = 100; !isReady() && tries > 0; tries--) await sleep(50);
}
before(() => ready(a, b, p, q));

const iptables = (host: Host, line: string) => host.exec("iptables-legacy", line.split(" "));

/** What the walk says of a connection, once it is seen that the kernel does so. */
async function told(from: Host, to: string): Promise<{ readonly summary: string; readonly walked: Walk }> {
  const snapshot = parseSnapshot(formatSnapshot(await captureSurroundings(a.namespace)), "snapshot");
  const destination = parseAddress(to);
  const packet = { family: "IPv4", destination, protocol: 6, destinationPort: port } as const;
  const walked = walk(snapshot, { place: from.namespace, packet }, { answers: true });
  const summary = summaryOf(walked);
  const attempt = await attemptTcp(from, { to: destination, port, timeout: summary === "delivered" ? 5000 : 500 });
  const expected =
    summary === "delivered" ? ["answered"] : summary === "no socket" ? ["refused"] : ["silent", "failed"];
  assert.ok(
    expected.includes(attempt.kind),
    `${JSON.stringify(attempt)}, and ${formatWalk(walked, { verbose: true })}`,
  );
  return { summary, walked };
}

test("links: packets in IP in IP go to the other node's pods and back, by the next hop of a route", async () => {
  for (const [node, other, remote] of [
    [a, "10.2.0.0/16", "192.0.2.2"],
    [b, "10.1.0.0/16", "192.0.2.1"],
  ] as const) {
    ip(node, "link set tunl0 up");
    ip(node, `route add ${other} via ${remote} dev tunl0 onlink`);
  }
  const { summary, walked } = await told(p, "10.2.0.2");
  assert.equal(summary, "delivered");
  const links = walked.ends.flatMap(({ state }) => stepsOf(state).filter((step) => step.kind === "link"));
  assert.ok(links.some(({ text }) => text === "tunl0 puts it into a packet to 192.0.2.2 (IP in IP)"));
  assert.ok(links.some(({ text }) => text === "tunl0 unpacks it"));
  // The node itself has the address of its wire in there, too.
  assert.equal((await told(a, "10.2.0.2")).summary, "delivered");
});

test("links: rules see the tunnel's packets and what they carry, and the mark goes on from one to the other", async () => {
  iptables(b, "-A INPUT -p 4 -j DROP");
  assert.equal((await told(p, "10.2.0.2")).summary, "dropped");
  iptables(b, "-F INPUT");
  iptables(b, "-t mangle -A PREROUTING -p 4 -j MARK --set-mark 7");
  iptables(b, "-A FORWARD -i tunl0 -m mark --mark 7 -j DROP");
  assert.equal((await told(p, "10.2.0.2")).summary, "dropped");
  iptables(b, "-F FORWARD");
  iptables(b, "-t mangle -F PREROUTING");
});

test("links: a node whose tunnel is down takes nothing out of it", async () => {
  ip(b, "link set tunl0 down");
  assert.equal((await told(p, "10.2.0.2")).summary, "no neighbour");
  ip(b, "link set tunl0 up");
  ip(b, "route add 10.1.0.0/16 via 192.0.2.1 dev tunl0 onlink");
});

test("links: a tunnel with both of its ends takes what is for it before one that is for all", async () => {
  for (const [node, local, remote, other] of [
    [a, "192.0.2.1", "192.0.2.2", "10.2.0.0/16"],
    [b, "192.0.2.2", "192.0.2.1", "10.1.0.0/16"],
  ] as const) {
    ip(node, `link add own type ipip local ${local} remote ${remote}`);
    ip(node, "link set own up");
    ip(node, `route replace ${other} dev own`);
  }
  iptables(b, "-A FORWARD -i own -j DROP");
  assert.equal((await told(p, "10.2.0.2")).summary, "dropped");
  iptables(b, "-F FORWARD");
  assert.equal((await told(p, "10.2.0.2")).summary, "delivered");
  for (const node of [a, b]) ip(node, "link del own");
});
