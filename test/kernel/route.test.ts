/** rtnetlink against the kernel, judged by `ip -j` and `bridge -j`. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  listNamespaces,
  namespaceId,
} from "../../src/kernel/namespace.ts";
import { isAlreadyExists, isNotFound, isNotSupported, type NetlinkSocket } from "../../src/kernel/netlink/index.ts";
import {
  addAddress,
  addRoute,
  addRule,
  appendFdbEntry,
  createLink,
  deleteAddress,
  deleteFdbEntry,
  deleteLink,
  deleteNeighbour,
  deleteRoute,
  deleteRule,
  findLink,
  type Link,
  listAddresses,
  listFdb,
  listLinks,
  listNeighbours,
  listRoutes,
  listRules,
  lookupRoute,
  openRoute,
  parseMac,
  type RouteEvent,
  RouteMonitor,
  replaceRoute,
  setBridgePort,
  setFdbEntry,
  setLink,
  setNeighbour,
} from "../../src/kernel/route/index.ts";
import { parseAddress } from "../../src/net/address.ts";
import { parsePrefix } from "../../src/net/prefix.ts";

const here = `ptl-route-${process.pid}-a`;
const there = `ptl-route-${process.pid}-b`;
let socket: NetlinkSocket;

before(() => {
  createNamespace(here);
  createNamespace(there);
  socket = openRoute(here);
});

after(() => {
  socket.close();
  deleteNamespace(here);
  deleteNamespace(there);
});

type Json = Record<string, unknown>;

/** What a program of iproute2 says, as JSON. */
function judge(program: "ip" | "bridge", ...args: readonly string[]): Json[] {
  return JSON.parse(
    inNamespace(here, () => execFileSync(program, ["-j", "-d", ...args], { encoding: "utf8" })) || "[]",
  );
}

function linkOf(name: string): Link {
  const link = findLink(socket, name);
  assert.ok(link, `link ${name}`);
  return link;
}

test("namespaces are made, listed and removed as ip netns does, and a thread comes back from them", () => {
  assert.ok(listNamespaces().includes(here));
  assert.match(execFileSync("ip", ["netns", "list"], { encoding: "utf8" }), new RegExp(`^${here}`, "m"));
  const home = namespaceId();
  assert.equal(
    inNamespace(here, () => namespaceId()),
    namespaceId(here),
  );
  assert.equal(namespaceId(), home);
  assert.throws(
    () =>
      inNamespace(here, () => {
        throw new Error("inside");
      }),
    /inside/,
  );
  assert.equal(namespaceId(), home);
  assert.throws(() => createNamespace(here), { code: "EEXIST" });
  assert.throws(() => inNamespace("ptl-route-none", () => 0), { code: "ENOENT" });
  for (const bad of ["", "..", "a/b", "a\0b"]) assert.throws(() => createNamespace(bad), TypeError);
});

test("links of every kind are made as ip link would, and read as ip link reads them", () => {
  createLink(socket, "br0", { kind: "bridge" }, { up: true, mtu: 1400 });
  const bridge = linkOf("br0").index;
  createLink(
    socket,
    "veth0",
    { kind: "veth", peer: { name: "eth0", namespace: there, mac: parseMac("02:00:00:00:00:02"), up: true } },
    { master: bridge, mac: parseMac("02:00:00:00:00:01"), up: true, mtu: 1400 },
  );
  createLink(socket, "vx0", { kind: "vxlan", id: 42, port: 8472, local: parseAddress("192.0.2.1"), learning: false });
  setBridgePort(socket, linkOf("veth0").index, { hairpin: true, learning: false });
  const said = judge("ip", "link", "show");
  const read = listLinks(socket);
  assert.deepEqual(
    read.map(({ index, name, mtu, mac, up }) => ({ index, name, mtu, mac, up })),
    said.map((link) => ({
      index: link.ifindex,
      name: link.ifname,
      mtu: link.mtu,
      mac: link.address,
      up: (link.flags as string[]).includes("UP"),
    })),
  );
  const info = (name: string) => said.find(({ ifname }) => ifname === name)?.linkinfo as Json;
  assert.deepEqual(linkOf("vx0").details, {
    kind: "vxlan",
    id: 42,
    port: 8472,
    learning: false,
    local: "192.0.2.1",
  });
  const vxlan = info("vx0").info_data as Json;
  assert.deepEqual([vxlan.id, vxlan.port, vxlan.local, vxlan.learning], [42, 8472, "192.0.2.1", false]);
  const veth = linkOf("veth0");
  assert.equal(veth.kind, "veth");
  assert.equal(veth.master, bridge);
  assert.deepEqual(veth.port, { state: 3, hairpin: true, learning: false, flood: true });
  assert.equal((info("veth0").info_slave_data as Json).hairpin, true);
  assert.equal(typeof veth.linkNamespace, "number");
  using other = openRoute(there);
  const peer = findLink(other, "eth0");
  assert.equal(peer?.index, veth.link);
  assert.equal(peer?.mac, "02:00:00:00:00:02");
  assert.throws(() => createLink(socket, "br0", { kind: "bridge" }), isAlreadyExists);
  assert.throws(() => createLink(socket, "a-name-too-long-for-it", { kind: "bridge" }), /link a-name-too-long-for-it/);
});

