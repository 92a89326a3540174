/** Checks of the kernel's settings and of sockets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { found, healthyNode, messages, service, withLink, withSysctls } from "../testing.ts";

test("forwarding that is off is found, of all interfaces and of one", () => {
  assert.deepEqual(found(withSysctls({ "net/ipv4/ip_forward": "0" })), ["ip-forward: net.ipv4.ip_forward"]);
  assert.deepEqual(found(withSysctls({ "net/ipv4/conf/cbr0/forwarding": "0" })), [
    "ip-forward: net.ipv4.conf.cbr0.forwarding",
  ]);
});

test("bridged packets that pass no rules are found, and the module that is not there", () => {
  const name = "net/bridge/bridge-nf-call-iptables";
  assert.deepEqual(found(withSysctls({ [name]: "0" })), ["bridge-netfilter: net.bridge.bridge-nf-call-iptables"]);
  const { [name]: _, ...without } = healthyNode().sysctls;
  assert.match(messages({ sysctls: without }), /module br_netfilter is not loaded/);
});

test("ports without hairpin mode are found, unless the bridge is promiscuous or no pods are on it", () => {
  const off = { port: { state: 3, hairpin: false, learning: true, flood: true } };
  assert.deepEqual(found(withLink("veth2", off)), ["hairpin: bridge cbr0"]);
  const links = healthyNode(withLink("veth2", off)).links;
  const change = (change: object) => ({
    links: links.map((each) => (each.name === "cbr0" ? { ...each, ...change } : each)),
  });
  assert.deepEqual(found(change({ promiscuous: true })), []);
  const docker = { ...change({ name: "docker0" }), addresses: [healthyNode().addresses[0]] };
  assert.deepEqual(found(docker), []);
});

test("a strict reverse path filter is found only where answers leave by another link", () => {
  const { routes, links } = healthyNode();
  const eth1 = { ...links[1], index: 9, name: "eth1" };
  const away = {
    ...routes[0],
    destination: "192.0.2.7/32",
    nextHops: [{ ...routes[0]?.nextHops[0], gateway: "198.51.100.1", interface: 9 }],
  };
  const both = { links: [...links, eth1], routes: [...routes, away] };
  assert.deepEqual(found(both), ["reverse-path: link eth0"]);
  assert.deepEqual(found({ ...both, ...withSysctls({ "net/ipv4/conf/all/rp_filter": "2" }) }), []);
  const elsewhere = routes.map((route) =>
    route.destination === "0.0.0.0/0" ? { ...away, destination: "0.0.0.0/0" } : route,
  );
  assert.deepEqual(found({ links: both.links, routes: elsewhere }), ["reverse-path: link eth0"]);
});

test("a table of connections that is nearly full is found", () => {
  const tuple = { source: "192.0.2.1", destination: "192.0.2.11", protocol: 17, sourcePort: 1, destinationPort: 53 };
  const entry = { family: "IPv4", original: tuple, reply: tuple, status: 8, timeout: 1, mark: 0, zone: 0, id: 1 };
  assert.deepEqual(found({ conntrack: new Array(7).fill(entry) }), []);
  assert.deepEqual(found({ conntrack: new Array(9).fill(entry) }), ["conntrack-full: net.netfilter.nf_conntrack_max"]);
});

test("node ports that the node's own connections may take are found, unless they are reserved", () => {
  const range = { "net/ipv4/ip_local_port_range": "10000\t60999" };
  const subject = ["node-port-ephemeral: net.ipv4.ip_local_port_range"];
  assert.deepEqual(found(withSysctls(range)), subject);
  assert.deepEqual(found(withSysctls({ ...range, "net/ipv4/ip_local_reserved_ports": "30000-32767" })), []);
  const odd = { services: [service({ ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 20_001 }] })] };
  assert.deepEqual(found(withSysctls({ ...range, "net/ipv4/ip_local_reserved_ports": "20001" }), odd), []);
});

test("a program on a node port is found", () => {
  const services = [service({ type: "NodePort", ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 30_080 }] })];
  const socket = { protocol: "TCP", address: "0.0.0.0", port: 30_080 };
  assert.deepEqual(found({ sockets: [socket] }, { services }), [
    "node-port-bound: service shop/web node port 30080/TCP",
  ]);
  assert.deepEqual(found({ sockets: [{ ...socket, protocol: "UDP" }] }, { services }), []);
});

test("the kernel's settings for IPVS are judged where IPVS serves", () => {
  const links = [...healthyNode().links, { ...healthyNode().links[1], index: 9, name: "kube-ipvs0" }];
  const nat = { family: "IPv4", name: "nat", chains: [{ name: "KUBE-SERVICES", rules: [] }] };
  const settings = withSysctls({
    "net/ipv4/vs/conntrack": "0",
    "net/ipv4/vs/conn_reuse_mode": "1",
    "net/ipv4/vs/expire_nodest_conn": "0",
  });
  const all = found({ ...settings, links, iptables: [nat], kernel: "5.4.0" });
  for (const name of ["conntrack", "conn_reuse_mode", "expire_nodest_conn"]) {
    assert.ok(all.includes(`ipvs-settings: net.ipv4.vs.${name}`), String(all));
  }
  assert.deepEqual(found(settings), []);
});

test("node ports on 127.0.0.1 need route_localnet", () => {
  const rule = (match: string) => ({
    iptables: [
      {
        family: "IPv4",
        name: "nat",
        chains: [{ name: "KUBE-SERVICES", rules: [`-m addrtype --dst-type LOCAL ${match}-j KUBE-NODEPORTS`] }],
      },
    ],
  });
  const subject = "localhost-node-port: net.ipv4.conf.all.route_localnet";
  assert.ok(found(rule("")).includes(subject));
  assert.ok(!found(rule("! -d 127.0.0.0/8 ")).includes(subject));
  assert.ok(!found({ ...rule(""), ...withSysctls({ "net/ipv4/conf/all/route_localnet": "1" }) }).includes(subject));
});
