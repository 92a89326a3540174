/** The agent in mode ipvs: manifests, metrics, repair, restarts, cleanup beside others; runs in a virtual machine. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dns, eventually, hello, Machine } from "../proxy/machine.ts";

const url = "http://10.96.0.10/";
const [one, two, three] = ["10.244.0.11", "10.244.0.12", "10.244.0.13"];

test("the agent serves in mode ipvs: manifests change, what others break is mended, a kill changes nothing", async (t) => {
  const machine = await Machine.make(t);
  machine.write("hello.yaml", hello(one, two));
  machine.write("dns.yaml", dns(one));
  const start = () => machine.start("--manifests", machine.directory, "--proxy-mode", "ipvs");
  let agent = await start();
  assert.deepEqual(await machine.answers(url, 6), [one, two]);
  assert.match(await machine.get("http://192.168.7.1:30080/"), /^10\.244\.0\./);
  assert.equal(await machine.sendDatagram("10.96.0.53", 53), one);

  machine.write("dns.yaml", dns(two));
  await eventually("a client of UDP that goes on gets the new endpoint", async () => {
    return (await machine.sendDatagram("10.96.0.53", 53)) === two;
  });
  machine.write("hello.yaml", hello());
  await eventually("connections are refused", async () => (await machine.get(url)) === "curl: 7");
  machine.write("hello.yaml", hello(three));
  await eventually("the edited manifest counts", async () => (await machine.get(url)) === three);

  machine.exec("ipvsadm", "-C");
  // This is told by the kernel at once; comparisons come seldom where they take seconds, as in this machine.
  machine.exec("ip", "link", "delete", "kube-ipvs0");
  await eventually("the virtual services are back", async () => (await machine.get(url)) === three);
  await eventually("the repair is told of", () => agent.log.includes('reason="DriftRepaired"'));
  const metrics = await machine.get("http://127.0.0.1:10249/metrics");
  assert.match(metrics, /^portolan_drift_repairs_total\{mode="ipvs"\} [1-9]/m);
  assert.equal(await machine.get("http://127.0.0.1:10249/proxyMode"), "ipvs");
  assert.match(await machine.get("http://127.0.0.1:10256/healthz"), /"nodeEligible": true\}$/);

  await agent.end("SIGKILL");
  assert.equal(await machine.get(url), three);
  const before = machine.exec("ipvsadm", "-Sn");
  agent = await start();
  assert.equal(await machine.get(url), three);
  assert.equal(machine.exec("ipvsadm", "-Sn"), before);
  assert.equal(await agent.end("SIGTERM"), 0);
  assert.equal(await machine.get(url), three);
});

/** As Docker and firewalld (with its iptables backend) write them. */
const others = `*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:DOCKER-USER - [0:0]
:IN_public - [0:0]
:INPUT_ZONES - [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -j INPUT_ZONES
-A INPUT -j KUBE-FIREWALL
-A INPUT_ZONES -j IN_public
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -m set --match-set others-blocked src -j DROP
-A DOCKER-USER -j RETURN
COMMIT
`;

test("--cleanup after mode ipvs changes nothing of Docker, firewalld, kubelet, other sets and virtual services", async (t) => {
  const machine = await Machine.make(t);
  machine.write("hello.yaml", hello(one));
  machine.exec("ipset", "create", "others-blocked", "hash:net");
  machine.exec("sh", "-c", `iptables-legacy-restore -n < ${machine.write("others.rules", others)}`);
  machine.exec("ipvsadm", "-A", "-t", "192.168.7.1:8443", "-s", "wlc", "-p", "60");
  machine.exec("ipvsadm", "-a", "-t", "192.168.7.1:8443", "-r", "10.244.0.12:8443", "-m", "-w", "5");
  machine.exec("ipvsadm", "-A", "-f", "7", "-s", "rr");
  // The empty tables that programs make at their first use are nobody's, and neither is the chain that kubelet shares.
  for (const program of ["iptables-legacy", "ip6tables-legacy"]) {
    for (const table of ["filter", "mangle"]) machine.exec(program, "-t", table, "-S");
    machine.exec(program, "-t", "nat", "-N", "KUBE-MARK-MASQ");
    machine.exec(program, "-t", "nat", "-A", "KUBE-MARK-MASQ", "-j", "MARK", "--set-xmark", "0x4000/0x4000");
  }
  const everything = () =>
    ["iptables-legacy-save", "ip6tables-legacy-save", "ipset save", "ipvsadm -Sn", "ip -o link", "ip -o address"]
      .map((command) => machine.exec("sh", "-c", command))
      .join("")
      .replaceAll(/^#.*\n|\[\d+:\d+\]/gm, "");
  const before = everything();
  const agent = await machine.start("--manifests", machine.directory, "--proxy-mode", "ipvs");
  assert.equal(await machine.get(url), one, "Docker's port 80 is not the Service's");
  await agent.end("SIGKILL");
  assert.notEqual(everything(), before);
  const { code, err } = await machine.portolan("proxy", "--cleanup");
  assert.equal(code, 0, err);
  assert.equal(everything(), before);
});
