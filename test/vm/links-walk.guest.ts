/** Walks over links that this machine's kernel may lack, against real connections; runs in a virtual machine. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseAddress } from "../../src/net/address.ts";
import { type Host, TestNetwork } from "../support/network.ts";
import { type Listener, serveTcp } from "../support/sockets.ts";
import { ready, told } from "../support/walked.ts";

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
before(() => ready(a, b, p, q));

const iptables = (host: Host, line: string) => host.exec("iptables-legacy", line.split(" "));

test("links: packets in IP in IP go to the other node's pods and back, by the next hop of a route", async () => {
  for (const [node, other, remote] of [
    [a, "10.2.0.0/16", "192.0.2.2"],
    [b, "10.1.0.0/16", "192.0.2.1"],
  ] as const) {
    ip(node, "link set tunl0 up");
    ip(node, `route add ${other} via ${remote} dev tunl0 onlink`);
  }
  const { summary, links } = await told(p, "10.2.0.2", port);
  assert.equal(summary, "delivered");
  assert.ok(links.includes("tunl0 puts it into a packet to 192.0.2.2 (IP in IP)"));
  assert.ok(links.includes("tunl0 unpacks it"));
  // The node itself has the address of its wire in there, too.
  assert.equal((await told(a, "10.2.0.2", port)).summary, "delivered");
});

test("links: rules see the tunnel's packets and what they carry, and the mark goes on from one to the other", async () => {
  iptables(b, "-A INPUT -p 4 -j DROP");
  assert.equal((await told(p, "10.2.0.2", port)).summary, "dropped");
  iptables(b, "-F INPUT");
  iptables(b, "-t mangle -A PREROUTING -p 4 -j MARK --set-mark 7");
  iptables(b, "-A FORWARD -i tunl0 -m mark --mark 7 -j DROP");
  assert.equal((await told(p, "10.2.0.2", port)).summary, "dropped");
  iptables(b, "-F FORWARD");
  iptables(b, "-t mangle -F PREROUTING");
});

test("links: a node whose tunnel is down takes nothing out of it", async () => {
  ip(b, "link set tunl0 down");
  assert.equal((await told(p, "10.2.0.2", port)).summary, "no neighbour");
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
  assert.equal((await told(p, "10.2.0.2", port)).summary, "dropped");
  iptables(b, "-F FORWARD");
  assert.equal((await told(p, "10.2.0.2", port)).summary, "delivered");
  for (const node of [a, b]) ip(node, "link del own");
});

listeners.push(serveTcp(b, parseAddress("0.0.0.0"), port, () => "here"));

/** Has both nodes reach each other by a link of theirs: addresses 198.51.100.1 and .2. */
async function onLinks(name: string): Promise<void> {
  for (const [node, n] of [
    [a, 1],
    [b, 2],
  ] as const) {
    ip(node, `link set ${name} up`);
    node.address(name, `198.51.100.${n}/24`);
  }
  await ready(a, b);
}

test("links: frames of a VLAN come to the VLAN of the same number alone", async () => {
  for (const node of [a, b]) ip(node, "link add link eth0 name eth0.5 type vlan id 5");
  await onLinks("eth0.5");
  const { summary, links } = await told(a, "198.51.100.2", port);
  assert.equal(summary, "delivered");
  assert.deepEqual(links.slice(0, 3), [
    "eth0.5 (VLAN 5) sends the frame by eth0",
    `over eth0 to ${b.namespace} eth0`,
    "up to eth0.5",
  ]);
  ip(b, "link set eth0.5 down");
  assert.equal((await told(a, "198.51.100.2", port)).summary, "no neighbour");
  ip(b, "link del eth0.5");
  ip(b, "link add link eth0 name eth0.5 type vlan id 6");
  ip(b, "link set eth0.5 up");
  b.address("eth0.5", "198.51.100.2/24");
  assert.equal((await told(a, "198.51.100.2", port)).summary, "no neighbour");
  for (const node of [a, b]) ip(node, "link del eth0.5");
});

test("links: a VLAN may be a port of a bridge", async () => {
  for (const node of [a, b]) {
    ip(node, "link add link eth0 name eth0.7 type vlan id 7");
    ip(node, "link add br7 type bridge");
    ip(node, "link set eth0.7 up master br7");
  }
  await onLinks("br7");
  assert.equal((await told(a, "198.51.100.2", port)).summary, "delivered");
  for (const node of [a, b]) for (const link of ["br7", "eth0.7"]) ip(node, `link del ${link}`);
});

test("links: a bond sends by its ports, or by the one that is active, and takes what comes in by any of them", async () => {
  network.join(a, "port1", b, "port1");
  network.join(a, "port2", b, "port2");
  for (const mode of ["active-backup", "balance-xor"]) {
    for (const node of [a, b]) {
      ip(node, `link add bond0 type bond mode ${mode} miimon 50`);
      for (const link of ["port1", "port2"]) {
        ip(node, `link set ${link} down`);
        ip(node, `link set ${link} master bond0`);
      }
    }
    await onLinks("bond0");
    const { summary, links } = await told(a, "198.51.100.2", port);
    assert.equal(summary, "delivered");
    assert.equal(links.filter((text) => text.includes("[1 of 2]")).length, mode === "balance-xor" ? 1 : 0);
    for (const node of [a, b]) ip(node, "link del bond0");
  }
});
