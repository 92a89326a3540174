/** Networks of namespaces carry packets, and are gone afterwards. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { listNamespaces } from "../../src/kernel/namespace.ts";
import { parseMac, setFdbEntry, setNeighbour } from "../../src/kernel/route/index.ts";
import { parseAddress } from "../../src/net/address.ts";
import { TestNetwork } from "./network.ts";
import { attemptTcp, attemptUdp, serveTcp, serveUdp } from "./sockets.ts";

test("packets go through a VXLAN between two hosts, whose forwarding is set by hand", async () => {
  using network = new TestNetwork("network");
  const [a, b] = [network.host("a"), network.host("b")];
  network.join(a, "eth0", b, "eth0");
  const ends = [
    { host: a, other: b, outer: "192.0.2.1", inner: "10.244.1.0", pod: "10.244.1.1", mac: "02:00:00:00:00:0a" },
    { host: b, other: a, outer: "192.0.2.2", inner: "10.244.2.0", pod: "10.244.2.1", mac: "02:00:00:00:00:0b" },
  ] as const;
  for (const { host, outer, inner, pod, mac } of ends) {
    host.address("eth0", `${outer}/24`);
    const vxlan = { kind: "vxlan", id: 1, port: 8472, local: parseAddress(outer), learning: false } as const;
    host.add("vx", { ...vxlan, device: host.link("eth0").index }, { mac: parseMac(mac), up: true });
    host.address("vx", `${inner}/32`);
    host.address("lo", `${pod}/32`);
  }
  for (const [i, { host }] of ends.entries()) {
    const far = ends[1 - i] ?? ends[0];
    const { index } = host.link("vx");
    const [mac, address] = [parseMac(far.mac), parseAddress(far.inner)];
    setNeighbour(host.route, { interface: index, address, mac });
    setFdbEntry(host.route, { interface: index, mac, destination: parseAddress(far.outer) });
    host.addRoute(`${far.pod}/32`, { link: "vx" });
    setNeighbour(host.route, { interface: index, address: parseAddress(far.pod), mac });
  }
  const pod = parseAddress("10.244.2.1");
  const say = (client: { readonly address: string }) => `hello ${client.address}`;
  const listeners = [serveTcp(b, pod, 80, say), serveUdp(b, pod, 80, say)];
  for (const attempt of [attemptTcp, attemptUdp]) {
    const result = await attempt(a, { from: parseAddress("10.244.1.1"), to: pod, port: 80, timeout: 2000 });
    assert.deepEqual(result, { kind: "answered", answer: "hello 10.244.1.1", own: "10.244.1.1" });
  }
  for (const listener of listeners) listener.close();
});

test("a network is gone with its process, and what a killed one left with the next", async () => {
  const area = `leftover${process.pid}x`;
  const module = new URL("./network.ts", import.meta.url).href;
  const code = `const {TestNetwork} = await import(${JSON.stringify(module)});
    new TestNetwork("${area}").host("h"); console.log("up"); setInterval(() => {}, 1000);`;
  const ours = () => listNamespaces().filter((name) => name.includes(area)).length;
  for (const [signal, left] of [
    ["SIGINT", 0],
    ["SIGTERM", 0],
    ["SIGKILL", 1],
  ] as const) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    assert.equal(ours(), 1);
    child.kill(signal);
    await once(child, "exit");
    assert.equal(ours(), left, signal);
  }
  new TestNetwork(area).close();
  assert.equal(ours(), 0);
});
