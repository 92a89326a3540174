/** IPVS and the ipvs mode on a kernel that has them; runs in a virtual machine. `ipvsadm`, `ipset` and `iptables` judge. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { formatService, Ipvs, type ServiceKey, serviceFlag } from "../../src/kernel/ipvs/index.ts";
import { readSysctl } from "../../src/kernel/sysctl.ts";
import { findXtables } from "../../src/kernel/xtables/xtables.ts";
import { parseAddress } from "../../src/net/address.ts";
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { ipvs as factory } from "../../src/proxy/modes/ipvs/index.ts";
import { IpvsMode } from "../../src/proxy/modes/ipvs/mode.ts";
import type { Desired } from "../../src/proxy/modes/mode.ts";
import { type Decision, decisionKey } from "../../src/service/decision.ts";
import { defaultIpvsSettings } from "../../src/service/settings.ts";
import { goldenDesired } from "../golden/iptables/objects.ts";

const signal = new AbortController().signal;
const ipvs = new Ipvs();
const drainEvery = 50;

// The node of the golden objects, which is its own endpoint in the other tests.
for (const command of [
  "link add eth0 type dummy",
  "link set eth0 up",
  "addr add 192.168.0.2/24 dev eth0",
  "addr add 192.168.0.3/24 dev eth0",
  "-6 addr add fd00:192::2/64 dev eth0 nodad",
  "route add default via 192.168.0.254",
]) {
  execFileSync("ip", command.split(" "));
}
const first = "192.168.0.2:8080";
const second = "192.168.0.3:8080";
const server = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.write("hello");
  socket.pipe(socket);
}).listen(8080, "0.0.0.0");

async function makeMode(): Promise<IpvsMode> {
  const xtables = (await findXtables()).get("legacy");
  assert.ok(xtables);
  return new IpvsMode(xtables, drainEvery);
}

const mode = await makeMode();

after(async () => {
  mode.close();
  ipvs.close();
  server.close();
});

function lines(program: string, ...args: readonly string[]): readonly string[] {
  return execFileSync(program, args, { encoding: "utf8" })
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
}

const vip = parseAddress("10.96.0.10");
const web = { kind: "address", address: vip, protocol: "TCP", port: 80 } as const;

/** A Service with these endpoints, `10.180.0.1:8080`, at 10.96.0.10:80. */
function serviceOf(endpoints: readonly string[], change: Partial<Decision> = {}): Decision {
  const outcome = { kind: "balance", pool: "cluster", masquerade: false } as const;
  const refused = { kind: "reject" } as const;
  const is = endpoints.length > 0 ? outcome : refused;
  return {
    service: { namespace: "shop", name: "web", port: "http", protocol: "TCP" },
    family: "IPv4",
    frontEnds: [{ kind: "ClusterIP", address: vip, port: 80, outcomes: { pod: is, node: is, other: is } }],
    cluster: endpoints.map((text) => {
      const [address = "", port] = text.split(":");
      return { address: parseAddress(address), port: Number(port), local: false };
    }),
    local: [],
    affinitySeconds: 0,
    ...change,
  };
}

/** The same at 10.96.0.10:53 of UDP. */
function dnsOf(endpoints: readonly string[]): Decision {
  const decision = serviceOf(endpoints);
  const frontEnds = decision.frontEnds.map((frontEnd) => ({ ...frontEnd, port: 53 }));
  return { ...decision, frontEnds, service: { ...decision.service, port: "dns", protocol: "UDP" } };
}

function run(command: string): void {
  const [program = "", ...args] = command.split(" ");
  execFileSync(program, args);
}

function desiredOf(...decisions: readonly Decision[]): Desired {
  const { settings } = goldenDesired();
  return { settings, decisions: new Map(decisions.map((each) => [decisionKey(each.service, each.family), each])) };
}

const change = (decision: Decision) => mode.apply(desiredOf(decision).decisions, signal);

function weights(): Readonly<Record<string, number>> {
  return Object.fromEntries(ipvs.destinations(web).map(({ address, weight }) => [address, weight]));
}

async function until(condition: () => boolean, what: string, patience = 2000): Promise<void> {
  for (const start = performance.now(); !condition(); await sleep(20)) {
    if (performance.now() - start > patience) assert.fail(`${what}: ${JSON.stringify(weights())}`);
  }
}

