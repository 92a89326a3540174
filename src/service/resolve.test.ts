import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Family } from "../net/address.ts";
import { parseAddress } from "../net/address.ts";
import { parsePrefix } from "../net/prefix.ts";
import { type DetectLocal, resolveDetector } from "./detector.ts";
import {
  mayServeLoopback,
  type NodePortSelector,
  nodePortSupport,
  resolveNodePorts,
  tryParseNodePortSelector,
} from "./nodeports.ts";
import { type NodeFacts, type ProxyOptions, resolve } from "./resolve.ts";

const host = {
  node: ["192.168.0.1", "fd00:192::1", "203.0.113.9"].map(parseAddress),
  local: ["127.0.0.1", "::1", "203.0.113.9", "192.168.0.1", "10.0.0.5", "fd00:192::1", "fe80::1"].map(parseAddress),
};

interface NodePortCase {
  readonly name: string;
  readonly mode?: string;
  readonly localhost?: boolean;
  readonly selectors: readonly string[];
  readonly family?: Family;
  /** `all`, `all+loopback`, or the addresses. */
  readonly expected: string;
}

const nodePortCases: readonly NodePortCase[] = [
  { name: "nothing means the primary address with nftables", selectors: [], expected: "192.168.0.1" },
  { name: "nothing means the primary address in IPv6 too", selectors: [], family: "IPv6", expected: "fd00:192::1" },
  { name: "nothing means all addresses with iptables", mode: "iptables", selectors: [], expected: "all" },
  { name: "nothing means all addresses with ipvs", mode: "ipvs", selectors: [], expected: "all" },
  {
    name: "loopback is part of all where it is served",
    mode: "iptables",
    localhost: true,
    selectors: [],
    expected: "all+loopback",
  },
  {
    name: "loopback is never served in IPv6",
    mode: "iptables",
    localhost: true,
    selectors: [],
    family: "IPv6",
    expected: "all",
  },
  { name: "the word all", selectors: ["all"], expected: "all" },
  { name: "the word primary", mode: "iptables", selectors: ["primary"], expected: "192.168.0.1" },
  {
    name: "localhost where it is served",
    mode: "iptables",
    localhost: true,
    selectors: ["localhost"],
    expected: "127.0.0.1",
  },
  { name: "localhost where it is not served leaves no address", selectors: ["localhost"], expected: "" },
  { name: "words and prefixes add up", selectors: ["primary", "10.0.0.0/8"], expected: "10.0.0.5,192.168.0.1" },
  { name: "a prefix that the host has no address in", selectors: ["172.16.0.0/12"], expected: "" },
  {
    name: "prefixes of the other family leave all addresses",
    selectors: ["10.0.0.0/8"],
    family: "IPv6",
    expected: "all",
  },
  { name: "a prefix of everything beside others", selectors: ["10.0.0.0/8", "0.0.0.0/0"], expected: "all" },
  {
    name: "a loopback prefix where it is served",
    mode: "iptables",
    localhost: true,
    selectors: ["127.0.0.0/8", "10.0.0.0/8"],
    expected: "10.0.0.5,127.0.0.1",
  },
  { name: "a prefix of IPv6", selectors: ["fd00::/8"], family: "IPv6", expected: "fd00:192::1" },
];

describe("resolveNodePorts", () => {
  for (const { name, mode = "nftables", localhost = false, selectors, family = "IPv4", expected } of nodePortCases) {
    test(name, () => {
      const parsed = selectors.map((text) => tryParseNodePortSelector(text) ?? assert.fail(text));
      const resolved = resolveNodePorts(parsed, family, host, nodePortSupport(mode, localhost));
      const text =
        resolved.kind === "all" ? `all${resolved.loopback ? "+loopback" : ""}` : resolved.addresses.join(",");
      assert.equal(text, expected);
    });
  }

  test("primary without an address of the family is every address, as is a primary address that is loopback", () => {
    for (const node of [[], [parseAddress("127.0.0.1")]]) {
      const resolved = resolveNodePorts(["primary"], "IPv4", { ...host, node }, nodePortSupport("nftables", false));
      assert.deepEqual(resolved, { kind: "all", loopback: false });
    }
  });

  test("a selector is a prefix or one of the words", () => {
    assert.equal(tryParseNodePortSelector("10.1.2.3/8"), "10.0.0.0/8");
    for (const text of ["", "Primary", "10.0.0.1", "loopback", "10.0.0.0/33"]) {
      assert.equal(tryParseNodePortSelector(text), undefined, text);
    }
  });
});

