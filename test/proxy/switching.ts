/** A machine whose service is under load, for tests of switching between modes. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import type { TestContext } from "node:test";
import type { LoadReport } from "./load.ts";
import { type Agent, eventually, Machine } from "./machine.ts";

const program = new URL("load.ts", import.meta.url).pathname;

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
export async function makeMachine(t: TestContext): Promise<Machine> {
  const machine = await Machine.make(t);
  machine.write("echo.yaml", echo);
  await ready(machine.spawn(machine.pods, process.execPath, [program, "serve", "7"]));
  return machine;
}

/**
 * Puts the service under load while something happens.
 *
 * @param from the namespace of the client.
 * @param pause milliseconds between two exchanges on each of the long connections.
 */
export async function underLoad(
  machine: Machine,
  work: () => Promise<void>,
  { from = machine.node, pause = 100 } = {},
): Promise<LoadReport> {
  const load = machine.spawn(from, process.execPath, [program, "load", "10.96.0.7", "7", String(pause)]);
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

/** Asserts that all long connections lived, and that new ones were made all the time. */
export function assertUnbroken(t: TestContext, report: LoadReport): void {
  t.diagnostic(JSON.stringify(report));
  assert.deepEqual(report.failures, {});
  assert.equal(report.alive, 100);
  assert.ok(report.connections > 100 && report.exchanges > 500, JSON.stringify(report));
}

/** Asserts that new connections were made. */
export function assertServed({ failures, connections }: LoadReport): void {
  assert.deepEqual(failures, {});
  assert.ok(connections > 0);
}

/** A configuration file that names a mode. */
export function configuration(mode: string): string {
  return `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ${mode}\n`;
}

/** Waits until the rules of a mode are gone, or what its connections do not need, for another time than before. */
export async function removed(agent: Agent, mode: string, from: number): Promise<void> {
  const said = new RegExp(`"(Leftovers removed|Nothing is left|Connections are under way .*)" of="mode ${mode}"`);
  await eventually(`what mode ${mode} left is removed`, () => said.test(agent.log.slice(from)));
}
