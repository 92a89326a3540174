/** The running agent, on the kernel: every mode that this program has, but ipvs, which few kernels can run (test/vm). */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { modeFactories } from "../../src/proxy/modes/index.ts";
import { dns, eventually, hello, Machine } from "./machine.ts";

const url = "http://10.96.0.10/";
const [one, two, three] = ["10.244.0.11", "10.244.0.12", "10.244.0.13"];

const modes = modeFactories.filter(({ name }) => name !== "ipvs");

for (const { name: mode, needsProcess } of modes) {
  test(`${mode}: manifests become rules, an edited manifest changes them, what others break is mended`, async (t) => {
    const machine = await Machine.make(t);
    const manifest = machine.write("hello.yaml", hello(one, two));
    const often = ["--iptables-sync-period", "1s"];
    const agent = await machine.start("--manifests", machine.directory, "--proxy-mode", mode, ...often);
    assert.deepEqual(await machine.answers(url), [one, two]);
    assert.equal((await machine.get("http://192.168.7.1:30080/")).startsWith("10.244.0."), true);

    machine.write("hello.yaml", hello(three));
    await eventually("the edited manifest counts", async () => (await machine.get(url)) === three);
    machine.write("hello.yaml", hello());
    await eventually("connections are refused", async () => (await machine.get(url)) === "curl: 7");
    machine.write("hello.yaml", "kind: Service\napiVersion: v1\nmetadata: [");
    await eventually("the broken manifest is complained of", () => agent.log.includes(manifest));
    machine.write("hello.yaml", hello(two));
    await eventually("the mended manifest counts", async () => (await machine.get(url)) === two);

    machine.exec("nft", "flush", "ruleset");
    await eventually("the rules are back", async () => (await machine.get(url)) === two);
    await eventually("the repair is told of", () => agent.log.includes('reason="DriftRepaired"'));
    const metrics = await machine.get("http://127.0.0.1:10249/metrics");
    assert.match(metrics, /^portolan_drift_repairs_total\{.*\} [1-9]/m);
    const counters = /^kubeproxy_iptables_localhost_nodeports_accepted_packets_total 0$/m.test(metrics);
    assert.equal(counters, mode === "iptables");
    if (mode === "iptables") {
      const rules = machine.exec("iptables-save", "-t", "nat").match(/^-A KUBE-/gm)?.length;
      const found = /^kubeproxy_sync_proxy_rules_iptables_(total|last)\{table="nat",ip_family="IPv4"\} (\d+)$/gm;
      // After the flush everything was written.
      assert.deepEqual(
        [...metrics.matchAll(found)].map(([, which, count]) => [which, Number(count)]),
        [
          ["last", rules],
          ["total", rules],
        ],
      );
    }
    assert.equal(await machine.get("http://127.0.0.1:10249/proxyMode"), mode);
    assert.match(await machine.get("http://127.0.0.1:10256/healthz"), /"nodeEligible": true\}$/);
  });

  test(`${mode}: a UDP client that goes on sending from one port gets to the new endpoint`, async (t) => {
    const machine = await Machine.make(t);
    machine.write("dns.yaml", dns(one));
    await machine.start("--manifests", machine.directory, "--proxy-mode", mode);
    assert.equal(await machine.sendDatagram("10.96.0.53", 53), one);
    machine.write("dns.yaml", dns(two));
    if (needsProcess) {
      await eventually("the session ends", async () => (await machine.sendDatagram("10.96.0.53", 53)) === two);
      return;
    }
    await eventually("the stale connection is forgotten", async () => {
      const metrics = await machine.get("http://127.0.0.1:10249/metrics");
      return /^kubeproxy_conntrack_reconciler_deleted_entries_total\{ip_family="IPv4"\} 1$/m.test(metrics);
    });
    assert.equal(await machine.sendDatagram("10.96.0.53", 53), two);
  });

  test(`${mode}: node ports answer on an address that the machine gets later`, async (t) => {
    const machine = await Machine.make(t);
    machine.write("hello.yaml", hello(one));
    const ports = ["--nodeport-addresses", "192.168.8.0/24"];
    await machine.start("--manifests", machine.directory, "--proxy-mode", mode, ...ports);
    machine.exec("ip", "address", "add", "192.168.8.1/24", "dev", "pods");
    await eventually("the new address serves", async () => (await machine.get("http://192.168.8.1:30080/")) === one);
    assert.equal(await machine.get("http://192.168.7.1:30080/"), "curl: 7");
  });
}

/** The rules of these serve by themselves, whatever becomes of the agent. */
const standing = modes.filter(({ needsProcess }) => !needsProcess);

