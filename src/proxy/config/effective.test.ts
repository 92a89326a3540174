import assert from "node:assert/strict";
import test from "node:test";
import { defaultConfiguration as defaults } from "./defaults.ts";
import { configurationNotes, policyOptions, syncConfiguration } from "./effective.ts";

const config = {
  ...defaults,
  iptables: { ...defaults.iptables, masqueradeBit: 1, masqueradeAll: true, minSyncPeriod: 5 },
  ipvs: { ...defaults.ipvs, minSyncPeriod: 6 },
  nftables: { ...defaults.nftables, masqueradeBit: 2, minSyncPeriod: 7 },
};

test("each mode takes its own section, and ipvs the mark of iptables", () => {
  const of = (mode: "nftables" | "iptables" | "ipvs") => {
    const { masqueradeBit, masqueradeAll } = policyOptions(config, mode);
    return [masqueradeBit, masqueradeAll, syncConfiguration(config, mode).minSyncPeriod];
  };
  assert.deepEqual(of("nftables"), [2, false, 7]);
  assert.deepEqual(of("iptables"), [1, true, 5]);
  assert.deepEqual(of("ipvs"), [1, true, 6]);
});

test("ranges, words and leading zeros become what policy understands", () => {
  const { detectLocal, nodePortAddresses, allowExternalIPs } = policyOptions(
    {
      ...config,
      clusterCIDR: "010.244.0.0/16,fd00::1/48",
      nodePortAddresses: ["primary", "192.168.001.7/24"],
      featureGates: { AllowServiceExternalIPs: false },
    },
    "nftables",
  );
  assert.deepEqual(detectLocal, { mode: "ClusterCIDR", clusterCIDRs: ["10.244.0.0/16", "fd00::/48"] });
  assert.deepEqual(nodePortAddresses, ["primary", "192.168.1.0/24"]);
  assert.equal(allowExternalIPs, false);
});

test("detection by interface is passed on", () => {
  const detectLocal = { bridgeInterface: "cbr0", interfaceNamePrefix: "veth" };
  const by = (detectLocalMode: string) =>
    policyOptions({ ...config, detectLocalMode, detectLocal }, "iptables").detectLocal;
  assert.deepEqual(by("BridgeInterface"), { mode: "BridgeInterface", bridge: "cbr0" });
  assert.deepEqual(by("InterfaceNamePrefix"), { mode: "InterfaceNamePrefix", prefix: "veth" });
  assert.deepEqual(by("NodeCIDR"), { mode: "NodeCIDR" });
});

test("notes tell what is probably not meant", () => {
  assert.equal(configurationNotes(defaults, "iptables").length, 2);
  assert.deepEqual(configurationNotes({ ...defaults, clusterCIDR: "10.0.0.0/8" }, "nftables"), []);
});
