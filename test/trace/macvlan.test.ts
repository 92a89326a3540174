/** Macvlans: whom they reach, and whom they never do, in the kernel as in walks. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseAddress } from "../../src/net/address.ts";
import { type Host, TestNetwork } from "../support/network.ts";
import { type Listener, serveTcp } from "../support/sockets.ts";
import { ready, told } from "../support/walked.ts";

const network = new TestNetwork("macvlan");
const [node, other] = [network.host("node"), network.host("other")];
const pods = { m1: network.host("m1"), m2: network.host("m2"), m3: network.host("m3") };
const addresses = { node: "192.0.2.1", other: "192.0.2.2", m1: "192.0.2.11", m2: "192.0.2.12", m3: "192.0.2.13" };
const hosts: Readonly<Record<keyof typeof addresses, Host>> = { node, other, ...pods };
const listeners: Listener[] = [];
const port = 8080;

before(async () => {
  network.join(node, "eth0", other, "eth0");
  node.address("eth0", `${addresses.node}/24`);
  other.address("eth0", `${addresses.other}/24`);
  for (const [name, mode] of [
    ["m1", "bridge"],
    ["m2", "bridge"],
    ["m3", "private"],
  ] as const) {
    node.exec("ip", ["link", "add", "link", "eth0", "name", name, "type", "macvlan", "mode", mode]);
    node.exec("ip", ["link", "set", name, "netns", pods[name].namespace, "name", "net1", "up"]);
    pods[name].address("net1", `${addresses[name]}/24`);
  }
  for (const name of Object.keys(hosts) as (keyof typeof hosts)[]) {
    listeners.push(serveTcp(hosts[name], parseAddress(addresses[name]), port, () => name));
  }
  await ready(...Object.values(hosts));
});
after(() => {
  for (const listener of listeners) listener.close();
  network.close();
});

const ask = (from: keyof typeof hosts, to: keyof typeof hosts) => told(hosts[from], addresses[to], port);

test("macvlans of mode bridge reach each other and whoever is on the wire, and are reached from there", async () => {
  const near = await ask("m1", "m2");
  assert.equal(near.summary, "delivered");
  assert.match(
    near.links[0] ?? "",
    /^net1 \(macvlan\) hands the frame to .*-m2 net1, which is on .*-node eth0 as well$/,
  );
  const far = await ask("m1", "other");
  assert.equal(far.summary, "delivered");
  assert.match(far.links[0] ?? "", /^net1 \(macvlan\) sends the frame by .*-node eth0$/);
  assert.equal((await ask("other", "m2")).summary, "delivered");
});

test("a macvlan and the node that it is on do not hear each other, and the walk says why", async () => {
  for (const [from, to] of [
    ["m1", "node"],
    ["node", "m1"],
  ] as const) {
    const { summary, walked } = await ask(from, to);
    assert.equal(summary, "no neighbour");
    const [end] = walked.ends;
    assert.match(
      end && "why" in end.outcome ? end.outcome.why : "",
      /is a macvlan on .*-node eth0: the two do not hear/,
    );
  }
});

test("a macvlan of mode private reaches no other one of its link", async () => {
  assert.equal((await ask("m3", "m1")).summary, "no neighbour");
  assert.equal((await ask("m1", "m3")).summary, "no neighbour");
  assert.equal((await ask("m3", "other")).summary, "delivered");
});

test("chains of the link below see what its macvlans send and get", async () => {
  for (const rule of [
    `ingress device eth0 priority 0; ip saddr ${addresses.m1} drop`,
    `egress device eth0 priority 0; ip saddr ${addresses.m1} drop`,
  ]) {
    node.exec("nft", ["-f", "-"], { input: `table netdev below { chain c { type filter hook ${rule}\n }\n }` });
    const isEgress = rule.startsWith("egress");
    assert.equal((await ask("m1", "m2")).summary, isEgress ? "delivered" : "dropped", rule);
    assert.equal((await ask("m1", "other")).summary, isEgress ? "dropped" : "delivered", rule);
    node.exec("nft", ["flush", "ruleset"]);
  }
});