test("a link is renamed, moved, taken down and removed", () => {
  createLink(socket, "one", { kind: "veth", peer: { name: "two" } });
  setLink(socket, linkOf("one").index, { name: "uno", mtu: 1300, up: true });
  assert.deepEqual([linkOf("uno").mtu, linkOf("uno").up], [1300, true]);
  setLink(socket, linkOf("uno").index, { up: false });
  assert.equal(linkOf("uno").up, false);
  setLink(socket, linkOf("two").index, { namespace: there });
  assert.equal(findLink(socket, "two"), undefined);
  using other = openRoute(there);
  assert.ok(findLink(other, "two"));
  deleteLink(socket, linkOf("uno").index);
  assert.equal(findLink(other, "two"), undefined, "the peer goes too");
  assert.throws(() => deleteLink(socket, 999_999), isNotFound);
});

test("a kind of link that the kernel lacks is refused in words", () => {
  try {
    createLink(socket, "dummy0", { kind: "dummy" });
    deleteLink(socket, linkOf("dummy0").index);
  } catch (error) {
    assert.ok(isNotSupported(error), String(error));
    assert.match(String(error), /create dummy link dummy0: EOPNOTSUPP/);
  }
});

test("addresses are added, read as ip addr reads them, and removed", () => {
  const index = linkOf("br0").index;
  for (const [address, prefixLength] of [
    ["10.1.0.1", 24],
    ["10.1.0.2", 24],
    ["fd00:1::1", 64],
  ] as const) {
    addAddress(socket, { interface: index, address: parseAddress(address), prefixLength, withoutDetection: true });
  }
  const read = listAddresses(socket).filter((address) => address.interface === index && address.scope === 0);
  const said = judge("ip", "addr", "show", "dev", "br0")[0]?.addr_info as Json[];
  assert.deepEqual(
    read.map((each) => [each.address, each.prefixLength, each.secondary, each.tentative, each.permanent]),
    said
      .filter(({ scope }) => scope === "global")
      .map((each) => [each.local, each.prefixlen, each.secondary === true, each.tentative === true, true]),
  );
  const gone = { interface: index, address: parseAddress("10.1.0.2"), prefixLength: 24 };
  assert.throws(() => addAddress(socket, gone), isAlreadyExists);
  deleteAddress(socket, gone);
  assert.throws(() => deleteAddress(socket, gone), isNotFound);
  assert.ok(!listAddresses(socket, "IPv4").some(({ address }) => address === gone.address));
});

