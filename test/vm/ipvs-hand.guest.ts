/** The walk through virtual services that were made by hand, against real connections; runs in a virtual machine. */
import assert from "node:assert/strict";
import { after, beforeEach, test } from "node:test";
import { flushConntrack, openConntrack } from "../../src/kernel/conntrack/index.ts";
import { type Destination, Ipvs, type ServiceKey, serviceFlag } from "../../src/kernel/ipvs/index.ts";
import { type Address, parseAddress } from "../../src/net/address.ts";
import { summaryOf } from "../../src/trace/render/index.ts";
import { capture, captureSurroundings } from "../../src/trace/snapshot/index.ts";
import { walk } from "../../src/trace/walk/index.ts";
import { attemptTcp, serveTcp } from "../support/sockets.ts";
import { nodeBetween } from "../trace/between.ts";

const { node, client, server } = nodeBetween("byhand");
const vip = parseAddress("10.96.0.1");
const marked = parseAddress("10.96.0.2");
node.address("lo", `${vip}/32`, `${marked}/32`);
server.address("eth0", "10.2.0.3/24");
const listeners = [
  ...["10.2.0.2", "10.2.0.3"].map((address) =>
    serveTcp(server, parseAddress(address), 8080, (from) => `${address} sees ${from.address}`),
  ),
  serveTcp(node, parseAddress("10.1.0.1"), 8080, (from) => `10.1.0.1 sees ${from.address}`),
];
const ipvs = new Ipvs(node.namespace);
const tracker = openConntrack(node.namespace);
after(() => {
  for (const listener of listeners) listener.close();
  ipvs.close();
  tracker.close();
});

const web: ServiceKey = { kind: "address", address: vip, protocol: "TCP", port: 80 };

beforeEach(() => {
  for (const { key } of ipvs.services()) ipvs.deleteService(key);
  for (const table of ["nat", "mangle"]) node.exec("iptables-legacy", ["-t", table, "-F"]);
  node.sysctl("net/ipv4/vs/conntrack", 1);
});

function serve(key: ServiceKey, scheduler: string, ...destinations: readonly (readonly [string, number])[]): void {
  serveWith({ key, scheduler, flags: 0 }, ...destinations);
}

function serveWith(
  { key, scheduler, flags }: { readonly key: ServiceKey; readonly scheduler: string; readonly flags: number },
  ...destinations: readonly (readonly [string, number])[]
): void {
  ipvs.putService({ key, scheduler, flags, timeout: 0, netmask: 32 });
  for (const [address, weight] of destinations) {
    const destination: Destination = { address: parseAddress(address), port: 8080, forwarding: "masquerade", weight };
    ipvs.putDestination(key, destination);
  }
}

const iptables = (table: string, rule: string) => node.exec("iptables-legacy", ["-t", table, ...rule.split(" ")]);

/** What the walk says, and what some connections find. */
async function compare(to = vip, port = 80, from: "client" | "node" = "client"): Promise<readonly string[]> {
  const snapshot = await capture(node.namespace);
  const own = from === "client" ? { source: parseAddress("10.1.0.2") } : {};
  const { ends } = walk(snapshot, {
    ...(from === "client" && { input: "eth0" }),
    packet: { family: "IPv4", ...own, destination: to, protocol: 6, destinationPort: port },
  });
  const followed = ends.map(({ outcome, state }) => {
    assert.deepEqual(state.assumptions, []);
    if (outcome.kind === "rejected" || outcome.kind === "no socket") return "refused";
    return "to" in outcome ? `${outcome.to.address} sees ${outcome.to.source}` : JSON.stringify(outcome);
  });
  const found = new Set<string>();
  for (let i = 0; i < 6; i++) {
    flushConntrack(tracker);
    const attempt = await attemptTcp(from === "client" ? client : node, { to, port, timeout: 2000 });
    found.add(attempt.kind === "answered" ? attempt.answer : attempt.kind);
  }
  assert.deepEqual([...new Set(followed)].sort(), [...found].sort());
  return [...found].sort();
}

test("by hand: every destination with a weight is reached, with the client's address", async () => {
  serve(web, "wrr", ["10.2.0.2", 2], ["10.2.0.3", 1]);
  assert.deepEqual(await compare(), ["10.2.0.2 sees 10.1.0.2", "10.2.0.3 sees 10.1.0.2"]);
  serve(web, "wrr", ["10.2.0.2", 0]);
  assert.deepEqual(await compare(), ["10.2.0.3 sees 10.1.0.2"]);
});

test("by hand: a service without destinations refuses, and so does a port that nobody serves", async () => {
  serve(web, "rr");
  assert.deepEqual(await compare(), ["refused"]);
  assert.deepEqual(await compare(vip, 81), ["refused"]);
});

test("by hand: what IPVS sends is masqueraded where the tracker sees it, and not where it does not", async () => {
  serve(web, "rr", ["10.2.0.2", 1]);
  iptables("nat", "-A POSTROUTING -o eth1 -j MASQUERADE");
  assert.deepEqual(await compare(), ["10.2.0.2 sees 10.2.0.1"]);
  node.sysctl("net/ipv4/vs/conntrack", 0);
  assert.deepEqual(await compare(), ["10.2.0.2 sees 10.1.0.2"]);
});

test("by hand: rules know what IPVS took", async () => {
  serve(web, "rr", ["10.2.0.2", 1]);
  iptables("nat", `-A POSTROUTING -m ipvs --ipvs --vaddr ${vip} --vport 80 --vmethod masq -j MASQUERADE`);
  assert.deepEqual(await compare(), ["10.2.0.2 sees 10.2.0.1"]);
  iptables("nat", "-F");
  iptables("nat", `-A POSTROUTING -m ipvs ! --ipvs -j MASQUERADE`);
  assert.deepEqual(await compare(), ["10.2.0.2 sees 10.1.0.2"]);
});

