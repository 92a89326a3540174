import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseAddress } from "../net/address.ts";
import { staleUdp, type UdpEntry } from "./conntrack.ts";
import { ServiceState } from "./state.ts";
import { endpoint, here, port, service, slice } from "./testing.ts";

function entry(destination: string, destinationPort: number, replySource: string): UdpEntry {
  return {
    originalDestination: parseAddress(destination),
    originalDestinationPort: destinationPort,
    replySource: parseAddress(replySource),
  };
}

const dns = service({
  type: "LoadBalancer",
  ports: [port(53, "dns", "UDP", 30053), port(53, "dns-tcp", "TCP", 30053)],
  externalIPs: ["198.51.100.1"],
  loadBalancerIPs: ["203.0.113.1", "203.0.113.2(Proxy)"],
  externalTrafficPolicy: "Local",
  internalTrafficPolicy: "Local",
});
const targets = [
  { name: "dns", protocol: "UDP", port: 5353 },
  { name: "dns-tcp", protocol: "TCP", port: 5353 },
] as const;

function stateOf(endpoints: readonly string[], object = dns): ServiceState {
  const state = new ServiceState(here);
  state.apply({ type: "upsert", object });
  state.apply({ type: "upsert", object: slice(endpoints, { ports: targets }) });
  state.takeChanges();
  return state;
}

const endpoints = ["10.244.0.1 @here", "10.244.1.1 @there zones=z", "10.244.1.2 @there terminating", "10.244.1.3 gone"];
const cases: readonly { readonly name: string; readonly entry: UdpEntry; readonly stale: boolean }[] = [
  { name: "to a serving endpoint of this node", entry: entry("10.96.0.1", 53, "10.244.0.1"), stale: false },
  { name: "to a serving endpoint that policy Local bars", entry: entry("10.96.0.1", 53, "10.244.1.1"), stale: false },
  { name: "to an endpoint that terminates but serves", entry: entry("10.96.0.1", 53, "10.244.1.2"), stale: false },
  { name: "to an endpoint that serves no more", entry: entry("10.96.0.1", 53, "10.244.1.3"), stale: true },
  { name: "to an address that is no endpoint", entry: entry("10.96.0.1", 53, "10.244.9.9"), stale: true },
  { name: "to the cluster IP itself, never translated", entry: entry("10.96.0.1", 53, "10.96.0.1"), stale: true },
  { name: "to another port of the cluster IP", entry: entry("10.96.0.1", 54, "10.244.9.9"), stale: false },
  { name: "over the external IP", entry: entry("198.51.100.1", 53, "10.244.9.9"), stale: true },
  { name: "over the load balancer", entry: entry("203.0.113.1", 53, "10.244.9.9"), stale: true },
  { name: "over a load balancer that proxies", entry: entry("203.0.113.2", 53, "10.244.9.9"), stale: false },
  { name: "over the node port of any address", entry: entry("192.0.2.77", 30053, "10.244.9.9"), stale: true },
  { name: "over the node port to an endpoint", entry: entry("192.0.2.77", 30053, "10.244.1.1"), stale: false },
  { name: "elsewhere", entry: entry("192.0.2.77", 53, "192.0.2.77"), stale: false },
];

describe("staleUdp", () => {
  const state = stateOf(endpoints);
  for (const { name, entry: candidate, stale } of cases) {
    test(`an entry ${name} is ${stale ? "stale" : "left alone"}`, () => {
      assert.deepEqual([candidate].filter(staleUdp("IPv4", state.udpServices())), stale ? [candidate] : []);
    });
  }

  test("a Service without serving endpoints is passed over", () => {
    const without = stateOf(["10.244.1.3 gone"]);
    assert.deepEqual([entry("10.96.0.1", 53, "10.244.9.9")].filter(staleUdp("IPv4", without.udpServices())), []);
  });

  test("TCP ports are no business of it", () => {
    const tcp = stateOf(endpoints, { ...dns, ports: [port(53, "dns-tcp", "TCP", 30053)] });
    assert.deepEqual(tcp.udpServices(), []);
  });

  test("families are apart", () => {
    assert.deepEqual([entry("fd00::1", 30053, "fd00::2")].filter(staleUdp("IPv6", state.udpServices())), []);
  });

  test("searching the touched service ports finds what a full search finds", () => {
    const hosts = ["10.244.0.1", "10.244.0.2", "10.244.0.3"];
    const lists = fc.array(
      fc.tuple(fc.constantFrom(...hosts), fc.constantFrom("", " unready", " terminating", " gone")),
      { maxLength: 3 },
    );
    const change = fc.record({ name: fc.constantFrom("web", "api"), endpoints: fc.option(lists) });
    const entries = ["10.96.0.1", "10.96.0.2", "198.51.100.1"].flatMap((destination) =>
      hosts.flatMap((host) => [entry(destination, 53, host), entry("192.168.0.1", 30053, host)]),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12, size: "max" }), (changes) => {
        const state = new ServiceState(here);
        let table: readonly UdpEntry[] = entries;
        for (const { name, endpoints: list } of changes) {
          const ports = [port(53, "dns", "UDP", name === "web" ? 30053 : 0)];
          const clusterIPs = [name === "web" ? "10.96.0.1" : "10.96.0.2"];
          const object = service({ name, clusterIPs, ports, externalIPs: ["198.51.100.1"] });
          state.apply({ type: list === null ? "delete" : "upsert", object });
          const listed = (list ?? []).map(([address, words]) => endpoint(`${address}${words}`));
          const target = [{ name: "dns", protocol: "UDP", port: 5353 }] as const;
          const part = slice([], { service: name, name, ports: target, endpoints: listed });
          state.apply({ type: "upsert", object: part });
          const { udp } = state.takeChanges();
          const full = table.filter(staleUdp("IPv4", state.udpServices()));
          assert.deepEqual(table.filter(staleUdp("IPv4", state.udpServices(udp))), full);
          table = table.filter((candidate) => !full.includes(candidate));
        }
      }),
    );
  });
});