test("routes of all tables are added, read as ip route reads them, looked up and removed", () => {
  const index = linkOf("br0").index;
  const via = (address: string) => ({ interface: index, gateway: parseAddress(address) });
  addRoute(socket, { destination: parsePrefix("0.0.0.0/0"), nextHops: [via("10.1.0.254")] });
  addRoute(socket, { destination: parsePrefix("10.2.0.0/16"), nextHops: [{ interface: index }], mtu: 1200 });
  addRoute(socket, {
    destination: parsePrefix("10.3.0.0/16"),
    nextHops: [{ ...via("10.1.0.3"), weight: 2 }, via("10.1.0.4")],
    table: 1000,
    priority: 7,
  });
  addRoute(socket, { destination: parsePrefix("10.4.0.0/16"), type: "blackhole" });
  addRoute(socket, { destination: parsePrefix("10.5.0.0/16"), nextHops: [via("fd00:1::9")] });
  addRoute(socket, { destination: parsePrefix("10.6.0.0/16"), nextHops: [{ ...via("172.16.0.1"), onLink: true }] });
  addRoute(socket, {
    destination: parsePrefix("203.0.113.0/24"),
    type: "local",
    table: 255,
    nextHops: [{ interface: 1 }],
  });
  addRoute(socket, { destination: parsePrefix("fd00:2::/64"), nextHops: [via("fd00:1::2"), via("fd00:1::3")] });
  const names = new Map(listLinks(socket).map((link) => [link.index, link.name]));
  const describe = (hops: readonly { interface?: number; gateway?: string; weight: number }[]) =>
    hops.map((hop) => [names.get(hop.interface ?? 0), hop.gateway, hop.weight]);
  const said = [4, 6].flatMap((family) =>
    judge("ip", `-${family}`, "route", "show", "table", "all").map((route): Json => ({ ...route, family })),
  );
  const tables: Record<string, number> = { local: 255, main: 254, default: 253 };
  const canonical = ({ dst, family }: Json) => {
    if (dst === "default") return family === 6 ? "::/0" : "0.0.0.0/0";
    return String(dst).includes("/") ? dst : `${dst}/${family === 6 ? 128 : 32}`;
  };
  const sortable = (rows: unknown[][]) => rows.map((row) => JSON.stringify(row)).sort();
  const gatewayOf = (each: Json) => each.gateway ?? (each.via as Json | undefined)?.host;
  assert.deepEqual(
    sortable(
      listRoutes(socket).map((route) => [
        route.destination,
        route.type,
        route.table,
        route.priority,
        describe(route.nextHops),
      ]),
    ),
    sortable(
      said.map((route) => [
        canonical(route),
        route.type,
        tables[String(route.table ?? "main")] ?? Number(route.table),
        route.metric ?? 0,
        ((route.nexthops as Json[] | undefined) ?? (route.dev === undefined ? [] : [route])).map((hop) => [
          hop.dev,
          gatewayOf(hop),
          hop.weight ?? 1,
        ]),
      ]),
    ),
  );
  assert.equal(listRoutes(socket, { table: 1000 }).length, 1);
  assert.equal(listRoutes(socket).find(({ destination }) => destination === "10.2.0.0/16")?.mtu, 1200);
  assert.equal(lookupRoute(socket, parseAddress("198.51.100.1")).nextHops[0]?.gateway, "10.1.0.254");
  assert.equal(lookupRoute(socket, parseAddress("203.0.113.7")).type, "local");
  assert.throws(() => lookupRoute(socket, parseAddress("fd00:99::1")), /ENETUNREACH/);
  replaceRoute(socket, { destination: parsePrefix("0.0.0.0/0"), nextHops: [via("10.1.0.253")] });
  assert.equal(lookupRoute(socket, parseAddress("198.51.100.1")).nextHops[0]?.gateway, "10.1.0.253");
  deleteRoute(socket, { destination: parsePrefix("0.0.0.0/0") });
  assert.throws(() => deleteRoute(socket, { destination: parsePrefix("0.0.0.0/0") }), isNotFound);
  assert.throws(
    () => addRoute(socket, { destination: parsePrefix("10.4.0.0/16"), type: "blackhole" }),
    isAlreadyExists,
  );
});

test("rules are added, read as ip rule reads them, and removed", () => {
  const added = {
    family: "IPv4",
    priority: 100,
    action: { kind: "lookup", table: 1000 },
    source: parsePrefix("10.1.0.0/24"),
    inInterface: "br0",
    mark: { value: 0x4000, mask: 0xff00 },
    protocol: 6,
    destinationPorts: { first: 80, last: 443 },
  } as const;
  addRule(socket, added);
  const read = listRules(socket, "IPv4");
  assert.deepEqual(
    read.map(({ priority }) => priority),
    judge("ip", "rule").map(({ priority }) => priority),
  );
  assert.deepEqual(
    read.find(({ priority }) => priority === 100),
    { ...added, vrf: false, invert: false },
  );
  const said = judge("ip", "rule").find(({ priority }) => priority === 100);
  assert.deepEqual(
    [said?.src, said?.srclen, said?.iif, said?.fwmark, said?.fwmask, said?.table],
    ["10.1.0.0", 24, "br0", "0x4000", "0xff00", "1000"],
  );
  deleteRule(socket, added);
  assert.ok(!listRules(socket).some(({ priority }) => priority === 100));
  assert.throws(() => deleteRule(socket, added), isNotFound);
});

