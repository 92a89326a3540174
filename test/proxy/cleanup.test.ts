/** `--cleanup` removes what any mode left, and nothing of anybody else's. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { hello, Machine } from "./machine.ts";

// The lock is one for the whole machine, though the tables of these namespaces are nobody else's.
const folder = mkdtempSync(join(tmpdir(), "ptl-cleanup-"));
process.env.XTABLES_LOCKFILE = join(folder, "xtables.lock");
after(() => rmSync(folder, { recursive: true }));

/** As Docker 28 writes them, for a bridge with one published port. */
const docker = `*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8088 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:DOCKER - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -m set --match-set others-blocked src -j DROP
-A DOCKER-USER -j RETURN
COMMIT
`;

/** As kubelet writes them: names like kube-proxy's, but not its. */
const kubelet = `*mangle
:KUBE-IPTABLES-HINT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
*nat
:KUBE-MARK-MASQ - [0:0]
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
COMMIT
*filter
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
COMMIT
`;

/** As firewalld writes them with its nftables backend; a table whose name begins as ours do; a map as ours have. */
const tables = `
table inet firewalld {
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    jump filter_INPUT_ZONES
  }
  chain filter_INPUT_ZONES { iifname "pods" accept; }
  chain nat_PREROUTING { type nat hook prerouting priority dstnat + 10; policy accept; }
}
table ip portolan-others {
  map front-ends { type ipv4_addr : ipv4_addr; elements = { 10.96.0.10 : 10.0.0.1 }; }
}
table ip6 others { chain c { type filter hook input priority 0; tcp dport 9 accept; }; }
`;

const modes = [
  { mode: "nftables", variant: "" },
  { mode: "iptables", variant: "nft" },
  { mode: "iptables", variant: "legacy" },
  { mode: "userspace", variant: "" },
];

test("--cleanup removes what every mode left, and nothing of Docker, firewalld, kubelet and others", async (t) => {
  const machine = await Machine.make(t);
  machine.exec("ipset", "create", "others-blocked", "hash:net");
  machine.exec("ipset", "add", "others-blocked", "203.0.113.0/24");
  machine.exec("ip", "address", "add", "169.254.20.10/32", "dev", "lo");
  const input = machine.write("docker.rules", docker);
  const further = machine.write("kubelet.rules", kubelet);
  machine.exec("nft", "-f", machine.write("others.nft", tables));
  for (const restore of ["iptables-nft-restore", "iptables-legacy-restore"]) {
    for (const file of [input, further]) machine.exec("sh", "-c", `${restore} -n < ${file}`);
  }
  const everything = () => {
    const rules = machine.rules().replaceAll(/\[\d+:\d+\]|counter packets \d+ bytes \d+/g, "");
    return `${rules}${machine.exec("ipset", "save")}${machine.exec("ip", "-o", "address", "show", "dev", "lo")}`;
  };
  const others = everything().split("\n");
  machine.write("hello.yaml", hello("10.244.0.11"));
  // What the programs make at their first use (base chains, families' tables) is nobody's.
  for (const program of ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"]) {
    for (const table of ["filter", "nat", "mangle"]) machine.exec(program, "-t", table, "-S");
  }
  const leave = async (mode: string, variant: string) => {
    process.env.PORTOLAN_IPTABLES = variant;
    const args = ["--proxy-mode", mode, "--manifests", machine.directory, "--keep-leftovers"];
    const agent = await machine.start(...args);
    assert.equal(await machine.get("http://10.96.0.10/"), "10.244.0.11", `${mode} ${variant}`);
    await agent.end("SIGKILL");
  };
  // The first time leaves the base chains of empty tables, which the kernel keeps.
  for (const { mode, variant } of modes) await leave(mode, variant);
  assert.equal((await machine.portolan("proxy", "--cleanup")).code, 0);
  const before = everything();
  for (const line of others) assert.ok(before.includes(line), line);
  for (const part of [
    "firewalld",
    "portolan-others",
    "DOCKER-USER",
    "KUBE-MARK-MASQ",
    "KUBE-FIREWALL",
    "others-blocked",
  ]) {
    assert.match(before, new RegExp(part));
  }
  assert.match(before, /169\.254\.20\.10/);
  assert.doesNotMatch(before, /KUBE-S|10\.244\.0|portolan(-userspace)? \{|169\.254\.96|fd70/);

  for (const { mode, variant } of modes) {
    await leave(mode, variant);
    assert.notEqual(everything(), before);
    const { code, err } = await machine.portolan("proxy", "--cleanup");
    assert.equal(code, 0, err);
    assert.match(err, new RegExp(`"Leftovers removed" of="mode ${mode}" removed=`));
    assert.equal(everything(), before, `${mode} ${variant}`);
  }
  assert.match((await machine.portolan("proxy", "--cleanup")).err, /"Nothing was left to remove"/);
});

/** As kube-proxy's mode ipvs leaves them, restored on a kernel that may lack IPVS; others use one of its chains and sets. */
const ofIpvs = `*nat
:DOCKER - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A DOCKER -j KUBE-SERVICES
-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
COMMIT
*filter
:KUBE-IPVS-FILTER - [0:0]
-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER
-A INPUT -m set --match-set KUBE-EXTERNAL-IP dst,dst -j ACCEPT
-A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN
COMMIT
`;

test("--cleanup removes sets and rules of mode ipvs where no IPVS is, and empties and names what others use", async (t) => {
  const machine = await Machine.make(t);
  for (const set of ["KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP"]) machine.exec("ipset", "create", set, "hash:ip,port");
  machine.exec("ipset", "add", "KUBE-EXTERNAL-IP", "203.0.113.1,tcp:80");
  machine.exec("sh", "-c", `iptables-nft-restore -n < ${machine.write("ipvs.rules", ofIpvs)}`);
  const { code, err } = await machine.portolan("proxy", "--cleanup");
  assert.equal(code, 1);
  assert.match(err, /iptables-nft -t nat -A DOCKER -j KUBE-SERVICES\\" leads into; set KUBE-EXTERNAL-IP, which a rule/);
  assert.equal(machine.exec("ipset", "save").match(/^(create|add) .*/gm)?.length, 1);
  assert.deepEqual(machine.exec("iptables-nft-save").match(/^-A .*/gm), [
    "-A INPUT -m set --match-set KUBE-EXTERNAL-IP dst,dst -j ACCEPT",
    "-A DOCKER -j KUBE-SERVICES",
  ]);
  machine.exec("iptables-nft", "-F", "INPUT");
  machine.exec("iptables-nft", "-t", "nat", "-F", "DOCKER");
  const second = await machine.portolan("proxy", "--cleanup");
  assert.equal(second.code, 0, second.err);
  assert.match(second.err, /"Leftovers removed" of="mode ipvs" removed=\["sets and rules"\]/);
  assert.equal(machine.exec("ipset", "save"), "");
  assert.doesNotMatch(machine.exec("iptables-nft-save"), /KUBE/);
});
