/** Switching between modes breaks no connection: 100 long ones and a stream of new ones through every ordered pair. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadReport } from "./load.ts";
import { type Agent, eventually, Machine } from "./machine.ts";

// The lock is one for the whole machine, though the tables of these namespaces are nobody else's.
const folder = mkdtempSync(join(tmpdir(), "ptl-switching-"));
process.env.XTABLES_LOCKFILE = join(folder, "xtables.lock");
after(() => rmSync(folder, { recursive: true }));

const program = new URL("load.ts", import.meta.url).pathname;
/** Milliseconds of load after each switch. */
const lull = 300;

const echo = `apiVersion: v1
kind: Service
metadata: {namespace: default, name: echo}
spec:
  clusterIP: 10.96.0.7
  clusterIPs: [10.96.0.7]
  ports: [{protocol: TCP, port: 7, targetPort: 7}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: default, name: echo-1, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
ports: [{protocol: TCP, port: 7}]
endpoints: [{addresses: [10.244.0.11], conditions: {ready: true}}, {addresses: [10.244.0.12], conditions: {ready: true}}]
`;

/** A machine whose service `echo` is served, with an echo server behind it. */
async function makeMachine(t: TestContext): Promise<Machine> {
  const machine = await Machine.make(t);
  machine.write("echo.yaml", echo);
  await ready(machine.spawn(machine.pods, process.execPath, [program, "serve", "7"]));
  return machine;
}

/** Puts the service under load while something happens. */
async function underLoad(machine: Machine, work: () => Promise<void>): Promise<LoadReport> {
  const load = machine.spawn(machine.node, process.execPath, [program, "load", "10.96.0.7", "7"]);
  let output = "";
  load.stdout?.on("data", (data) => {
    output += data;
  });
  await eventually("the load is on", () => output.startsWith("ready\n"));
  await work();
  load.stdin?.end();
  await eventually("the load has ended", () => output.endsWith("}\n"));
  return JSON.parse(output.slice("ready\n".length)) as LoadReport;
}

function ready(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => child.stdout?.once("data", resolve));
}

function assertUnbroken(t: TestContext, report: LoadReport): void {
  t.diagnostic(JSON.stringify(report));
  assert.deepEqual(report.failures, {});
  assert.equal(report.alive, 100);
  assert.ok(report.connections > 100 && report.exchanges > 500, JSON.stringify(report));
}

function assertServed({ failures, connections }: LoadReport): void {
  assert.deepEqual(failures, {});
  assert.ok(connections > 0);
}

function configuration(mode: string): string {
  return `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ${mode}\n`;
}

/** Waits until the rules of a mode are gone, for another time than before. */
async function removed(agent: Agent, mode: string, from: number): Promise<void> {
  await eventually(`what mode ${mode} left is removed`, () =>
    agent.log.slice(from).includes(`"Leftovers removed" of="mode ${mode}"`),
  );
}

for (const variant of ["nft", "legacy"]) {
  test(`a changed configuration file switches between nftables, iptables (${variant}) and userspace`, async (t) => {
    process.env.PORTOLAN_IPTABLES = variant;
    const machine = await makeMachine(t);
    // Every ordered pair. The long connections begin as the proxy's own, and live through all that follows.
    const modes = ["userspace", "nftables", "iptables", "userspace", "iptables", "nftables", "userspace"];
    const config = machine.write("config", configuration(modes[0] ?? ""));
    const agent = await machine.start("--config", config, "--manifests", machine.directory, "-v", "2");
    const report = await underLoad(machine, async () => {
      for (const [i, mode] of modes.slice(1).entries()) {
        const before = agent.log.length;
        machine.write("config", configuration(mode));
        await removed(agent, modes[i] ?? "", before);
        await sleep(lull);
      }
    });
    assertUnbroken(t, report);
    assert.doesNotMatch(machine.rules(), /KUBE-SVC|table ip portolan \{/);
    assertServed(await underLoad(machine, () => sleep(lull)));
    machine.write("config", configuration("nftables"));
    await eventually("what the proxy listened on is gone", () => !machine.exec("ip", "address").includes("169.254"));
    assert.equal(await agent.end("SIGTERM"), 0);
  });
}

test("restarts with another mode switch between nftables, iptables-nft and iptables-legacy, and to userspace", async (t) => {
  const machine = await makeMachine(t);
  const start = (mode: string) => {
    const [name = "", variant = ""] = mode.split("-");
    process.env.PORTOLAN_IPTABLES = variant;
    return machine.start("--proxy-mode", name, "--manifests", machine.directory);
  };
  const modes = [
    "iptables-nft",
    "iptables-legacy",
    "iptables-nft",
    "nftables",
    "iptables-legacy",
    "nftables",
    "userspace",
  ];
  let agent = await start("nftables");
  const report = await underLoad(machine, async () => {
    for (const [i, mode] of modes.entries()) {
      await agent.end(i % 2 === 0 ? "SIGTERM" : "SIGKILL");
      agent = await start(mode);
      await sleep(lull);
    }
  });
  assertUnbroken(t, report);
  assert.doesNotMatch(machine.rules(), /KUBE-SVC|table ip portolan \{/);
});
