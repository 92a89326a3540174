/** Walks over several namespaces, held against what the kernel does with real packets on the same ways. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { parseMac, setBridgePort, setLink } from "../../src/kernel/route/index.ts";
import { type Address, parseAddress } from "../../src/net/address.ts";
import { summaryOf } from "../../src/trace/render/index.ts";
import { captureSurroundings, type Snapshot } from "../../src/trace/snapshot/index.ts";
import { stepsOf, type Walk, walk } from "../../src/trace/walk/index.ts";
import { type Host, TestNetwork } from "../support/network.ts";
import { attemptTcp, type Listener, openBound, openClient, serveTcp, serveUdp } from "../support/sockets.ts";

const network = new TestNetwork("places");
const [a, b] = [network.host("a"), network.host("b")];
/** Pods: two on a bridge of node a, one on a link of its own there, one on a bridge of node b. */
const pods = { p1: network.host("p1"), p2: network.host("p2"), r: network.host("r"), q: network.host("q") };
const hosts = { a, b, ...pods };
const addresses = { p1: "10.1.0.11", p2: "10.1.0.12", r: "10.1.9.9", q: "10.2.0.11", b: "192.0.2.2" } as const;
/** Services of node a: to p1, p2 and q. */
const services = { toP1: "10.96.0.1", toP2: "10.96.0.2", toQ: "10.96.0.3" } as const;
const targets = { ...addresses, ...services };
const port = 8080;
const vtep = { a: "02:00:00:00:0a:00", b: "02:00:00:00:0b:00" } as const;
const listeners: Listener[] = [];

function bridgePod(node: Host, link: string, pod: Host, address: string, gateway: string): void {
  network.join(node, link, pod, "eth0", "cbr0");
  pod.address("eth0", `${address}/24`);
  pod.addRoute("default", { via: gateway });
}

function vxlan(node: Host, own: string, mac: string): void {
  node.add(
    "vx",
    { kind: "vxlan", id: 1, port: 8472, local: parseAddress(own), learning: false },
    { mac: parseMac(mac) },
  );
  setLink(node.route, node.link("vx").index, { up: true, mtu: 1450 });
}

before(() => {
  for (const node of [a, b]) node.forwarding();
  network.bridge(a, "cbr0", "02:00:00:00:01:01");
  network.bridge(b, "cbr0", "02:00:00:00:02:01");
  a.address("cbr0", "10.1.0.1/24");
  b.address("cbr0", "10.2.0.1/24");
  bridgePod(a, "vp1", pods.p1, addresses.p1, "10.1.0.1");
  bridgePod(a, "vp2", pods.p2, addresses.p2, "10.1.0.1");
  bridgePod(b, "vq", pods.q, addresses.q, "10.2.0.1");
  // A link of its own, as Calico makes them: the pod's router is an address that nobody has.
  network.join(a, "cali1", pods.r, "eth0");
  a.exec("ip", ["route", "add", `${addresses.r}/32`, "dev", "cali1"]);
  a.sysctl("net/ipv4/conf/cali1/proxy_arp", 1);
  a.sysctl("net/ipv4/neigh/cali1/proxy_delay", 0);
  pods.r.address("eth0", `${addresses.r}/32`);
  pods.r.exec("ip", ["route", "add", "169.254.1.1", "dev", "eth0", "scope", "link"]);
  pods.r.exec("ip", ["route", "add", "default", "via", "169.254.1.1", "dev", "eth0"]);
  network.join(a, "eth0", b, "eth0");
  a.address("eth0", "192.0.2.1/24");
  b.address("eth0", "192.0.2.2/24");
  // Whoever speaks for others speaks for those to whom it has a route.
  a.addRoute("default", { via: "192.0.2.2" });
  // An overlay, as flannel makes it.
  vxlan(a, "192.0.2.1", vtep.a);
  vxlan(b, "192.0.2.2", vtep.b);
  a.exec("ip", ["addr", "add", "10.1.255.0/32", "dev", "vx"]);
  b.exec("ip", ["addr", "add", "10.2.255.0/32", "dev", "vx"]);
  for (const [node, prefix, via, mac, remote] of [
    [a, "10.2.0.0/16", "10.2.255.0", vtep.b, "192.0.2.2"],
    [b, "10.1.0.0/16", "10.1.255.0", vtep.a, "192.0.2.1"],
  ] as const) {
    node.exec("ip", ["neigh", "add", via, "lladdr", mac, "dev", "vx", "nud", "permanent"]);
    node.exec("bridge", ["fdb", "add", mac, "dev", "vx", "dst", remote, "self", "permanent"]);
    node.exec("ip", ["route", "add", prefix, "via", via, "dev", "vx", "onlink"]);
  }
  nft(
    a,
    `table ip services {
       chain pre { type nat hook prerouting priority -100
         ip daddr ${services.toP1} tcp dport 80 dnat to ${addresses.p1}:${port}
         ip daddr ${services.toP2} tcp dport 80 dnat to ${addresses.p2}:${port}
         ip daddr ${services.toQ} tcp dport 80 dnat to ${addresses.q}:${port}
       }
       chain post { type nat hook postrouting priority 100
         ip saddr ${addresses.p1} ip daddr ${addresses.p1} masquerade
       }
     }`,
  );
  for (const [name, pod] of Object.entries(pods)) {
    listeners.push(serveTcp(pod, parseAddress(addresses[name as keyof typeof pods]), port, () => name));
  }
});