/** What becomes of a connection to the Service: what the server says first, or the error's code. */
async function tryConnect(): Promise<string> {
  const socket = connect({ port: 80, host: vip, timeout: 1000 });
  try {
    return String((await once(socket, "data", { signal: AbortSignal.timeout(2000) }))[0]);
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  } finally {
    socket.destroy();
  }
}

test("IPVS: the program ipvsadm shows virtual services of every scheduler as they were made", () => {
  const schedulers = ["rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "lblc", "lblcr", "fo", "ovf"];
  for (const [i, scheduler] of schedulers.entries()) {
    ipvs.putService({ key: { ...web, port: 1000 + i }, scheduler, flags: 0, timeout: 0, netmask: 32 });
  }
  const key = { kind: "address", address: parseAddress("fd00::1"), protocol: "SCTP", port: 7 } as const;
  ipvs.putService({ key, scheduler: "rr", flags: serviceFlag.persistent, timeout: 100, netmask: 64 });
  const destination = { address: parseAddress("fd00::2"), port: 70, forwarding: "masquerade", weight: 3 } as const;
  ipvs.putDestination(key, destination);
  ipvs.putDestination(key, { ...destination, weight: 4 });
  const mark = { kind: "mark", family: "IPv4", mark: 5 } as const;
  ipvs.putService({ key: mark, scheduler: "wlc", flags: 0, timeout: 0, netmask: 32 });
  const shown = lines("ipvsadm", "-Sn");
  for (const [i, scheduler] of schedulers.entries()) {
    assert.ok(shown.includes(`-A -t 10.96.0.10:${1000 + i} -s ${scheduler}`), scheduler);
  }
  assert.ok(shown.includes("-A -f 5 -s wlc"));
  assert.ok(
    shown.some((line) => line.startsWith("-A --sctp-service [fd00::1]:7 -s rr -p 100 -M 64")),
    String(shown),
  );
  assert.ok(shown.includes("-a --sctp-service [fd00::1]:7 -r [fd00::2]:70 -m -w 4"), String(shown));
  assert.equal(ipvs.services().length, schedulers.length + 2);
  assert.deepEqual(ipvs.service(mark), { key: mark, scheduler: "wlc", flags: 2, timeout: 0, netmask: 32 });
  assert.deepEqual(ipvs.destinations(key), [{ ...destination, weight: 4, active: 0, inactive: 0, persistent: 0 }]);
  assert.equal(ipvs.deleteDestination(key, destination), true);
  assert.equal(ipvs.deleteDestination(key, destination), false);
  assert.equal(ipvs.deleteService(key), true);
  assert.equal(ipvs.deleteService(key), false);
  assert.equal(ipvs.service(key), undefined);
  for (const service of ipvs.services()) ipvs.deleteService(service.key);
});

test("IPVS: timeouts are set one by one", () => {
  const before = ipvs.timeouts;
  ipvs.setTimeouts({ tcp: 1234, tcpFin: 0, udp: 77 });
  assert.deepEqual(ipvs.timeouts, { ...before, tcp: 1234, udp: 77 });
  ipvs.setTimeouts(before);
});

test("ipvs mode: a fixed set of objects gives what the golden files say", async () => {
  await mode.replace(goldenDesired(), signal);
  assert.deepEqual(await mode.audit(signal), []);
  const found = {
    ipvsadm: lines("ipvsadm", "-Sn").toSorted(),
    ipset: lines("ipset", "save").toSorted(),
    iptables: lines("iptables-legacy-save").map(withoutCounters),
    ip6tables: lines("ip6tables-legacy-save").map(withoutCounters),
    addresses: lines("ip", "-o", "addr", "show", "dev", "kube-ipvs0")
      .map((line) => /inet6? (\S+)/.exec(line)?.[1] ?? line)
      .filter((address) => !address.startsWith("fe80"))
      .toSorted(),
  };
  for (const [name, content] of Object.entries(found)) {
    const golden = readFileSync(new URL(`../golden/ipvs/${name}.txt`, import.meta.url), "utf8");
    assert.equal(content.join("\n"), golden.trimEnd(), name);
  }
});

function withoutCounters(line: string): string {
  return line.replace(/ \[\d+:\d+\]$/, "");
}

test("ipvs mode: a change sends what changed; an endpoint that goes waits, and comes back", async () => {
  await mode.replace(desiredOf(serviceOf([first, second])), signal);
  assert.deepEqual(weights(), { "192.168.0.2": 1, "192.168.0.3": 1 });
  await change(serviceOf([first]));
  assert.deepEqual(weights(), { "192.168.0.2": 1, "192.168.0.3": 0 });
  assert.deepEqual(await mode.audit(signal), [], "what waits is no drift");
  await change(serviceOf([first, second]));
  await sleep(4 * drainEvery);
  assert.deepEqual(weights(), { "192.168.0.2": 1, "192.168.0.3": 1 }, "it is not removed afterwards");
  await change(serviceOf([first]));
  await until(() => !("192.168.0.3" in weights()), "removed without connections");
});

test("ipvs mode: the last endpoint takes the virtual service with it, and connections are refused", async () => {
  await mode.replace(desiredOf(serviceOf([first])), signal);
  await change(serviceOf([]));
  assert.deepEqual(weights(), { "192.168.0.2": 0 });
  assert.equal(await tryConnect(), "ECONNREFUSED");
  await until(() => ipvs.service(web) === undefined, "removed");
  assert.equal(await tryConnect(), "ECONNREFUSED");
  assert.deepEqual(await mode.audit(signal), []);
});

test("ipvs mode: a connection keeps its endpoint, over a restart too, and its end frees it", async () => {
  await mode.replace(desiredOf(serviceOf([first])), signal);
  const client = connect(80, vip);
  await once(client, "data");
  await change(serviceOf([]));
  const next = await makeMode();
  try {
    await next.replace(desiredOf(serviceOf([])), signal);
    await sleep(4 * drainEvery);
    assert.deepEqual(weights(), { "192.168.0.2": 0 }, "it waits");
    client.write("still here");
    assert.equal(String((await once(client, "data"))[0]), "still here");
    client.resetAndDestroy();
    // The kernel remembers a connection that was reset for 10 seconds.
    await until(() => ipvs.service(web) === undefined, "gone", 15_000);
  } finally {
    next.close();
  }
});

test("ipvs mode: an endpoint of UDP goes at once", async () => {
  const key: ServiceKey = { ...web, protocol: "UDP", port: 53 };
  await mode.replace(desiredOf(dnsOf([first, second])), signal);
  assert.equal(ipvs.destinations(key).length, 2);
  await mode.apply(desiredOf(dnsOf([first])).decisions, signal);
  assert.deepEqual(
    ipvs.destinations(key).map(({ address }) => address),
    ["192.168.0.2"],
  );
  await mode.apply(desiredOf(dnsOf([])).decisions, signal);
  assert.equal(ipvs.service(key), undefined);
});

test("ipvs mode: what others break is found and mended", async () => {
  const desired = desiredOf(serviceOf([first]), dnsOf([first]));
  await mode.replace(desired, signal);
  const dns: ServiceKey = { ...web, protocol: "UDP", port: 53 };
  const faults: readonly (readonly [string, RegExp])[] = [
    ["ipvsadm -E -t 10.96.0.10:80 -s lc", /virtual service TCP 10.96.0.10:80: its settings were changed/],
    ["ipvsadm -d -u 10.96.0.10:53 -r 192.168.0.2:8080", /UDP 10.96.0.10:53: 1 destinations missing/],
    ["ipvsadm -A -t 10.96.0.10:81 -s rr", /virtual service TCP 10.96.0.10:81: not ours/],
    ["ipset del KUBE-CLUSTER-IP 10.96.0.10,tcp:80", /set KUBE-CLUSTER-IP: entry .* missing/],
    ["ipset add KUBE-6-CLUSTER-IP fd00::1,tcp:80", /set KUBE-6-CLUSTER-IP: entry .* not ours/],
    ["ip addr del 10.96.0.10/32 dev kube-ipvs0", /address 10.96.0.10: gone/],
    ["ip addr add 10.96.0.99/32 dev kube-ipvs0", /address 10.96.0.99: not ours/],
    ["iptables-legacy -t nat -F KUBE-SERVICES", /table nat: chain KUBE-SERVICES/],
    ["iptables-legacy -F INPUT", /table filter: chain INPUT: jump to KUBE-IPVS-FILTER missing/],
    ["sysctl -q net.ipv4.vs.conntrack=0", /sysctl net\/ipv4\/vs\/conntrack is 0, not 1/],
  ];
  for (const [command] of faults) run(command);
  const drifts = (await mode.audit(signal)).map(({ what }) => what);
  for (const [command, expected] of faults) {
    assert.ok(
      drifts.some((what) => expected.test(what)),
      `${command}: ${JSON.stringify(drifts)}`,
    );
  }
  await mode.replace(desired, signal);
  assert.deepEqual(await mode.audit(signal), []);
  assert.equal(ipvs.destinations(dns).length, 1);
  run("ipvsadm -D -t 10.96.0.10:80");
  run("ip link del kube-ipvs0");
  const gone = (await mode.audit(signal)).map(({ what }) => what);
  assert.deepEqual(gone, ["IPv4 address 10.96.0.10: gone", "IPv4 virtual service TCP 10.96.0.10:80: gone"]);
  await mode.replace(desired, signal);
  assert.deepEqual(await mode.audit(signal), []);
  assert.equal(await tryConnect(), "hello");
});

test("ipvs mode: settings reach the kernel; a scheduler that it lacks gives way to rr", async () => {
  const settings = { ...defaultIpvsSettings, scheduler: "lc", strictARP: true, tcpTimeout: 321, udpTimeout: 45 };
  const desired = desiredOf(serviceOf([first]));
  const before = ipvs.timeouts;
  await mode.replace({ ...desired, settings: { ...desired.settings, ipvs: settings } }, signal);
  assert.equal(ipvs.service(web)?.scheduler, "lc");
  assert.deepEqual(ipvs.timeouts, { ...before, tcp: 321, udp: 45 });
  assert.equal(readSysctl("net/ipv4/conf/all/arp_ignore"), "1");
  await change(serviceOf([first], { scheduler: "sed" }));
  assert.equal(ipvs.service(web)?.scheduler, "sed");
  await change(serviceOf([first], { scheduler: "nonsense" }));
  assert.equal(ipvs.service(web)?.scheduler, "rr");
  assert.deepEqual(await mode.audit(signal), []);
  await change(serviceOf([first], { affinitySeconds: 50 }));
  assert.deepEqual(ipvs.service(web), { key: web, scheduler: "mh", flags: 0x1 | 0x2 | 0x8, timeout: 50, netmask: 32 });
  ipvs.setTimeouts(before);
});

test("ipvs mode: what is somebody else's stays, whether the mode works or is cleaned up", async () => {
  const foreign = [
    { kind: "address", address: parseAddress("192.168.0.2"), protocol: "TCP", port: 8443 },
    { kind: "address", address: parseAddress("203.0.113.5"), protocol: "UDP", port: 53 },
    { kind: "mark", family: "IPv4", mark: 9 },
  ] as const;
  for (const key of foreign) ipvs.putService({ key, scheduler: "rr", flags: 0, timeout: 0, netmask: 32 });
  execFileSync("ipset", ["create", "docker-hosts", "hash:ip"]);
  const tables =
    "*filter\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A INPUT -m set --match-set docker-hosts src -j ACCEPT\nCOMMIT\n";
  execFileSync("iptables-legacy-restore", ["--noflush"], { input: tables });
  const others = () => lines("iptables-legacy-save").filter((line) => line.startsWith("-") && !line.includes("KUBE"));
  const before = others();
  await mode.replace(goldenDesired(), signal);
  const names = new Set(foreign.map(formatService));
  const isForeign = () => ipvs.services().filter(({ key }) => names.has(formatService(key))).length;
  assert.equal(isForeign(), foreign.length);
  assert.deepEqual(await mode.audit(signal), []);
  await factory.cleanup();
  assert.equal(ipvs.services().length, foreign.length);
  assert.equal(isForeign(), foreign.length);
  assert.deepEqual(lines("ipset", "list", "-n"), ["docker-hosts"]);
  assert.deepEqual(others(), before);
  assert.deepEqual(
    lines("iptables-legacy-save").filter((line) => line.includes("KUBE") && !line.startsWith(":KUBE-MARK-MASQ")),
    ["-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000"],
  );
  assert.throws(() => execFileSync("ip", ["link", "show", "kube-ipvs0"], { stdio: "pipe" }));
  await factory.cleanup();
  for (const key of foreign) ipvs.deleteService(key);
  execFileSync("iptables-legacy", ["-F"]);
  execFileSync("ipset", ["destroy", "docker-hosts"]);
});

test("ipvs mode: after it or before it the iptables mode can be used, and neither removes what the other uses", async () => {
  const desired = desiredOf(serviceOf([first]));
  const iptables = iptablesFactory("legacy");
  const other = await iptables.create();
  await other.replace(desired, signal);
  assert.equal(await tryConnect(), "hello");
  await mode.replace(desired, signal);
  await iptables.cleanup();
  assert.deepEqual(await mode.audit(signal), []);
  assert.equal(await tryConnect(), "hello");
  assert.equal(
    lines("iptables-legacy-save").some((line) => line.includes("KUBE-SVC-")),
    false,
  );
  await other.replace(desired, signal);
  await factory.cleanup();
  assert.deepEqual(await other.audit(signal), []);
  assert.equal(await tryConnect(), "hello");
  assert.deepEqual(ipvs.services(), []);
  await iptables.cleanup();
  other.close();
});

/** What kube-proxy's ipvs mode leaves: rules, sets, virtual services, addresses, of `web` and a Service that is gone. */
function leaveAsKubeProxy(): void {
  const jumps = [
    ["nat", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals"],
    ["nat", "PREROUTING", "KUBE-SERVICES", "kubernetes service portals"],
    ["nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"],
    ["filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"],
    ["filter", "INPUT", "KUBE-NODE-PORT", "kubernetes health check rules"],
    ["filter", "INPUT", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"],
    ["filter", "FORWARD", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"],
    ["filter", "INPUT", "KUBE-IPVS-FILTER", "kubernetes ipvs access filter"],
    ["filter", "OUTPUT", "KUBE-IPVS-OUT-FILTER", "kubernetes ipvs access filter"],
  ];
  const rules: Record<string, readonly string[]> = {
    nat: [
      "KUBE-SERVICES -s 127.0.0.0/8 -j RETURN",
      "KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP src,dst -j KUBE-MARK-MASQ",
      "KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
      "KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT",
      "KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ",
      "KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
      "KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
      "KUBE-POSTROUTING -j MASQUERADE --random-fully",
      "KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
    ],
    filter: [
      "KUBE-SOURCE-RANGES-FIREWALL -j DROP",
      "KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN",
      "KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT",
    ],
  };
  execFileSync("ipset", ["restore"], {
    input: `create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536
create KUBE-IPVS-IPS hash:ip family inet hashsize 1024 maxelem 65536
create KUBE-6-CLUSTER-IP hash:ip,port family inet6 hashsize 1024 maxelem 65536
create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
add KUBE-CLUSTER-IP 10.96.0.10,tcp:80
add KUBE-CLUSTER-IP 10.96.0.99,tcp:80
add KUBE-IPVS-IPS 10.96.0.10
add KUBE-IPVS-IPS 10.96.0.99
add KUBE-NODE-PORT-TCP 30099
`,
  });
  const input = Object.entries(rules).map(([table, lines]) => {
    const own = jumps.filter(([where]) => where === table);
    const chains = new Set([...own.map(([, , to]) => to), ...lines.map((line) => line.split(" ")[0])]);
    for (const extra of table === "nat" ? ["KUBE-NODE-PORT"] : []) chains.add(extra);
    return [
      `*${table}`,
      ...[...chains].map((chain) => `:${chain} - [0:0]`),
      ...own.map(([, from, to, comment]) => `-A ${from} -m comment --comment "${comment}" -j ${to}`),
      ...lines.map((line) => `-A ${line}`),
      "COMMIT\n",
    ].join("\n");
  });
  execFileSync("iptables-legacy-restore", ["--noflush"], { input: input.join("") });
  for (const command of [
    "ip link add kube-ipvs0 type dummy",
    "ip addr add 10.96.0.10/32 dev kube-ipvs0",
    "ip addr add 10.96.0.99/32 dev kube-ipvs0",
    "ipvsadm -A -t 10.96.0.10:80 -s rr",
    "ipvsadm -a -t 10.96.0.10:80 -r 192.168.0.3:8080 -m -w 1",
    "ipvsadm -A -t 10.96.0.99:80 -s rr",
    "ipvsadm -a -t 10.96.0.99:80 -r 192.168.0.3:8080 -m -w 1",
    "ipvsadm -A -t 192.168.0.2:30099 -s rr",
  ]) {
    run(command);
  }
}

test("ipvs mode: it takes over from kube-proxy without ending a connection; only what is wanted stays", async () => {
  await factory.cleanup();
  run("sysctl -q net.ipv4.vs.conntrack=1");
  leaveAsKubeProxy();
  const client = connect(80, vip);
  await once(client, "data");
  const desired = desiredOf(serviceOf([first]));
  await mode.replace(desired, signal);
  assert.deepEqual(await mode.audit(signal), []);
  assert.deepEqual(weights(), { "192.168.0.2": 1, "192.168.0.3": 0 });
  assert.equal(ipvs.services().length, 1);
  const saved = lines("iptables-legacy-save");
  assert.equal(
    saved.some((line) => line.includes("kube-proxy firewall rules")),
    false,
    "no jumps but ours",
  );
  assert.equal(saved.filter((line) => line.endsWith("-j KUBE-IPVS-FILTER")).length, 1);
  assert.equal(
    lines("ipset", "save").some((line) => /0\.99|30099/.test(line)),
    false,
  );
  client.write("still here");
  assert.equal(String((await once(client, "data"))[0]), "still here");
  client.resetAndDestroy();
  await factory.cleanup();
  leaveAsKubeProxy();
  await factory.cleanup();
  assert.deepEqual(ipvs.services(), []);
  assert.deepEqual(lines("ipset", "save"), []);
  assert.deepEqual(
    lines("iptables-legacy-save").filter((line) => line.includes("KUBE") && !/KUBE-(MARK-MASQ|FIREWALL)/.test(line)),
    [],
  );
});

test("ipvs mode: a container that publishes a port on all local addresses gets nothing that is for a Service", async () => {
  run("iptables-legacy -t nat -N DOCKER");
  run("iptables-legacy -t nat -A DOCKER -p tcp --dport 80 -j DNAT --to-destination 192.168.0.2:9");
  for (const hook of ["PREROUTING", "OUTPUT"]) {
    run(`iptables-legacy -t nat -A ${hook} -m addrtype --dst-type LOCAL -j DOCKER`);
  }
  await mode.replace(desiredOf(serviceOf([first])), signal);
  assert.equal(await tryConnect(), "hello");
  run("iptables-legacy -t nat -F PREROUTING");
  run("iptables-legacy -t nat -F OUTPUT");
  run("iptables-legacy -t nat -F DOCKER");
  run("iptables-legacy -t nat -X DOCKER");
  await mode.replace(desiredOf(), signal);
});

test("ipvs mode: when another mode serves it goes piece by piece, as connections end", async () => {
  const desired = desiredOf(serviceOf([first]), dnsOf([first]));
  await mode.replace(desired, signal);
  const client = connect(80, vip);
  await once(client, "data");
  const other = await iptablesFactory("legacy").create();
  await other.replace(desired, signal);
  assert.equal(await factory.retire?.(), false);
  assert.equal(await factory.retire?.(), false, "a second time changes nothing");
  assert.deepEqual(weights(), { "192.168.0.2": 0 });
  assert.deepEqual(
    ipvs.services().map(({ key }) => formatService(key)),
    ["TCP 10.96.0.10:80"],
  );
  assert.deepEqual(
    lines("ipset", "save")
      .filter((line) => line.startsWith("add"))
      .toSorted(),
    ["add KUBE-CLUSTER-IP 10.96.0.10,tcp:80", "add KUBE-IPVS-IPS 10.96.0.10"],
  );
  assert.deepEqual(await other.audit(signal), []);
  assert.equal(await tryConnect(), "hello", "the other mode's rules come first");
  client.write("still here");
  assert.equal(String((await once(client, "data"))[0]), "still here");
  // Without rules of any mode nobody reaches this node's programs by the addresses that are left.
  await iptablesFactory("legacy").cleanup();
  assert.equal(await tryConnect(), "ECONNREFUSED");
  // Back again, and away for good.
  await mode.replace(desired, signal);
  assert.deepEqual(await mode.audit(signal), []);
  assert.equal(lines("iptables-legacy-save").join().includes("DRAINING"), false);
  assert.equal(await tryConnect(), "hello");
  client.write("and here");
  assert.equal(String((await once(client, "data"))[0]), "and here");
  client.resetAndDestroy();
  await factory.cleanup();
  assert.deepEqual(ipvs.services(), []);
  assert.deepEqual(lines("ipset", "save"), []);
  assert.equal(await factory.retire?.(), true);
  other.close();
});

test("ipvs mode: it says that it can run here", async () => {
  assert.deepEqual(await factory.probe(), { able: true });
});
