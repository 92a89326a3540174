/** The agent's command line and configuration file: what is wrong is said clearly and changes nothing. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { modeNames } from "../../src/proxy/modes/index.ts";
import { eventually, hello, Machine } from "./machine.ts";

const header = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

const wrong: readonly [name: string, args: readonly string[], status: number, message: RegExp][] = [
  [
    "an unknown flag",
    ["--manifest", "x"],
    2,
    /^Error: unknown flag --manifest, did you mean --manifests\?\nSee "portolan help proxy"\.\n$/,
  ],
  ["an argument", ["serve"], 2, /^Error: takes no arguments but flags, got "serve"\n/],
  [
    "a wrong mode",
    ["--proxy-mode", "magic"],
    2,
    /^Error: KubeProxyConfiguration\.mode: Invalid value: "magic": must be .* or blank/,
  ],
  [
    "no configuration file",
    ["--config", "/proc/nothing"],
    1,
    /^Error: --config \/proc\/nothing: cannot be read: ENOENT: .*\n$/,
  ],
  ["no manifests", ["--manifests", "/proc/nothing"], 2, /^Error: --manifests \/proc\/nothing: /m],
  ["no kubeconfig file", ["--kubeconfig", "/proc/nothing"], 1, /^Error: .*\/proc\/nothing/m],
  ["no cluster at all", [], 1, /KUBERNETES_SERVICE_HOST is not set/],
];

test("wrong command lines each give one clear error and change nothing", async (t) => {
  const machine = await Machine.make(t);
  const before = machine.rules();
  for (const [name, args, status, message] of wrong) {
    const { code, err } = await machine.portolan("proxy", "-v", "0", ...args);
    assert.equal(code, status, `${name}: ${err}`);
    assert.match(err.replace(/^[WI]\d{4}.*\n/gm, ""), message, name);
  }
  assert.equal(machine.rules(), before);
});

test("a wrong configuration file gives all errors and changes nothing", async (t) => {
  const machine = await Machine.make(t);
  const config = machine.write("config", `${header}oomScoreAdj: 2000\nclusterCIDR: 10.0.0.0\n`);
  const { code, err } = await machine.portolan("proxy", "--config", config);
  assert.equal(code, 1);
  assert.equal(
    err,
    `Error: ${config}:
  KubeProxyConfiguration.oomScoreAdj: Invalid value: 2000: must be within the range [-1000, 1000]
  KubeProxyConfiguration.clusterCIDR: Invalid value: "10.0.0.0": must be a valid CIDR, or a pair of one IPv4 and one IPv6 (e.g. 10.100.0.0/16,fde4:8dba:82e1::/48)
`,
  );
});

test("the configuration that is written can be used", async (t) => {
  const machine = await Machine.make(t);
  const path = `${machine.directory}/written.conf`;
  assert.equal((await machine.portolan("proxy", "--write-config-to", path, "--cluster-cidr=10.244.0.0/16")).code, 0);
  assert.match(readFileSync(path, "utf8"), /^clusterCIDR: 10\.244\.0\.0\/16$/m);
  const again = await machine.portolan("proxy", "--config", path, "--write-config-to", `${path}.2`);
  assert.equal(again.code, 0);
  assert.equal(readFileSync(`${path}.2`, "utf8"), readFileSync(path, "utf8"));
});

test("a changed configuration file is taken over while services go on, a wrong one is refused", async (t) => {
  const machine = await Machine.make(t);
  machine.write("hello.yaml", hello("10.244.0.11"));
  const [mode = ""] = modeNames;
  const config = machine.write("config", `${header}mode: ${mode}\nmetricsBindAddress: 127.0.0.1:10249\n`);
  const agent = await machine.start("--config", config, "--manifests", machine.directory);

  machine.write("config", `${header}mode: magic\n`);
  await eventually("the wrong file is refused", () => agent.log.includes('reason="ConfigurationRefused"'));
  assert.match(agent.log, /Invalid value: \\"magic\\": must be/);
  assert.equal(await machine.get("http://127.0.0.1:10249/proxyMode"), mode);

  const other = modeNames.at(-1) ?? "";
  machine.write("config", `${header}mode: ${other}\nmetricsBindAddress: 127.0.0.1:10250\n`);
  await eventually(
    "the new file counts",
    async () => (await machine.get("http://127.0.0.1:10250/proxyMode")) === other,
  );
  await eventually("services go on", async () => (await machine.get("http://10.96.0.10/")) === "10.244.0.11");
  assert.equal(await machine.get("http://127.0.0.1:10249/proxyMode"), "curl: 7");

  agent.signal("SIGHUP");
  await eventually("SIGHUP has it read again", () => agent.log.includes("nothing has changed"));
  assert.equal(await agent.end("SIGINT"), 0);
});

test("--init-only sets what is permitted, and says what is not", async (t) => {
  const machine = await Machine.make(t);
  const established = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established";
  await machine.portolan(
    "proxy",
    "--init-only",
    "--conntrack-tcp-timeout-established=20h",
    "--conntrack-max-per-core=0",
  );
  assert.equal(machine.exec("cat", established), "72000\n");
});

test("after --init-only mode iptables works where settings of the kernel cannot be written", async (t) => {
  const machine = await Machine.make(t);
  machine.write("hello.yaml", hello("10.244.0.11"));
  const localnet = () => machine.exec("cat", "/proc/sys/net/ipv4/conf/all/route_localnet");
  const args = ["proxy", "--proxy-mode=iptables", "--manifests", machine.directory];
  await machine.portolan(...args, "--init-only", "--nodeport-addresses=primary");
  assert.equal(localnet(), "0\n");
  const readOnly = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
  const once = `${readOnly} && { "$@" --once 2>&1 || true; }`;
  const program = new URL("../../portolan", import.meta.url).pathname;
  await machine.portolan(...args, "--init-only");
  assert.equal(localnet(), "1\n");
  assert.match(machine.exec("unshare", "-m", "sh", "-c", once, "sh", program, ...args), /"Kernel programmed once"/);
  assert.match(await machine.get("http://127.0.0.1:30080/"), /^10\.244\.0\.11/);
});

test("--explain-mode says which mode would be used, and what is missing without privileges", async (t) => {
  const machine = await Machine.make(t);
  const privileged = await machine.portolan("proxy", "--explain-mode", "-o", "json");
  assert.equal(privileged.code, 0);
  const { chosen, modes } = JSON.parse(privileged.out) as { chosen: string; modes: readonly { name: string }[] };
  assert.equal(chosen, "nftables");
  assert.deepEqual(
    modes.map(({ name }) => name),
    modeNames,
  );
  const { code, out } = await machine.unprivileged("proxy", "--explain-mode", "--proxy-mode", "userspace");
  assert.equal(code, 1);
  assert.match(out, /^nftables +no +missing: no permission to read nf_tables: run as root/m);
  assert.match(out, /No mode can be used: userspace cannot/);
});

test("without privileges everything that is missing is said, and nothing is changed", async (t) => {
  const machine = await Machine.make(t);
  machine.write("hello.yaml", hello("10.244.0.11"));
  const before = machine.rules();
  const { code, err } = await machine.unprivileged("proxy", "--once", "--manifests", machine.directory);
  assert.equal(code, 1);
  for (const mode of modeNames) assert.match(err, new RegExp(`mode ${mode} cannot be used here: .*run as root`));
  assert.equal(machine.rules(), before);
  const demo = await machine.unprivileged("lab", "up", "--demo");
  assert.equal(demo.code, 1);
  assert.match(demo.err, /no lab can be kept there \(.*\): make room, or set XDG_STATE_HOME to a folder of yours/);
});

test("the first signal lets requests finish for a second, the second one ends the program at once", async (t) => {
  const machine = await Machine.make(t);
  machine.write("hello.yaml", hello("10.244.0.11"));
  const busyAgent = async () => {
    const agent = await machine.start("--manifests", machine.directory, "--profiling");
    const request = machine.get("http://127.0.0.1:10249/debug/pprof/profile?seconds=30");
    // The request has come, and nothing of it waits to be read.
    const read = /^0 .*users:.*bytes_received:/s;
    await eventually("the request is under way", () =>
      read.test(machine.exec("ss", "-Htnpi", "state", "established", "sport", "10249")),
    );
    return { agent, request, started: performance.now() };
  };
  const first = await busyAgent();
  assert.equal(await first.agent.end("SIGTERM"), 0);
  const took = performance.now() - first.started;
  assert.ok(took >= 1000 && took < 5000, `${took} ms`);
  await first.request;
  let between: number;
  let status: number | null;
  let attempts = 0;
  do {
    const { agent, request } = await busyAgent();
    agent.signal("SIGTERM");
    await eventually("it takes no new requests", () => machine.exec("ss", "-Htnl", "sport", "10249") === "");
    const heard = performance.now();
    // Two within half a second would count as one, and after a second there is none to signal.
    await sleep(600);
    between = performance.now() - heard;
    status = await agent.end("SIGTERM");
    await request;
  } while (between > 800 && ++attempts < 5);
  assert.equal(status, 143, `${between} ms after the first`);
});
