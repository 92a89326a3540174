/** Programming once ends by itself, whatever the API server does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Agent, Machine } from "./machine.ts";

const program = new URL("../../portolan", import.meta.url).pathname;

test("--once gives up after a minute where the API server takes connections and says nothing", async (t) => {
  const machine = await Machine.make(t);
  const silent = `require("node:net").createServer().listen(6443, "127.0.0.1", () => console.log("ready"))`;
  const server = machine.spawn(machine.node, process.execPath, ["-e", silent]);
  await new Promise((resolve) => server.stdout?.once("data", resolve));
  const kubeconfig = machine.write(
    "kubeconfig",
    `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: t}}]
`,
  );
  const args = ["proxy", "--once", "--kubeconfig", kubeconfig, "--proxy-mode", "nftables"];
  const agent = new Agent(machine.spawn(machine.node, program, args));
  const began = performance.now();
  const code = await agent.ended;
  const seconds = (performance.now() - began) / 1000;
  assert.equal(code, 1, agent.log);
  assert.match(agent.log, /kubeconfig has not told all objects within 60 s/);
  assert.ok(seconds > 55 && seconds < 75, `${seconds} s`);
  assert.doesNotMatch(machine.rules(), /portolan/);
});