after(() => {
  for (const listener of listeners) listener.close();
  network.close();
});

function nft(host: Host, rules: string): void {
  host.exec("nft", ["-f", "-"], { input: rules });
}

/** `p1 toP2`: who asks whom. */
type Row = `${keyof typeof hosts} ${keyof typeof targets}`;

/** What the walk says of rows, after the kernel was seen to do as it says. */
async function judged(rows: readonly Row[]): Promise<Record<string, { readonly told: string; readonly walked: Walk }>> {
  const snapshot = await captureSurroundings(a.namespace);
  const found = await Promise.all(
    rows.map(async (row) => {
      const [from, to] = row.split(" ") as [keyof typeof hosts, keyof typeof targets];
      const destination = parseAddress(targets[to]);
      const destinationPort = to in services ? 80 : port;
      const walked = walk(
        snapshot,
        { place: hosts[from].namespace, packet: { family: "IPv4", destination, protocol: 6, destinationPort } },
        { answers: true },
      );
      const told = summaryOf(walked);
      const attempt = await attemptTcp(hosts[from], {
        to: destination,
        port: destinationPort,
        timeout: patience(told),
      });
      const expected = told === "delivered" ? ["answered"] : told === "no socket" ? ["refused"] : ["silent", "failed"];
      assert.ok(
        expected.includes(attempt.kind),
        `${row}: the walk says ${told}, the kernel ${JSON.stringify(attempt)}`,
      );
      return [row, { told, walked }] as const;
    }),
  );
  return Object.fromEntries(found);
}

/** Milliseconds that an answer may take: long where one is expected, for the machine may be busy. */
const patience = (told: string) => (told === "delivered" || told === "no socket" ? 5000 : 250);

/** Holds rows against the kernel, and against what they are expected to be. */
async function expectRows(expected: Partial<Record<Row, string>>): Promise<void> {
  const found = await judged(Object.keys(expected) as Row[]);
  assert.deepEqual(Object.fromEntries(Object.entries(found).map(([row, { told }]) => [row, told])), expected);
}

test("packets go from pod to pod, over bridges, links of their own, a tunnel, and by Services, and are answered", async () => {
  await expectRows({
    "p1 p2": "delivered",
    "p1 r": "delivered",
    "r p1": "delivered",
    "p1 q": "delivered",
    "q r": "delivered",
    "p1 toP2": "delivered",
    "p1 toP1": "delivered",
    "p1 toQ": "delivered",
    "r toP1": "delivered",
    "q p2": "delivered",
    "a q": "delivered",
    "a p1": "delivered",
    "a b": "no socket",
  });
});

test("what marks a tunnel's packet marks what it carries", () =>
  during(
    () =>
      nft(
        b,
        `table ip marks {
           chain pre { type filter hook prerouting priority -150; udp dport 8472 meta mark set 7; }
           chain passing { type filter hook forward priority 0; meta mark 7 drop; }
         }`,
      ),
    () => nft(b, "delete table ip marks"),
    () => expectRows({ "p1 q": "dropped", "q p1": "unanswered" }),
  ));

/** Does something with the network, looks, and undoes it whatever comes of it. */
async function during(change: () => void, undo: () => void, look: () => Promise<unknown>): Promise<void> {
  change();
  try {
    await look();
  } finally {
    undo();
  }
}

const hairpin = (on: boolean) => setBridgePort(a.route, a.link("vp1").index, { hairpin: on });

test("a port that is not in hairpin mode keeps a pod from itself only", () =>
  during(
    () => hairpin(false),
    () => hairpin(true),
    () => expectRows({ "p1 toP1": "not bridged", "p1 toP2": "delivered", "p1 p2": "delivered" }),
  ));

