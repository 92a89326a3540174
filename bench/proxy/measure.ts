/** One process of the proxy benchmark: runs the agent's own parts on objects in memory, in the network namespace it is started in. */

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { addAddress, findLink, openRoute, setLink } from "../../src/kernel/route/index.ts";
import type { EndpointSlice } from "../../src/kube/objects/endpointslice.ts";
import type { Service } from "../../src/kube/objects/service.ts";
import type { ObjectEvent, Source, Watch } from "../../src/kube/source.ts";
import { type Address, addressFromBytes, parseAddress } from "../../src/net/address.ts";
import { parsePrefix } from "../../src/net/prefix.ts";
import { Inputs } from "../../src/proxy/inputs.ts";
import type { Desired, Drift, Mode } from "../../src/proxy/modes/mode.ts";
import { NftablesMode } from "../../src/proxy/modes/nftables/mode.ts";
import { Runner } from "../../src/proxy/runner.ts";
import { ProxyHealth } from "../../src/proxy/status/health.ts";
import { registerProxyMetrics } from "../../src/proxy/status/metrics.ts";
import type { Changes } from "../../src/service/decision.ts";
import { systemClock } from "../../src/telemetry/clock.ts";
import { silentLogger } from "../../src/telemetry/log.ts";
import { Registry } from "../../src/telemetry/metrics.ts";

/** Milliseconds. */
export interface Distribution {
  readonly p50: number;
  readonly p99: number;
}

/** What one size came to. */
export interface ProxyFigures {
  readonly services: number;
  /** Milliseconds from the delivery of all objects to the commit. */
  readonly load: number;
  /** Milliseconds that a new process needs to find everything as it should be. */
  readonly restart: number;
  /** From the delivery of an event to the commit. */
  readonly changes: Readonly<
    Record<
      "endpoint changed" | "one endpoint more" | "one endpoint less" | "new service" | "removed service",
      Distribution
    >
  >;
  /** Bytes. */
  readonly rss: number;
  readonly peakRss: number;
  readonly kernelMemory: number;
  /** Microseconds until connect() has succeeded, the median. */
  readonly connect: { readonly first: number; readonly last: number };
}

const rounds = 500;
const connections = 2000;
const port = 8080;
const pod = "10.244.0.2";

/** Objects that are handed over by hand. */
class HandSource implements Source {
  readonly #watches = new Map<string, Watch<unknown>>();

  watch<T>(watch: Watch<T>): void {
    this.#watches.set(watch.resource.plural, watch as Watch<unknown>);
  }

  push(plural: string, events: readonly ObjectEvent<Service | EndpointSlice>[]): void {
    this.#watches.get(plural)?.onEvents(events);
  }

  synced(): void {
    for (const watch of this.#watches.values()) watch.onSynced();
  }
}

/** The real mode, which also tells when the kernel has committed. */
class TimedMode implements Mode {
  readonly name = "nftables";
  readonly inner = new NftablesMode();
  committed: () => void = () => {};

  async replace(desired: Desired): Promise<void> {
    await this.inner.replace(desired);
    this.committed();
  }

  async apply(changes: Changes): Promise<void> {
    await this.inner.apply(changes);
    this.committed();
  }

  audit(): Promise<readonly Drift[]> {
    return this.inner.audit();
  }

  watch(onDrift: (drift: Drift) => void, signal: AbortSignal): void {
    this.inner.watch(onDrift, signal);
  }

  close(): void {
    this.inner.close();
  }
}

function address(first: number, i: number): Address {
  return addressFromBytes(Uint8Array.of(first, (i >> 16) & 255, (i >> 8) & 255, i & 255));
}

function service(i: number): Service {
  return {
    kind: "Service",
    namespace: `ns-${i % 100}`,
    name: `service-${i}`,
    uid: String(i),
    type: "ClusterIP",
    clusterIPs: [parseAddress(`10.${96 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`)],
    externalIPs: [],
    loadBalancerIPs: [],
    loadBalancerSourceRanges: [],
    ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 0 }],
    externalTrafficPolicy: "Cluster",
    internalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
    affinitySeconds: 0,
  };
}

function slice(i: number, addresses: readonly Address[]): EndpointSlice {
  return {
    kind: "EndpointSlice",
    namespace: `ns-${i % 100}`,
    name: `service-${i}-1`,
    service: `service-${i}`,
    family: "IPv4",
    ports: [{ name: "http", protocol: "TCP", port }],
    endpoints: addresses.map((each) => ({
      address: each,
      ready: true,
      serving: true,
      terminating: false,
      nodeName: `node-${i % 50}`,
    })),
    lastChangeTriggerTime: 0,
  };
}

function endpoints(i: number): readonly Address[] {
  return [0, 1, 2].map((j) => address(11, 3 * i + j));
}

const upsert = <T>(object: T): ObjectEvent<T> => ({ type: "upsert", object });