test("node ports may answer on loopback with iptables and IPv4, unless the selectors leave it out", () => {
  const may = (...texts: readonly string[]) => {
    const selectors = texts.map((text) => tryParseNodePortSelector(text) ?? "all");
    return mayServeLoopback(selectors, "IPv4", nodePortSupport("iptables", true));
  };
  assert.deepEqual(
    [may(), may("all"), may("localhost", "primary"), may("127.0.0.0/8"), may("0.0.0.0/0")],
    Array(5).fill(true),
  );
  assert.deepEqual([may("primary"), may("192.168.0.0/16", "::1/128")], [false, false]);
  assert.equal(mayServeLoopback([], "IPv4", nodePortSupport("iptables", false)), false);
  assert.equal(mayServeLoopback([], "IPv6", nodePortSupport("iptables", true)), false);
  for (const mode of ["nftables", "ipvs", "userspace"]) {
    assert.equal(mayServeLoopback(["all"], "IPv4", nodePortSupport(mode, true)), false);
  }
});

const podCIDRs = ["10.244.7.0/24", "fd00:244:7::/64"].map(parsePrefix);
const detectorCases: readonly { readonly name: string; readonly detect: DetectLocal; readonly expected: unknown }[] = [
  {
    name: "cluster CIDRs: the first of each family",
    detect: { mode: "ClusterCIDR", clusterCIDRs: ["10.244.0.0/16", "10.245.0.0/16", "fd00:244::/48"].map(parsePrefix) },
    expected: [
      { kind: "prefixes", prefixes: ["10.244.0.0/16"] },
      { kind: "prefixes", prefixes: ["fd00:244::/48"] },
    ],
  },
  {
    name: "a family without a cluster CIDR has no detector",
    detect: { mode: "ClusterCIDR", clusterCIDRs: [parsePrefix("10.244.0.0/16")] },
    expected: [{ kind: "prefixes", prefixes: ["10.244.0.0/16"] }, { kind: "none" }],
  },
  {
    name: "node CIDRs",
    detect: { mode: "NodeCIDR" },
    expected: [
      { kind: "prefixes", prefixes: ["10.244.7.0/24"] },
      { kind: "prefixes", prefixes: ["fd00:244:7::/64"] },
    ],
  },
  {
    name: "a bridge",
    detect: { mode: "BridgeInterface", bridge: "cni0" },
    expected: Array(2).fill({ kind: "bridge", interface: "cni0" }),
  },
  {
    name: "names of interfaces",
    detect: { mode: "InterfaceNamePrefix", prefix: "veth" },
    expected: Array(2).fill({ kind: "interfacePrefix", prefix: "veth" }),
  },
];

describe("resolveDetector", () => {
  for (const { name, detect, expected } of detectorCases) {
    test(name, () => {
      const resolved = (["IPv4", "IPv6"] as const).map((family) => resolveDetector(detect, podCIDRs, family));
      assert.deepEqual(resolved, expected);
    });
  }
});

test("resolve makes context and settings that agree, for the families that the node serves", () => {
  const selectors: readonly NodePortSelector[] = ["primary"];
  const options: ProxyOptions = {
    mode: "nftables",
    masqueradeBit: 14,
    masqueradeAll: false,
    detectLocal: { mode: "ClusterCIDR", clusterCIDRs: [parsePrefix("10.244.0.0/16")] },
    nodePortAddresses: selectors,
    localhostNodePorts: true,
    allowExternalIPs: true,
  };
  const facts: NodeFacts = {
    name: "here",
    zone: "a",
    families: ["IPv4", "IPv6"],
    addresses: host,
    podCIDRs,
    serviceCIDRs: ["10.97.0.0/16", "10.96.0.0/16", "fd00:96::/112", "10.97.0.0/16"].map(parsePrefix),
  };
  const { context, settings } = resolve(options, facts);
  assert.deepEqual(context, {
    nodeName: "here",
    zone: "a",
    masqueradeAll: false,
    allowExternalIPs: true,
    families: {
      IPv4: { detector: true, nodeAddress: "192.168.0.1" },
      IPv6: { detector: false, nodeAddress: "fd00:192::1" },
    },
  });
  assert.deepEqual(settings, {
    masqueradeBit: 14,
    families: {
      IPv4: {
        detector: { kind: "prefixes", prefixes: ["10.244.0.0/16"] },
        nodePortAddresses: { kind: "addresses", addresses: ["192.168.0.1"] },
        serviceCIDRs: ["10.96.0.0/16", "10.97.0.0/16"],
      },
      IPv6: {
        detector: { kind: "none" },
        nodePortAddresses: { kind: "addresses", addresses: ["fd00:192::1"] },
        serviceCIDRs: ["fd00:96::/112"],
      },
    },
  });
  assert.deepEqual(Object.keys(resolve(options, { ...facts, families: ["IPv6"] }).settings.families), ["IPv6"]);
});