test("by hand: a service is found by the packet's mark", async () => {
  serve({ kind: "mark", family: "IPv4", mark: 7 }, "rr", ["10.2.0.3", 1]);
  iptables("mangle", `-A PREROUTING -d ${marked} -p tcp --dport 90 -j MARK --set-mark 7`);
  assert.deepEqual(await compare(marked, 90), ["10.2.0.3 sees 10.1.0.2"]);
  assert.deepEqual(await compare(marked, 91), ["refused"]);
});

test("by hand: connections of the node itself, and destinations on it", async () => {
  serve(web, "rr", ["10.2.0.2", 1]);
  assert.deepEqual(await compare(vip, 80, "node"), [`10.2.0.2 sees ${vip}`]);
  iptables("nat", "-A POSTROUTING -o eth1 -j MASQUERADE");
  assert.deepEqual(await compare(vip, 80, "node"), ["10.2.0.2 sees 10.2.0.1"]);
  ipvs.deleteService(web);
  serve(web, "rr", ["10.1.0.1", 1]);
  assert.deepEqual(await compare(), ["10.1.0.1 sees 10.1.0.2"]);
});

/** Whom one connection reaches, as the walk says and as it is. */
async function reached(to: Address, from: Address): Promise<string> {
  const packet = { family: "IPv4", source: from, destination: to, protocol: 6, destinationPort: 80 } as const;
  const { ends } = walk(await capture(node.namespace), { input: "eth0", packet });
  const told = ends.map(({ outcome }) => ("to" in outcome ? `${outcome.to.address} sees ${from}` : "refused"));
  const attempt = await attemptTcp(client, { from, to, port: 80, timeout: 2000 });
  assert.deepEqual(told, [attempt.kind === "answered" ? attempt.answer : attempt.kind], `${from} to ${to}`);
  return told[0]?.replace(/ sees .*/, "") ?? "";
}

test("by hand: the hash of a client's address leads where the walk says", async () => {
  const clients = Array.from({ length: 24 }, (_, i) => parseAddress(`10.1.0.${100 + i}`));
  client.address("eth0", ...clients.map((each) => `${each}/24`));
  const all = async () => new Set(await inTurn(clients, (from) => reached(vip, from)));
  serve(web, "sh", ["10.2.0.2", 3], ["10.2.0.3", 1]);
  assert.deepEqual(await all(), new Set(["10.2.0.2", "10.2.0.3"]));
  ipvs.deleteService(web);
  serve(web, "sh", ["10.2.0.2", 1], ["10.2.0.3", 0]);
  assert.deepEqual(await all(), new Set(["10.2.0.2", "refused"]));
  ipvs.deleteService(web);
  serveWith({ key: web, scheduler: "sh", flags: serviceFlag.hashFallback }, ["10.2.0.2", 1], ["10.2.0.3", 0]);
  assert.deepEqual(await all(), new Set(["10.2.0.2"]));
});

test("by hand: the hash of a service's address leads where the walk says", async () => {
  const vips = Array.from({ length: 8 }, (_, i) => parseAddress(`10.96.1.${i + 1}`));
  node.address("lo", ...vips.map((each) => `${each}/32`));
  for (const address of vips) {
    serve({ kind: "address", address, protocol: "TCP", port: 80 }, "dh", ["10.2.0.2", 1], ["10.2.0.3", 5]);
  }
  const found = await inTurn(vips, (to) => reached(to, parseAddress("10.1.0.2")));
  assert.deepEqual(new Set(found), new Set(["10.2.0.2", "10.2.0.3"]));
});

test("by hand: a destination behind a tunnel takes the packet out of it, and answers past the node", async () => {
  const routed = parseAddress("10.96.2.1");
  node.address("lo", `${routed}/32`);
  server.address("lo", `${routed}/32`);
  const listener = serveTcp(server, routed, 80, () => "server");
  after(() => listener.close());
  const key: ServiceKey = { kind: "address", address: routed, protocol: "TCP", port: 80 };
  ipvs.putService({ key, scheduler: "rr", flags: 0, timeout: 0, netmask: 32 });
  ipvs.putDestination(key, { address: parseAddress("10.2.0.2"), port: 80, forwarding: "tunnel", weight: 1 });
  const told = async () => {
    const packet = { family: "IPv4", destination: routed, protocol: 6, destinationPort: 80 } as const;
    const summary = summaryOf(walk(await captureSurroundings(client.namespace), { packet }, { answers: true }));
    const attempt = await attemptTcp(client, { to: routed, port: 80, timeout: summary === "delivered" ? 5000 : 500 });
    assert.equal(attempt.kind === "answered", summary === "delivered", summary);
    return summary;
  };
  assert.equal(await told(), "no neighbour");
  server.exec("ip", ["link", "set", "tunl0", "up"]);
  for (const name of ["all", "tunl0"]) server.sysctl(`net/ipv4/conf/${name}/rp_filter`, 1);
  assert.equal(await told(), "martian");
  for (const name of ["all", "tunl0"]) server.sysctl(`net/ipv4/conf/${name}/rp_filter`, 0);
  // The node, by which the answer goes, has the answer's source itself.
  assert.equal(await told(), "unanswered");
  node.sysctl("net/ipv4/conf/all/accept_local", 1);
  assert.equal(await told(), "delivered");
});

async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const found: R[] = [];
  for (const item of items) found.push(await work(item));
  return found;
}
