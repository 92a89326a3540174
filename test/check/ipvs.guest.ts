/** The checks on a node that IPVS serves: runs in a virtual machine. `ipvsadm` breaks what the mode made. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, test } from "node:test";
import { findFaults } from "../../src/check/check.ts";
import { Facts } from "../../src/check/facts.ts";
import { healthyCluster, nodeOf, service } from "../../src/check/testing.ts";
import { parseAddress } from "../../src/net/address.ts";
import { ipvs } from "../../src/proxy/modes/ipvs/index.ts";
import { type Decision, decisionKey } from "../../src/service/decision.ts";
import { externalCluster } from "../../src/service/outcomes.ts";
import { defaultIpvsSettings } from "../../src/service/settings.ts";
import { capture } from "../../src/trace/snapshot/index.ts";

for (const command of ["link add eth0 type dummy", "link set eth0 up", "addr add 192.0.2.11/24 dev eth0"]) {
  execFileSync("ip", command.split(" "));
}
execFileSync("ip", ["route", "add", "10.244.0.0/16", "via", "192.0.2.12"]);
const mode = await ipvs.create();
const { signal } = new AbortController();
after(() => mode.close());

const cluster = healthyCluster({
  services: [service({ type: "NodePort", ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 30_080 }] })],
  pods: [],
  nodes: [nodeOf("node1", "192.0.2.11", "10.244.1.0/24")],
});
const name = { namespace: "shop", name: "web", port: "", protocol: "TCP" } as const;
const decision: Decision = {
  service: name,
  family: "IPv4",
  frontEnds: [
    { kind: "ClusterIP", address: parseAddress("10.96.0.10"), port: 80, outcomes: externalCluster },
    { kind: "NodePort", port: 30_080, outcomes: externalCluster },
  ],
  cluster: ["10.244.1.2", "10.244.2.2"].map((each) => ({ address: parseAddress(each), port: 8080, local: false })),
  local: [],
  affinitySeconds: 0,
};

/** What the checks of Services and rules find. */
async function found(): Promise<readonly string[]> {
  const facts = new Facts(await capture(), { cluster });
  assert.deepEqual([...new Set(facts.proxies.map(({ kind }) => kind))], ["ipvs"]);
  const about = /^(ipvs-destinations|unserved-service|stale-endpoint|proxy-rules|node-address|node-port)/;
  return findFaults(facts)
    .map(({ check, subject }) => `${check}: ${subject}`)
    .filter((each) => about.test(each));
}

test("nothing is found on a node that mode ipvs serves; what ipvsadm breaks is found", async () => {
  await mode.replace(
    {
      settings: {
        masqueradeBit: 14,
        ipvs: defaultIpvsSettings,
        families: {
          IPv4: {
            detector: { kind: "none" },
            nodePortAddresses: { kind: "addresses", addresses: [parseAddress("192.0.2.11")] },
            serviceCIDRs: [],
          },
        },
      },
      decisions: new Map([[decisionKey(name, "IPv4"), decision]]),
    },
    signal,
  );
  assert.deepEqual(await found(), []);
  const ipvsadm = (...args: readonly string[]) => execFileSync("ipvsadm", args);
  const [vip, nodePort] = ["10.96.0.10:80", "192.0.2.11:30080"];
  ipvsadm("-e", "-t", vip, "-r", "10.244.2.2:8080", "-m", "-w", "0");
  assert.deepEqual(await found(), [`ipvs-destinations: service shop/web ${vip}/TCP in IPVS`]);
  ipvsadm("-e", "-t", vip, "-r", "10.244.2.2:8080", "-m", "-w", "1");
  ipvsadm("-a", "-t", nodePort, "-r", "10.244.1.99:8080", "-m");
  assert.deepEqual(await found(), [`ipvs-destinations: service shop/web ${nodePort}/TCP in IPVS`]);
  ipvsadm("-d", "-t", nodePort, "-r", "10.244.1.99:8080");
  assert.deepEqual(await found(), []);
  for (const endpoint of ["10.244.1.2:8080", "10.244.2.2:8080"]) ipvsadm("-d", "-t", vip, "-r", endpoint);
  assert.deepEqual(await found(), [`ipvs-destinations: service shop/web ${vip}/TCP in IPVS`]);
  ipvsadm("-D", "-t", vip);
  assert.deepEqual(await found(), ["unserved-service: chain KUBE-SERVICES of iptables-legacy"]);
});
