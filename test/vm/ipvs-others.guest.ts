/** The ipvs mode beside others: kube-proxy's rules, other modes, containers, foreign services; runs in a virtual machine. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { formatService } from "../../src/kernel/ipvs/index.ts";
import { parseAddress } from "../../src/net/address.ts";
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { ipvs as factory } from "../../src/proxy/modes/ipvs/index.ts";
import { goldenDesired } from "../golden/iptables/objects.ts";
import {
  desiredOf,
  dnsOf,
  first,
  ipvs,
  lines,
  mode,
  run,
  serviceOf,
  signal,
  tryConnect,
  vip,
  weights,
} from "./ipvs-node.ts";

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
