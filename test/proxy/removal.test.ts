/** What an earlier mode left goes without refusing anybody, while the rules of another mode stand. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { enterNamespace } from "../../src/kernel/namespace.ts";
import { parseAddress } from "../../src/net/address.ts";
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { nftables } from "../../src/proxy/modes/nftables/index.ts";
import { type Decision, decisionKey } from "../../src/service/decision.ts";
import { externalCluster } from "../../src/service/outcomes.ts";
import type { NodeSettings } from "../../src/service/settings.ts";
import { TestNetwork } from "../support/network.ts";

/** Connects again and again, until its input ends; then prints how many were answered, and all errors. */
const client = `
  const found = { answered: 0 };
  const go = () => {
    const socket = require("node:net").connect({ host: "10.96.0.1", port: 80 });
    socket.on("error", ({ code }) => { found[code] = (found[code] ?? 0) + 1; });
    socket.on("data", () => { found.answered++; socket.resetAndDestroy(); });
    socket.on("close", () => setImmediate(go));
  };
  for (let i = 0; i < 4; i++) go();
  process.stdin.on("end", () => { console.log(JSON.stringify(found)); process.exit(); }).resume();
`;

const settings: NodeSettings = {
  masqueradeBit: 14,
  families: {
    IPv4: { detector: { kind: "none" }, nodePortAddresses: { kind: "all", loopback: false }, serviceCIDRs: [] },
  },
};

function entry(number: number) {
  const service = { namespace: "test", name: `service-${number}`, port: "", protocol: "TCP" } as const;
  const decision: Decision = {
    service,
    family: "IPv4",
    frontEnds: [{ kind: "ClusterIP", address: parseAddress(`10.96.0.${number}`), port: 80, outcomes: externalCluster }],
    cluster: [{ address: parseAddress("192.0.2.1"), port: 8080, local: true }],
    local: [],
    affinitySeconds: 0,
  };
  return [decisionKey(service, "IPv4"), decision] as const;
}

test("the table of mode nftables goes, again and again, and no connection is refused", async () => {
  const network = new TestNetwork("removal");
  const folder = mkdtempSync(join(tmpdir(), "ptl-removal-"));
  const clients: ChildProcess[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end("here");
  });
  try {
    process.env.XTABLES_LOCKFILE = join(folder, "xtables.lock");
    const node = network.host("node");
    network.bridge(node, "eth0");
    node.address("eth0", "192.0.2.1/24");
    node.addRoute("10.96.0.0/16", { link: "eth0" });
    enterNamespace(node.namespace);
    server.listen({ port: 8080, host: "192.0.2.1", backlog: 4096 });
    await once(server, "listening");
    const desired = { settings, decisions: new Map(Array.from({ length: 100 }, (_, i) => entry(i + 1))) };
    const { signal } = new AbortController();
    const iptables = await iptablesFactory("legacy").create();
    await iptables.replace(desired, signal);
    for (let i = 0; i < 2; i++) clients.push(spawn(process.execPath, ["-e", client], { stdio: "pipe" }));
    const mode = await nftables.create();
    for (const end = performance.now() + 3000; performance.now() < end; ) {
      await mode.replace(desired, signal);
      await sleep(3);
      await nftables.cleanup();
    }
    mode.close();
    iptables.close();
    for (const each of clients) {
      each.stdin?.end();
      const [output] = (await once(each.stdout ?? each, "data")) as [Buffer];
      const { answered, ...errors } = JSON.parse(output.toString()) as { readonly answered: number };
      assert.deepEqual(errors, {});
      assert.ok(answered > 20, `${answered} connections`);
    }
  } finally {
    for (const each of clients) each.kill("SIGKILL");
    server.close();
    network.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