async function measure(services: number): Promise<ProxyFigures> {
  const local = await localEndpoint();
  const source = new HandSource();
  const mode = new TimedMode();
  const inputs = new Inputs({
    source,
    options: {
      mode: "nftables",
      masqueradeBit: 14,
      masqueradeAll: false,
      detectLocal: { mode: "ClusterCIDR", clusterCIDRs: [parsePrefix("10.244.0.0/16")] },
      nodePortAddresses: ["primary"],
      localhostNodePorts: false,
      allowExternalIPs: true,
    },
    nodeName: "node-0",
    bindAddress: parseAddress("192.0.2.1"),
    families: ["IPv4"],
    addresses: { list: () => [parseAddress("192.0.2.1")], watch: () => {} },
    clock: systemClock,
    log: silentLogger,
  });
  const runner = new Runner({
    inputs,
    mode,
    syncPeriod: 30_000,
    minSyncPeriod: 0,
    clock: systemClock,
    log: silentLogger,
    health: new ProxyHealth(systemClock, 60_000),
    metrics: registerProxyMetrics(new Registry()),
    events: { record: () => {} },
    conntrack: { removeStale: async () => 0 },
    onHealthChecks: async () => {},
  });
  const stop = new AbortController();
  const started = inputs.start(
    (change) => runner.changed(change),
    () => {},
    stop.signal,
  );
  const last = services - 1;
  const backends = (i: number) => (i === 0 || i === last ? [parseAddress(pod)] : endpoints(i));
  const before = kernelMemory();
  // A part at a time, as they would come: the benchmark itself keeps none of them.
  let handing = 0;
  for (let from = 0; from < services; from += 500) {
    const part = Array.from({ length: Math.min(500, services - from) }, (_, i) => from + i);
    const own = part.map((i) => upsert(service(i)));
    const slices = part.map((i) => upsert(slice(i, backends(i))));
    const begin = performance.now();
    source.push("services", own);
    source.push("endpointslices", slices);
    handing += performance.now() - begin;
  }
  const begin = performance.now();
  const loaded = nextCommit(mode);
  source.synced();
  await started;
  const running = runner.run(() => {}, stop.signal);
  const load = handing + (await loaded) - begin;
  await settle();
  globalThis.gc?.();
  const rss = process.memoryUsage.rss();
  const kernel = kernelMemory() - before;

  const pick = (round: number) => 1 + ((round * 7919) % (services - 2));
  const changed = (i: number) => endpoints(i).with(1, address(12, i));
  const deliver = async (plural: string, events: readonly ObjectEvent<Service | EndpointSlice>[]) => {
    const from = performance.now();
    const commit = nextCommit(mode);
    source.push(plural, events);
    return (await commit) - from;
  };
  const series = async (step: (round: number) => Promise<number>): Promise<Distribution> => {
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) times.push(await step(round));
    times.sort((a, b) => a - b);
    return { p50: times[rounds / 2] ?? 0, p99: times[Math.floor(rounds * 0.99)] ?? 0 };
  };
  const endpointSlices = (i: number, addresses: readonly Address[]) =>
    deliver("endpointslices", [upsert(slice(i, addresses))]);
  const fresh = async (round: number, type: "upsert" | "delete") => {
    const i = services + round;
    if (type === "upsert") source.push("endpointslices", [upsert(slice(i, endpoints(i)))]);
    return deliver("services", [{ type, object: service(i) }]);
  };
  const changes: ProxyFigures["changes"] = {
    "endpoint changed": await series((round) => endpointSlices(pick(round), changed(pick(round)))),
    "one endpoint more": await series((round) =>
      endpointSlices(pick(round), [...changed(pick(round)), address(13, round)]),
    ),
    "one endpoint less": await series((round) => endpointSlices(pick(round), changed(pick(round)))),
    "new service": await series((round) => fresh(round, "upsert")),
    "removed service": await series((round) => fresh(round, "delete")),
  };
  const latency = await latencies(service(0).clusterIPs[0] ?? "", service(last).clusterIPs[0] ?? "");
  const peakRss = 1024 * process.resourceUsage().maxRSS;
  stop.abort();
  await running;
  mode.close();
  const successor = new NftablesMode();
  const restartBegin = performance.now();
  await successor.replace({ settings: inputs.settings, decisions: inputs.state.decisions });
  const restart = performance.now() - restartBegin;
  successor.close();
  local.close();
  return { services, load, restart, changes, rss, peakRss, kernelMemory: kernel, connect: latency };
}

function nextCommit(mode: TimedMode): Promise<number> {
  return new Promise((resolve) => {
    mode.committed = () => resolve(performance.now());
  });
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 500));
}

/** An endpoint that really answers, on this very machine: what is measured is the way to it. */
async function localEndpoint() {
  using socket = openRoute();
  const loopback = findLink(socket, "lo");
  if (loopback === undefined) throw new Error("there is no interface lo");
  setLink(socket, loopback.index, { up: true });
  for (const each of [pod, "10.96.255.254"]) {
    addAddress(socket, { interface: loopback.index, address: parseAddress(each), prefixLength: 8 });
  }
  const server = createServer((connection) => connection.destroy()).listen(port, pod);
  await once(server, "listening");
  return server;
}

/** Connects to two services by turns, so that whatever else the machine does meets both alike. */
async function latencies(first: string, last: string): Promise<ProxyFigures["connect"]> {
  const times: Record<string, number[]> = { [first]: [], [last]: [] };
  for (let i = 0; i < connections; i++) {
    for (const target of [first, last]) {
      const begin = performance.now();
      const socket = connect({ host: target, port: 80 });
      await once(socket, "connect");
      times[target]?.push(1000 * (performance.now() - begin));
      socket.destroy();
    }
  }
  const median = (list: number[] = []) => list.sort((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
  return { first: median(times[first]), last: median(times[last]) };
}

/** Bytes that the kernel has for itself, where nf_tables' objects are. */
function kernelMemory(): number {
  const text = readFileSync("/proc/meminfo", "utf8");
  const kilobytes = ["SUnreclaim", "VmallocUsed", "Percpu"].map((name) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0),
  );
  return 1024 * kilobytes.reduce((sum, value) => sum + value, 0);
}

process.send?.(await measure(Number(process.argv[2] ?? 1000)));
process.disconnect?.();
