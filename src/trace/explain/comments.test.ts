import assert from "node:assert/strict";
import { test } from "node:test";
import type { Element, Expression } from "../../kernel/nftables/index.ts";
import { addressBytes, parseAddress } from "../../net/address.ts";
import { emptySnapshot } from "../snapshot/testing.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { namesInRules } from "./comments.ts";

const nat = { family: "ip", table: "nat" } as const;
const cmp = (...data: readonly number[]): Expression => ({
  kind: "cmp",
  sreg: 8,
  op: "eq",
  data: Uint8Array.from(data),
});
const to = (address: string): Expression[] => [
  { kind: "payload", dreg: 8, base: "network", offset: 16, length: 4 },
  cmp(...addressBytes(parseAddress(address))),
];
const tcp: readonly Expression[] = [{ kind: "meta", dreg: 8, key: "l4proto" }, cmp(6)];
/** `-m tcp --dport`, in the structure of iptables. */
const dport = (first: number, last = first): Expression => {
  const info = new Uint8Array(16);
  for (const [at, port] of [65_535, first, last].entries()) new DataView(info.buffer).setUint16(2 + 2 * at, port, true);
  return { kind: "match", name: "tcp", revision: 0, info };
};

function named(
  rules: readonly { readonly chain: string; readonly comment: string; readonly expressions?: Expression[] }[],
) {
  const all = rules.map(({ expressions = [], ...rest }) => ({ ...nat, ...rest, expressions }));
  return namesInRules([{ ...emptySnapshot, nftables: { ...emptySnapshot.nftables, rules: all } }]);
}

test("rules of kube-proxy's iptables mode name the cluster IPs, other addresses, node ports and endpoints of Services", () => {
  const { frontEnds, endpoints } = named([
    {
      chain: "KUBE-SERVICES",
      comment: "shop/web:http cluster IP",
      expressions: [...tcp, ...to("10.96.0.1"), dport(80)],
    },
    {
      chain: "KUBE-SERVICES",
      comment: "shop/web:http loadbalancer IP",
      expressions: [...tcp, ...to("203.0.113.9"), dport(80)],
    },
    { chain: "KUBE-NODEPORTS", comment: "shop/web:http", expressions: [...tcp, dport(30_080)] },
    { chain: "KUBE-SVC-WEB", comment: "shop/web:http -> 10.1.0.2:8080" },
    { chain: "KUBE-SVC-WEB", comment: "shop/web:http -> [fd00::2]:8080" },
  ]);
  const service = { namespace: "shop", name: "web", port: "http" };
  assert.deepEqual(frontEnds, [
    { service, kind: "cluster IP", address: "10.96.0.1", protocol: "TCP", port: 80 },
    { service, kind: "external address", address: "203.0.113.9", protocol: "TCP", port: 80 },
    { service, kind: "node port", protocol: "TCP", port: 30_080 },
  ]);
  assert.deepEqual(
    [...endpoints],
    [
      ["10.1.0.2:8080", service],
      ["[fd00::2]:8080", service],
    ],
  );
});

test("comments elsewhere, or of other words, and rules that want no single port name nothing", () => {
  const { frontEnds, endpoints } = named([
    { chain: "mine", comment: "shop/web:http cluster IP", expressions: [...tcp, ...to("10.96.0.1"), dport(80)] },
    { chain: "KUBE-SERVICES", comment: "kubernetes service portals", expressions: [...tcp, dport(80)] },
    {
      chain: "KUBE-SERVICES",
      comment: "shop/web cluster IP",
      expressions: [...tcp, ...to("10.96.0.1"), dport(80, 90)],
    },
    { chain: "KUBE-SVC-WEB", comment: "shop/web:http -> nowhere" },
    { chain: "KUBE-NODEPORTS", comment: "shop/web:http health check node port", expressions: [...tcp, dport(80)] },
  ]);
  assert.deepEqual([frontEnds.length, endpoints.size], [0, 0]);
});

/** A table with sets of these elements, a cluster IP 10.96.0.1, and these chains. */
function sets(table: string, elements: Readonly<Record<string, readonly Element[]>>, chains: readonly string[] = []) {
  const place = { family: "ip", table } as const;
  const all = { "cluster-ips": [{ key: Uint8Array.of(10, 96, 0, 1) }], ...elements };
  const snapshot: Snapshot = {
    ...emptySnapshot,
    nftables: {
      ...emptySnapshot.nftables,
      chains: chains.map((chain) => ({ ...place, chain })),
      sets: Object.entries(all).map(([set, list]) => ({ ...place, set, key: { type: 0, length: 4 }, elements: list })),
    },
  };
  return namesInRules([snapshot]);
}

const at = (last: number, protocol: number, port: number) =>
  Uint8Array.of(10, 96, 0, last, protocol, 0, 0, 0, port >> 8, port & 255, 0, 0);

test("Portolan's maps name Services in comments of elements", () => {
  const { frontEnds } = sets("portolan", {
    "front-ends": [
      { key: at(1, 17, 53), comment: "kube-system/dns:dns" },
      { key: at(7, 6, 80), comment: "shop/web" },
      { key: at(8, 6, 80) },
    ],
    "node-ports": [{ key: Uint8Array.of(6, 0, 0, 0, 117, 48, 0, 0), comment: "shop/web" }],
  });
  const web = { namespace: "shop", name: "web", port: "" };
  assert.deepEqual(frontEnds, [
    {
      service: { namespace: "kube-system", name: "dns", port: "dns" },
      ...{ kind: "cluster IP", address: "10.96.0.1", protocol: "UDP", port: 53 },
    },
    { service: web, kind: "external address", address: "10.96.0.7", protocol: "TCP", port: 80 },
    { service: web, kind: "node port", protocol: "TCP", port: 30_000 },
  ]);
});

test("kube-proxy's nftables mode names Services and endpoints in names of chains", () => {
  const chain = "service-ULMVA6XW-ns1/svc1/tcp/p80";
  const { frontEnds, endpoints } = sets(
    "kube-proxy",
    { "service-ips": [{ key: at(1, 6, 80), verdict: { kind: "goto", chain } }] },
    [chain, "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80", "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__fd00..1/80"],
  );
  const service = { namespace: "ns1", name: "svc1", port: "p80" };
  assert.deepEqual(frontEnds, [{ service, kind: "cluster IP", address: "10.96.0.1", protocol: "TCP", port: 80 }]);
  assert.deepEqual(
    [...endpoints],
    [
      ["10.180.0.1:80", service],
      ["[fd00::1]:80", service],
    ],
  );
});