test("bridges that keep packets from the rules of IP lose answers of pods of the same node", () =>
  during(
    () => a.sysctl("net/bridge/bridge-nf-call-iptables", 0),
    () => a.sysctl("net/bridge/bridge-nf-call-iptables", 1),
    async () => {
      await expectRows({ "p1 toP2": "unanswered", "p1 toQ": "delivered", "r toP1": "delivered" });
      // To itself a pod is routed, not bridged: no port has to be in hairpin mode.
      await during(
        () => hairpin(false),
        () => hairpin(true),
        () => expectRows({ "p1 toP1": "delivered" }),
      );
    },
  ));

test("without forwarding, pods reach only who is on their bridge, and that not by Services", () => {
  const forward = (value: number) => {
    a.sysctl("net/ipv4/ip_forward", value);
    // It resets what stands beside it.
    a.sysctl("net/ipv4/conf/cali1/proxy_arp", 1);
  };
  return during(
    () => forward(0),
    () => forward(1),
    () =>
      expectRows({
        "p1 p2": "delivered",
        "p1 toP2": "forwarding off",
        "p1 toQ": "forwarding off",
        "p1 q": "forwarding off",
      }),
  );
});

test("rules for frames on a bridge are asked", async () => {
  const chain = (rules: string) => nft(a, `table bridge frames { chain c { type filter hook ${rules}; }; }`);
  const clear = () => nft(a, "delete table bridge frames");
  await during(
    () => chain(`forward priority -10; ip daddr ${addresses.p2} tcp dport ${port} drop`),
    clear,
    () => expectRows({ "p1 p2": "dropped", "p1 toP2": "dropped", "r p1": "delivered" }),
  );
  await during(
    () => chain("prerouting priority -300; iifname vp1 drop"),
    clear,
    () => expectRows({ "p1 toQ": "dropped", "q p1": "unanswered", "q p2": "delivered" }),
  );
});

test("a router that nobody speaks for is not found", async () => {
  const speak = (value: number) => {
    a.sysctl("net/ipv4/conf/cali1/proxy_arp", value);
    pods.r.exec("ip", ["neigh", "flush", "dev", "eth0"]);
  };
  await during(
    () => speak(0),
    () => speak(1),
    () => expectRows({ "r p1": "no neighbour" }),
  );
});

test("a tunnel needs to know the remote, and the hardware address there", async () => {
  const entry = (verb: string, mac: string) =>
    a.exec("bridge", ["fdb", verb, mac, "dev", "vx", "dst", "192.0.2.2", "self"]);
  await during(
    () => entry("del", vtep.b),
    () => entry("add", vtep.b),
    () => expectRows({ "p1 q": "no neighbour", "p1 r": "delivered" }),
  );
  // What a node left behind that was made anew.
  const old = "02:00:00:00:0b:99";
  const router = (mac: string) =>
    a.exec("ip", ["neigh", "replace", "10.2.255.0", "lladdr", mac, "dev", "vx", "nud", "permanent"]);
  await during(
    () => {
      router(old);
      entry("add", old);
    },
    () => {
      router(vtep.b);
      entry("del", old);
    },
    async () => {
      const found = await judged(["p1 q"]);
      const [end] = found["p1 q"]?.walked.ends ?? [];
      assert.ok(
        end?.outcome.kind === "no neighbour" && /for 02:00:00:00:0b:99, and comes to .*-b vx/.test(end.outcome.why),
      );
    },
  );
});

test("policy rules, and wrong addresses of neighbours, are found on the way", async () => {
  const rule = (verb: string) => a.exec("ip", ["rule", verb, "from", addresses.p1, "to", "10.2.0.0/16", "unreachable"]);
  await during(
    () => rule("add"),
    () => rule("del"),
    () => expectRows({ "p1 q": "no route", "q r": "delivered" }),
  );
  await during(
    () =>
      a.exec("ip", [
        "neigh",
        "replace",
        addresses.p2,
        "lladdr",
        "02:00:00:00:99:99",
        "dev",
        "cbr0",
        "nud",
        "permanent",
      ]),
    () => a.exec("ip", ["neigh", "del", addresses.p2, "dev", "cbr0"]),
    () => expectRows({ "r p2": "no neighbour", "p1 p2": "delivered" }),
  );
});

