/** Follows the EndpointSlices of a server until all are there, and tells its parent what that took. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { fixedCredentials } from "../../src/kube/auth/credentials.ts";
import { KubeClient } from "../../src/kube/client.ts";
import { ClusterSource } from "../../src/kube/cluster.ts";
import { type EndpointSlice, endpointSlices } from "../../src/kube/objects/endpointslice.ts";
import { objectKey } from "../../src/kube/objects/resource.ts";
import { LogWriter } from "../../src/telemetry/log.ts";

const server = new URL(`http://127.0.0.1:${process.argv[2]}`);
const access = { server, insecure: false, credentials: fixedCredentials(), namespace: "default", origin: "bench" };
const clock = { now: () => Date.now() };
const log = new LogWriter({ clock, pid: process.pid, write: (line) => void process.stderr.write(line) });
const collect = () => globalThis.gc?.();

collect();
const heapBefore = process.memoryUsage().heapUsed;
const blocks = monitorEventLoopDelay({ resolution: 1 });
blocks.enable();
const began = performance.now();
const cpuBegan = process.cpuUsage();
const stop = new AbortController();
const synced = Promise.withResolvers<void>();
// A consumer that keeps every slice under its key, as an indexed store would.
const slices = new Map<string, EndpointSlice>();
const client = new KubeClient(access);
new ClusterSource(client, { log }).watch(
  {
    resource: endpointSlices,
    onEvents(events) {
      for (const { object } of events) slices.set(objectKey(object), object);
    },
    onSynced: synced.resolve,
  },
  stop.signal,
);
await synced.promise;
const seconds = (performance.now() - began) / 1000;
const cpu = process.cpuUsage(cpuBegan);
blocks.disable();
await delay(100);
slices.clear();
collect();
const heap = process.memoryUsage().heapUsed - heapBefore;
process.send?.({
  seconds,
  cpuSeconds: (cpu.user + cpu.system) / 1e6,
  peakRss: process.resourceUsage().maxRSS * 1024,
  heap,
  longestBlock: blocks.max / 1e6,
});
stop.abort();
await client.destroy();
