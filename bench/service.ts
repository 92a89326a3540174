/**
 * How long it takes to decide: everything at the start, one change in a large cluster. `node bench/service.ts
 * [SERVICES]` prints a table; it needs no root.
 */

import type { EndpointSlice } from "../src/kube/objects/endpointslice.ts";
import type { Service } from "../src/kube/objects/service.ts";
import { addressFromBytes, parseAddress } from "../src/net/address.ts";
import { decide, type PolicyContext } from "../src/service/policy.ts";
import { ServiceState } from "../src/service/state.ts";

/** What deciding takes with so many Services of three endpoints each. */
export interface DecideFigures {
  readonly services: number;
  /** Milliseconds for all of them, in a process that has decided nothing yet, and when it has. */
  readonly decideCold: number;
  readonly decideWarm: number;
  /** Milliseconds to take all objects into an empty state and the changes out of it. */
  readonly load: number;
  /** Milliseconds to decide all anew for another zone of the node, with no difference in the end. */
  readonly contextChange: number;
  /** Microseconds from a changed EndpointSlice to the changed decision, on average. */
  readonly sliceChange: number;
  /** Bytes of heap that the state takes beside the objects; undefined without `--expose-gc`. */
  readonly heap: number | undefined;
}

const context: PolicyContext = {
  nodeName: "node-1",
  zone: "a",
  families: { IPv4: { detector: true, nodeAddress: parseAddress("192.168.0.1") } },
  masqueradeAll: false,
  allowExternalIPs: true,
};

/** Measures with that many Services, every tenth of them with a node port. */
export function benchDecide(services = 30_000): DecideFigures {
  const objects = Array.from({ length: services }, (_, i) => [serviceAt(i), sliceAt(i)] as const);
  const decideAll = () =>
    time(() => {
      for (const [service, slice] of objects) decide(service, [slice], context);
    });
  const decideCold = decideAll();
  const decideWarm = decideAll();
  const before = heapUsed();
  const state = new ServiceState(context);
  const load = time(() => {
    for (const object of objects.flat()) state.apply({ type: "upsert", object });
    state.takeChanges();
  });
  const heap = before === undefined ? undefined : (heapUsed() ?? 0) - before;
  const rounds = Math.min(10_000, services);
  const changes = time(() => {
    for (let i = 0; i < rounds; i++) {
      const slice = sliceAt(i);
      state.apply({ type: "upsert", object: { ...slice, endpoints: slice.endpoints.slice(1) } });
      if (state.takeChanges().decisions.size !== 1) throw new Error("one slice changed, not one decision");
    }
  });
  const contextChange = time(() => {
    state.setContext({ ...context, zone: "b" });
    if (state.takeChanges().decisions.size !== 0) throw new Error("a zone changed decisions without hints");
  });
  return { services, decideCold, decideWarm, load, contextChange, sliceChange: (1000 * changes) / rounds, heap };
}

function serviceAt(i: number): Service {
  const nodePort = i % 10 === 0 && i / 10 < 32_768 ? 30_000 + i / 10 : 0;
  return {
    kind: "Service",
    namespace: `namespace-${i % 100}`,
    name: `service-${i}`,
    uid: `uid-${i}`,
    type: nodePort === 0 ? "ClusterIP" : "NodePort",
    clusterIPs: [addressFromBytes(Uint8Array.of(10, 96 + (i >> 16), (i >> 8) & 255, i & 255))],
    externalIPs: [],
    loadBalancerIPs: [],
    loadBalancerSourceRanges: [],
    ports: [{ name: "", protocol: "TCP", port: 80, nodePort }],
    externalTrafficPolicy: "Cluster",
    internalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
    affinitySeconds: 0,
  };
}

function sliceAt(i: number): EndpointSlice {
  return {
    kind: "EndpointSlice",
    namespace: `namespace-${i % 100}`,
    name: `service-${i}-abcde`,
    service: `service-${i}`,
    family: "IPv4",
    ports: [{ name: "", protocol: "TCP", port: 8080 }],
    endpoints: [0, 1, 2].map((k) => ({
      address: addressFromBytes(Uint8Array.of(10, 128 + (i >> 14), (i >> 6) & 255, 4 * (i & 63) + k)),
      ready: true,
      serving: true,
      terminating: false,
      nodeName: `node-${(i + k) % 100}`,
    })),
    lastChangeTriggerTime: 1,
  };
}

function time(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function heapUsed(): number | undefined {
  if (globalThis.gc === undefined) return undefined;
  globalThis.gc();
  return process.memoryUsage().heapUsed;
}

if (import.meta.main) console.table([benchDecide(Number(process.argv[2] ?? 30_000))]);