for (const { name: mode } of standing) {
  test(`${mode}: services go on when the agent is killed, restarted and stopped`, async (t) => {
    const machine = await Machine.make(t);
    machine.write("hello.yaml", hello(one));
    const first = await machine.start("--manifests", machine.directory, "--proxy-mode", mode);
    await first.end("SIGKILL");
    assert.equal(await machine.get(url), one);
    machine.write("hello.yaml", hello(two));
    const second = await machine.start("--manifests", machine.directory, "--proxy-mode", mode);
    assert.equal(await machine.get(url), two);
    assert.equal(await second.end("SIGTERM"), 0);
    assert.equal(await machine.get(url), two);
    assert.equal((await machine.portolan("proxy", "--cleanup")).code, 0);
    assert.doesNotMatch(machine.rules(), /10\.96\.0\.10|10\.244\.0|portolan/);
  });

  test(`${mode}: --once programs the kernel and ends`, async (t) => {
    const machine = await Machine.make(t);
    machine.write("hello.yaml", hello(one, three));
    const once = ["proxy", "--once", "--proxy-mode", mode, "--manifests", machine.directory];
    assert.equal((await machine.portolan(...once)).code, 0);
    assert.deepEqual(await machine.answers(url), [one, three]);
    const local = "type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 30999";
    machine.write("hello.yaml", hello(two).replace("type: NodePort", local));
    const { code, err } = await machine.portolan(...once);
    assert.equal(code, 0);
    // Nobody could ask the health check of a program that ends.
    assert.doesNotMatch(err, /Listening/);
    assert.equal(await machine.get(url), two);
  });

  test(`${mode}: --once with a broken manifest says so and changes nothing`, async (t) => {
    const machine = await Machine.make(t);
    machine.write("hello.yaml", hello(one));
    const broken = machine.write("broken.yaml", "kind: Service\napiVersion: v1\nmetadata: [");
    const before = machine.rules();
    const once = await machine.portolan("proxy", "--once", "--proxy-mode", mode, "--manifests", machine.directory);
    assert.equal(once.code, 1);
    assert.ok(once.err.includes(`nothing is programmed, manifests are refused:\n  ${broken}:3: `), once.err);
    assert.equal(machine.rules(), before);
  });

  test(`${mode}: leftovers of kube-proxy go, rules of others stay`, async (t) => {
    const machine = await Machine.make(t);
    machine.write("hello.yaml", hello(one));
    const others = [
      "nft add table ip others { chain c { tcp dport 9 accept; }; }",
      "iptables -N OTHERS",
      "iptables -N KUBE-MARK-MASQ",
    ];
    const kubeProxy = [
      "nft add table ip kube-proxy { chain services { ip daddr 10.96.0.99 drop; }; }",
      "nft add table ip6 kube-proxy { chain services { }; }",
      ...(mode === "iptables"
        ? []
        : [
            "iptables -t nat -N KUBE-SVC-AAAAAAAAAAAAAAAA",
            "iptables -t nat -A KUBE-SVC-AAAAAAAAAAAAAAAA -p tcp -j ACCEPT",
          ]),
    ];
    for (const line of [...others, ...kubeProxy]) machine.exec("sh", "-c", line.replaceAll(/[{};]/g, "\\$&"));
    const args = ["proxy", "--once", "--proxy-mode", mode, "--manifests", machine.directory];
    assert.equal((await machine.portolan(...args, "--keep-leftovers")).code, 0);
    assert.match(machine.rules(), /kube-proxy/);
    assert.equal((await machine.portolan(...args)).code, 0);
    const rules = machine.rules();
    assert.doesNotMatch(rules, /kube-proxy|KUBE-SVC-AAAAAAAAAAAAAAAA/);
    assert.match(rules, /table ip others/);
    assert.match(rules, /OTHERS/);
    assert.match(rules, /KUBE-MARK-MASQ/);
    assert.equal(await machine.get(url), one);
  });
}

test("iptables: where ip6tables cannot be used IPv4 is served, and the reason said", async (t) => {
  const machine = await Machine.make(t);
  machine.write("hello.yaml", hello(one));
  const broken = machine.write("broken", '#!/bin/sh\necho "can\'t initialize table nat" >&2\nexit 3\n');
  chmodSync(broken, 0o755);
  const programs = join(machine.directory, "programs");
  mkdirSync(programs);
  for (const verb of ["", "-save", "-restore"]) {
    for (const variant of ["", "-nft", "-legacy"]) symlinkSync(broken, join(programs, `ip6tables${variant}${verb}`));
  }
  const { PATH } = process.env;
  process.env.PATH = `${programs}:${PATH}`;
  t.after(() => {
    process.env.PATH = PATH;
  });
  const { code, err } = await machine.portolan(
    ...["proxy", "--once", "--proxy-mode", "iptables", "--manifests", machine.directory],
  );
  assert.equal(code, 0, err);
  assert.match(err, /"Mode cannot serve a family here, --explain-mode says why" mode="iptables" lacking=\["IPv6"\]/);
  assert.equal(await machine.get(url), one);
  const { out } = await machine.portolan("proxy", "--explain-mode");
  assert.match(out, /^ +without IPv6: ip6tables-\w+ cannot read table nat: can't initialize table nat: run as root/m);
});

test("userspace: connections are refused while there is no agent, and served as soon as there is one", async (t) => {
  const machine = await Machine.make(t);
  machine.write("hello.yaml", hello(one));
  const args = ["--manifests", machine.directory, "--proxy-mode", "userspace"];
  const first = await machine.start(...args);
  assert.equal(await machine.get(url), one);
  await first.end("SIGKILL");
  assert.equal(await machine.get(url), "curl: 7");
  const second = await machine.start(...args);
  assert.equal(await machine.get(url), one);
  assert.equal(await second.end("SIGTERM"), 0);
  assert.equal(await machine.get(url), "curl: 7");
  const once = await machine.portolan("proxy", "--once", ...args);
  assert.equal(once.code, 1);
  assert.match(once.err, /mode userspace serves only as long as the program runs/);
  assert.equal((await machine.portolan("proxy", "--cleanup")).code, 0);
  assert.doesNotMatch(machine.rules(), /portolan/);
  assert.doesNotMatch(machine.exec("ip", "address"), /169\.254|fd70/);
});