test("an answer that another node's rules drop is lost, and that is said", () =>
  during(
    () =>
      nft(
        b,
        `table ip strict { chain passing { type filter hook forward priority 0; ip saddr ${addresses.q} ct state established drop; }; }`,
      ),
    () => nft(b, "delete table ip strict"),
    async () => {
      const found = await judged(["p1 q", "p1 toQ"]);
      assert.deepEqual(
        Object.values(found).map(({ told }) => told),
        ["unanswered", "unanswered"],
      );
      const answer = found["p1 toQ"]?.walked.ends[0]?.answers?.[0];
      assert.equal(answer?.state.place, b.namespace);
      assert.deepEqual(answer?.outcome, { kind: "dropped", by: "ip strict passing rule 1" });
    },
  ));

test("long packets and short lives end where the kernel ends them", async () => {
  let length = 0;
  // The answer is as long as the question.
  const echo = () => "x".repeat(length - headers);
  for (const name of ["p2", "q"] as const) {
    listeners.push(serveUdp(pods[name], parseAddress(addresses[name]), port, echo));
  }
  let snapshot = await captureSurroundings(a.namespace);
  const told = async (to: "p2" | "q", bytes: number, ttl: number) => {
    length = bytes;
    const destination = parseAddress(addresses[to]);
    const packet = { family: "IPv4", destination, protocol: 17, destinationPort: port } as const;
    const walked = walk(
      snapshot,
      { place: pods.p1.namespace, packet: { ...packet, length, dontFragment: true, ttl } },
      { answers: true },
    );
    const summary = summaryOf(walked);
    const answered = await sendDatagram(pods.p1, destination, bytes - headers, ttl, patience(summary));
    assert.equal(summary === "delivered", answered, `${bytes} bytes to ${to}, time to live ${ttl}: ${summary}`);
    return summary;
  };
  assert.equal(await told("q", 1450, 64), "delivered");
  assert.equal(await told("q", 1451, 64), "too long");
  assert.equal(await told("q", 100, 3), "delivered");
  assert.equal(await told("q", 100, 2), "loop");
  const mtu = (value: number) => setLink(pods.p2.route, pods.p2.link("eth0").index, { mtu: value });
  await during(
    () => mtu(1280),
    () => mtu(1500),
    async () => {
      snapshot = await captureSurroundings(a.namespace);
      assert.equal(await told("p2", 1285, 64), "too long");
      assert.equal(await told("p2", 1280, 64), "delivered");
    },
  );
});

test("snapshots of two machines are joined by the wire between them", async () => {
  const whole = await captureSurroundings(a.namespace);
  const all = [whole, ...(whole.places ?? [])];
  const placeOf = (host: Host) => all.find(({ name }) => name === host.namespace);
  /** As if it were of a machine of its own, whose wire is no pair of links. */
  const machine = (id: string, node: Host, ...inside: readonly Host[]): Snapshot => {
    const moved = (place: Snapshot | undefined): Snapshot => {
      assert.ok(place?.identity !== undefined);
      const other = (identity: string) => identity.replace(/^[^/]*/, id);
      return {
        ...place,
        identity: other(place.identity),
        namespaces: (place.namespaces ?? []).map((each) => ({ ...each, identity: other(each.identity) })),
      };
    };
    const { places: _, ...own } = moved(placeOf(node));
    const links = own.links.map((link) => {
      if (link.name !== "eth0") return link;
      const { kind: _k, link: _l, linkNamespace: _n, ...wire } = link;
      return wire;
    });
    return { ...own, links, places: inside.map((host) => moved(placeOf(host))) };
  };
  const one = machine("one", a, pods.p1, pods.p2, pods.r);
  const two = machine("two", b, pods.q);
  const ask = (snapshots: readonly Snapshot[]) =>
    walk(
      snapshots,
      {
        place: pods.p1.namespace,
        packet: { family: "IPv4", destination: parseAddress(services.toQ), protocol: 6, destinationPort: 80 },
      },
      { answers: true },
    );
  const [end, ...others] = ask([one, two]).ends;
  assert.equal(others.length, 0);
  assert.deepEqual([end?.outcome.kind, end?.state.place], ["delivered", pods.q.namespace]);
  assert.deepEqual(
    end?.answers?.map(({ outcome, state }) => [outcome.kind, state.place]),
    [["delivered", pods.p1.namespace]],
  );
  // Without the other's snapshot it leaves what is known, in the tunnel.
  const [alone] = ask([one]).ends;
  assert.ok(alone?.outcome.kind === "forwarded" && alone.outcome.interface === "eth0");
  assert.equal(alone.outcome.to.address, "192.0.2.2");
});