test("neighbours and forwarding entries are set, read as ip neigh and bridge fdb read them, and removed", () => {
  const [bridge, vxlan] = [linkOf("br0").index, linkOf("vx0").index];
  const mac = parseMac("02:00:00:00:00:77");
  setNeighbour(socket, { interface: bridge, address: parseAddress("10.1.0.77"), mac });
  setNeighbour(socket, { interface: bridge, address: parseAddress("fd00:1::77"), mac });
  assert.deepEqual(
    listNeighbours(socket)
      .filter((each) => each.interface === bridge && each.mac === mac)
      .map(({ address, state }) => [address, state]),
    [...judge("ip", "-4", "neigh"), ...judge("ip", "-6", "neigh")]
      .filter(({ lladdr }) => lladdr === mac)
      .map(({ dst, state }) => [dst, String((state as string[])[0]).toLowerCase()]),
  );
  deleteNeighbour(socket, { interface: bridge, address: parseAddress("10.1.0.77") });
  const destination = parseAddress("192.0.2.9");
  setFdbEntry(socket, { interface: vxlan, mac, destination });
  const flood = { interface: vxlan, mac: parseMac("00:00:00:00:00:00"), destination };
  appendFdbEntry(socket, flood);
  appendFdbEntry(socket, { ...flood, destination: parseAddress("192.0.2.10") });
  const read = listFdb(socket).map((each) => `${each.interface} ${each.mac} ${each.destination ?? ""}`);
  const names = new Map(listLinks(socket).map((link) => [link.name, link.index]));
  const said = judge("bridge", "fdb", "show").map(
    (each) => `${names.get(String(each.ifname))} ${each.mac} ${each.dst ?? ""}`,
  );
  assert.deepEqual(read.sort(), said.sort());
  deleteFdbEntry(socket, flood);
  assert.equal(listFdb(socket).filter((each) => each.interface === vxlan).length, 2);
  assert.throws(() => deleteFdbEntry(socket, { ...flood, mac: parseMac("02:00:00:00:00:78") }), isNotFound);
});

test("changes are reported as they happen", async () => {
  using monitor = inNamespace(here, () => new RouteMonitor(["links", "addresses", "routes", "neighbours"]));
  createLink(socket, "ev0", { kind: "veth", peer: { name: "ev1", up: true } }, { up: true });
  const index = linkOf("ev0").index;
  addAddress(socket, { interface: index, address: parseAddress("10.7.0.1"), prefixLength: 24 });
  setNeighbour(socket, { interface: index, address: parseAddress("10.7.0.9"), mac: parseMac("02:00:00:00:00:09") });
  deleteLink(socket, index);
  const seen: string[] = [];
  const done = AbortSignal.timeout(5000);
  for await (const event of monitor.events(done)) {
    seen.push(describeEvent(event));
    if (event.kind === "link" && event.change === "gone" && event.link.name === "ev0") break;
  }
  for (const wanted of [
    "link present ev0",
    "address present 10.7.0.1",
    "route present 10.7.0.0/24",
    "neighbour present 10.7.0.9",
    "address gone 10.7.0.1",
    "link gone ev0",
  ]) {
    assert.ok(seen.includes(wanted), `${wanted} in ${seen.join(", ")}`);
  }
  const end = new AbortController();
  setTimeout(() => end.abort(), 10);
  for await (const event of monitor.events(end.signal)) describeEvent(event);
});

function describeEvent(event: RouteEvent): string {
  switch (event.kind) {
    case "link":
      return `link ${event.change} ${event.link.name}`;
    case "address":
      return `address ${event.change} ${event.address.address}`;
    case "route":
      return `route ${event.change} ${event.route.destination}`;
    case "neighbour":
      return `neighbour ${event.change} ${event.neighbour.address}`;
    default:
      return event.kind;
  }
}