test("a connection that is tracked goes where it went before, and its answers are known as such", async () => {
  const client = openClient(pods.p1, parseAddress(services.toQ));
  client.connect({ host: services.toQ, port: 80 });
  await once(client, "data");
  const sourcePort = client.localPort ?? 0;
  try {
    // A new connection would go to p2 now.
    const snapshot = await captureSurroundings(a.namespace);
    const rules = snapshot.nftables.rules.filter(({ chain }) => chain !== "pre");
    const without = { ...snapshot, nftables: { ...snapshot.nftables, rules } };
    const packet = { family: "IPv4", protocol: 6, sourcePort } as const;
    const there = { destination: parseAddress(services.toQ), destinationPort: 80 };
    const [end] = walk(without, { place: pods.p1.namespace, packet: { ...packet, ...there } }, { answers: true }).ends;
    assert.deepEqual([end?.outcome.kind, end?.state.place], ["delivered", pods.q.namespace]);
    const tracked = end && stepsOf(end.state).find((step) => step.kind === "tracked");
    assert.ok(tracked?.kind === "tracked" && tracked.real && tracked.direction === "original");
    // The other way round: what q sends in this connection, as from its address, gets the Service's back.
    const back = { destination: parseAddress(addresses.p1), destinationPort: sourcePort, sourcePort: port };
    const [answer] = walk(without, { place: pods.q.namespace, packet: { ...packet, ...back } }).ends;
    assert.equal(answer?.state.packet.source, services.toQ);
    assert.equal(answer?.state.packet.sourcePort, 80);
  } finally {
    client.destroy();
  }
});

test("a tunnel that leads into itself, and routes in a circle, come to an end", async () => {
  const rule = (verb: string) =>
    a.exec("ip", ["route", verb, "192.0.2.2/32", "via", "10.2.255.0", "dev", "vx", "onlink"]);
  await during(
    () => rule("add"),
    () => rule("del"),
    () => expectRows({ "p1 q": "loop" }),
  );
  const circle = (verb: string) => b.exec("ip", ["route", verb, "10.3.0.0/16", "via", "192.0.2.1"]);
  await during(
    () => circle("add"),
    () => circle("del"),
    async () => {
      const destination = parseAddress("10.3.0.1");
      const packet = { family: "IPv4", destination, protocol: 6, destinationPort: 80 } as const;
      const walked = walk(await captureSurroundings(a.namespace), { place: pods.p1.namespace, packet });
      assert.equal(summaryOf(walked), "loop");
    },
  );
});

test("whatever is missing or wrong in a snapshot, a walk comes to an end without an error", async () => {
  const whole = await captureSurroundings(a.namespace);
  const packet = { family: "IPv4", destination: parseAddress(services.toQ), protocol: 6, destinationPort: 80 } as const;
  const lists = ["links", "addresses", "neighbours", "fdb", "rules", "routes", "conntrack", "sockets"] as const;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(10), fc.constantFrom(...lists), fc.nat(40), fc.nat(40)), { maxLength: 8 }),
      (changes) => {
        const places = [whole, ...(whole.places ?? [])].map(({ places: _, ...place }) => place as Snapshot);
        for (const [at, name, from, to] of changes) {
          const place = places[at % places.length];
          if (place === undefined) continue;
          // One entry goes, or takes the place of another.
          const list: unknown[] = [...place[name]];
          if (from % 2 === 0) list.splice(to, 1);
          else if (list[from] !== undefined) list[to % list.length] = list[from];
          places[at % places.length] = { ...place, [name]: list } as Snapshot;
        }
        try {
          assert.ok(walk(places, { place: pods.p1.namespace, packet }, { answers: true }).ends.length > 0);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      },
    ),
    { numRuns: 50 },
  );
});

/** Bytes of the headers of IP and UDP. */
const headers = 28;

/** Sends a datagram that must not be cut, the first that its sender sends there. @returns whether an answer came. */
async function sendDatagram(from: Host, to: Address, bytes: number, ttl: number, timeout: number): Promise<boolean> {
  const socket = createSocket("udp4");
  const bound = once(socket, "listening");
  socket.bind({ fd: openBound(from, "UDP", parseAddress("0.0.0.0"), 0) });
  await bound;
  try {
    socket.setTTL(ttl);
    const answer = once(socket, "message", { signal: AbortSignal.timeout(timeout) }).then(
      () => true,
      () => false,
    );
    socket.send(Buffer.alloc(bytes), port, to);
    return await answer;
  } finally {
    socket.close();
  }
}
