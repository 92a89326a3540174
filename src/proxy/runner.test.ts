import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { EndpointSlice } from "../kube/objects/endpointslice.ts";
import type { Node } from "../kube/objects/node.ts";
import type { Service } from "../kube/objects/service.ts";
import type { ObjectEvent, Source, Watch } from "../kube/source.ts";
import { type Address, parseAddress } from "../net/address.ts";
import { parsePrefix } from "../net/prefix.ts";
import type { UdpService } from "../service/conntrack.ts";
import type { Changes } from "../service/decision.ts";
import type { HealthCheck } from "../service/state.ts";
import { port, service, slice } from "../service/testing.ts";
import { silentLogger } from "../telemetry/log.ts";
import { ManualClock } from "../telemetry/manualclock.ts";
import { Registry } from "../telemetry/metrics.ts";
import type { ProxyEvent } from "./events.ts";
import { Inputs } from "./inputs.ts";
import type { Desired, Drift, Mode } from "./modes/mode.ts";
import { Runner } from "./runner.ts";
import { ProxyHealth } from "./status/health.ts";
import { registerProxyMetrics } from "./status/metrics.ts";

/** A source whose objects a test pushes by hand. */
class HandSource implements Source {
  readonly #watches = new Map<string, Watch<unknown>>();

  watch<T>(watch: Watch<T>): void {
    this.#watches.set(watch.resource.plural, watch as Watch<unknown>);
  }

  push(plural: string, ...events: readonly ObjectEvent<Service | EndpointSlice | Node>[]): void {
    this.#watches.get(plural)?.onEvents(events);
  }

  synced(...plurals: readonly string[]): void {
    for (const plural of plurals) this.#watches.get(plural)?.onSynced();
  }
}

/** A mode that writes down what it is asked to do; the kernel is a list of keys. */
class NotingMode implements Mode {
  readonly name = "nftables";
  readonly calls: string[] = [];
  failures = 0;
  drifts: readonly Drift[] = [];
  onDrift: (drift: Drift) => void = () => {};

  async replace({ decisions }: Desired): Promise<void> {
    this.#note(`replace ${[...decisions.keys()].join(" ")}`);
  }

  async apply(changes: Changes): Promise<void> {
    this.#note(`apply ${[...changes].map(([key, decision]) => (decision ? key : `-${key}`)).join(" ")}`);
  }

  async audit(): Promise<readonly Drift[]> {
    this.calls.push("audit");
    return this.drifts;
  }

  watch(onDrift: (drift: Drift) => void): void {
    this.onDrift = onDrift;
  }

  close(): void {}

  /** The calls since the last time this was asked. */
  take(): readonly string[] {
    return this.calls.splice(0);
  }

  #note(call: string): void {
    this.calls.push(this.failures > 0 ? `${call} (fails)` : call.trimEnd());
    if (this.failures-- > 0) throw new Error("kernel says no");
  }
}

const node: Node = {
  kind: "Node",
  name: "here",
  uid: "1",
  addresses: [parseAddress("192.168.0.1")],
  podCIDRs: [parsePrefix("10.1.0.0/24")],
  zone: "a",
  deleting: false,
  taints: [],
};

const web = slice(["10.1.0.1"]);
const key = "shop/web/TCP/IPv4";
const upsert = <T>(object: T): ObjectEvent<T> => ({ type: "upsert", object });

/** The machine's addresses, and what is called when they change. */
interface Addresses {
  addresses: readonly Address[];
  changed: () => void;
}

function inputsOf(source: Source, clock: ManualClock, machine: Addresses, detectNodeCIDR: boolean): Inputs {
  return new Inputs({
    source,
    nodeName: "here",
    expectNode: true,
    bindAddress: undefined,
    families: ["IPv4"],
    addresses: {
      list: (): readonly Address[] => machine.addresses,
      watch: (onChange) => {
        machine.changed = onChange;
      },
    },
    options: {
      mode: "nftables",
      masqueradeBit: 14,
      masqueradeAll: false,
      detectLocal: detectNodeCIDR ? { mode: "NodeCIDR" } : { mode: "ClusterCIDR", clusterCIDRs: [] },
      nodePortAddresses: [parsePrefix("192.168.0.0/16")],
      localhostNodePorts: false,
      allowExternalIPs: true,
    },
    clock,
    log: silentLogger,
  });
}

async function setUp(t: TestContext, detectNodeCIDR = false, minSyncPeriod = 0) {
  const clock = new ManualClock(1_000_000);
  const source = new HandSource();
  const mode = new NotingMode();
  const registry = new Registry();
  const health = new ProxyHealth(clock, 60_000);
  const events: ProxyEvent[] = [];
  const stale: (readonly UdpService[])[] = [];
  const tracker = { failures: 0 };
  const checks: ReadonlyMap<string, HealthCheck | undefined>[] = [];
  const machine: Addresses = { addresses: ["127.0.0.1", "192.168.0.1"].map(parseAddress), changed: () => {} };
  const inputs = inputsOf(source, clock, machine, detectNodeCIDR);
  const runner = new Runner({
    inputs,
    mode,
    syncPeriod: 30_000,
    minSyncPeriod,
    clock,
    log: silentLogger,
    health,
    metrics: registerProxyMetrics(registry),
    events: { record: (event) => events.push(event) },
    conntrack: {
      async removeStale(_family, services) {
        stale.push(services());
        if (tracker.failures-- > 0) throw new Error("no buffer space");
        return services().length;
      },
    },
    onHealthChecks: async (changed) => {
      checks.push(changed);
    },
  });
  const stop = new AbortController();
  const running = inputs
    .start(
      (change) => runner.changed(change),
      (found) => health.setNode(found),
      stop.signal,
    )
    .then(() => runner.run(() => {}, stop.signal))
    .catch(() => {});
  t.after(async () => {
    stop.abort();
    await running;
  });
  const metric = (name: string) => Number(new RegExp(`^${name} (.*)$`, "m").exec(registry.text())?.[1]);
  return { clock, source, mode, health, events, stale, tracker, checks, machine, metric };
}

/** Delivers `shop/web` with one endpoint and lets the runner program it. */
async function begin(parts: Awaited<ReturnType<typeof setUp>>) {
  const { source, clock, mode } = parts;
  source.push("services", upsert(service()));
  source.push("endpointslices", upsert(web));
  source.push("nodes", upsert(node));
  source.synced("services", "endpointslices", "nodes", "servicecidrs");
  await clock.pass(0);
  assert.deepEqual(mode.take(), [`replace ${key}`]);
}

test("nothing is programmed before Services and EndpointSlices are both complete", async (t) => {
  const { source, clock, mode } = await setUp(t);
  source.push("services", upsert(service()));
  source.synced("services", "nodes", "servicecidrs");
  await clock.pass(3_600_000);
  assert.deepEqual(mode.take(), []);
  source.synced("endpointslices");
  await clock.pass(0);
  assert.deepEqual(mode.take(), [`replace ${key}`]);
});

test("inputs that are to end before they begin wait for nothing", async () => {
  const machine = { addresses: [], changed: () => {} };
  const inputs = inputsOf(new HandSource(), new ManualClock(0), machine, false);
  const ignore = () => {};
  await assert.rejects(inputs.start(ignore, ignore, AbortSignal.abort()), { name: "AbortError" });
});

test("without ServiceCIDRs the proxy begins after a second", async (t) => {
  const { source, clock, mode } = await setUp(t);
  source.synced("services", "endpointslices", "nodes");
  await clock.pass(999);
  assert.deepEqual(mode.take(), []);
  await clock.pass(1);
  assert.deepEqual(mode.take(), ["replace"]);
});

test("with NodeCIDR the proxy waits for the ranges of its pods", async (t) => {
  const { source, clock, mode } = await setUp(t, true);
  source.push("nodes", upsert({ ...node, podCIDRs: [] }));
  source.synced("services", "endpointslices", "nodes", "servicecidrs");
  await clock.pass(600_000);
  assert.deepEqual(mode.take(), []);
  source.push("nodes", upsert(node));
  await clock.pass(0);
  assert.deepEqual(mode.take(), ["replace"]);
});

test("changes are applied at once, together as they arrive, and only if they matter", async (t) => {
  const parts = await setUp(t);
  await begin(parts);
  const { source, clock, mode, metric } = parts;
  source.push("services", upsert(service({ name: "a", clusterIPs: ["10.96.0.2"] })));
  source.push("services", upsert(service({ name: "b", clusterIPs: ["10.96.0.3"] })));
  await clock.pass(0);
  assert.deepEqual(mode.take(), ["apply shop/a/TCP/IPv4 shop/b/TCP/IPv4"]);
  source.push("services", { type: "delete", object: service({ name: "a" }) }, upsert(service()));
  await clock.pass(0);
  assert.deepEqual(mode.take(), ["apply -shop/a/TCP/IPv4"]);
  source.push("services", upsert(service()));
  await clock.pass(0);
  assert.deepEqual(mode.take(), []);
  assert.equal(metric("kubeproxy_sync_proxy_rules_service_changes_total"), 6);
  assert.equal(metric("kubeproxy_sync_proxy_rules_service_changes_pending"), 0);
  assert.equal(metric("portolan_decisions"), 2);
});

test("with a minSyncPeriod the first change is applied at once and those that follow wait", async (t) => {
  const parts = await setUp(t, false, 1000);
  await begin(parts);
  const { source, clock, mode } = parts;
  await clock.pass(5000);
  const add = (name: string, last: number) =>
    source.push("services", upsert(service({ name, clusterIPs: [`10.96.0.${last}`] })));
  add("a", 2);
  await clock.pass(0);
  assert.deepEqual(mode.take(), ["apply shop/a/TCP/IPv4"]);
  add("b", 3);
  await clock.pass(500);
  add("c", 4);
  await clock.pass(499);
  assert.deepEqual(mode.take(), []);
  await clock.pass(1);
  assert.deepEqual(mode.take(), ["apply shop/b/TCP/IPv4 shop/c/TCP/IPv4"]);
});

test("what failed is tried again as a whole, with longer and longer waits, and counts as unhealthy in time", async (t) => {
  const parts = await setUp(t);
  await begin(parts);
  const { source, clock, mode, health, metric } = parts;
  mode.failures = 3;
  source.push("endpointslices", upsert(slice(["10.1.0.2"])));
  await clock.pass(0);
  assert.deepEqual(mode.take(), [`apply ${key} (fails)`]);
  await clock.pass(500);
  assert.deepEqual(mode.take(), [`replace ${key} (fails)`]);
  await clock.pass(999);
  assert.deepEqual(mode.take(), []);
  await clock.pass(1);
  assert.deepEqual(mode.take(), [`replace ${key} (fails)`]);
  await clock.pass(2000);
  assert.deepEqual(mode.take(), [`replace ${key}`]);
  assert.equal(metric('portolan_sync_failures_total\\{mode="nftables"\\}'), 3);
  assert.equal(health.check().healthy, true);
  mode.failures = 100;
  source.push("endpointslices", upsert(slice(["10.1.0.3"])));
  await clock.pass(60_000);
  assert.equal(health.check().healthy, false);
  mode.failures = 0;
  await clock.pass(30_000);
  assert.equal(health.check().healthy, true);
});

test("drift that the kernel tells of is mended at once, told of, and not more than once a second", async (t) => {
  const parts = await setUp(t);
  await begin(parts);
  const { clock, mode, events, metric } = parts;
  mode.onDrift({ what: "table ip portolan: gone" });
  await clock.pass(0);
  assert.deepEqual(mode.take(), [`replace ${key}`]);
  assert.deepEqual(
    events.map(({ reason, note }) => [reason, note]),
    [
      [
        "DriftRepaired",
        "Somebody else changed the rules of mode nftables, they are as decided again: table ip portolan: gone",
      ],
    ],
  );
  mode.onDrift({ what: "again" });
  await clock.pass(999);
  assert.deepEqual(mode.take(), []);
  await clock.pass(1);
  assert.deepEqual(mode.take(), [`replace ${key}`]);
  assert.equal(metric('portolan_drift_repairs_total\\{mode="nftables"\\}'), 2);
  mode.onDrift({ what: "and again" });
  await clock.pass(1000);
  assert.match(
    events.at(-1)?.note ?? "",
    /\(3 times in a row: does another service proxy run on this node\?\): and again$/,
  );
});

test("the kernel is compared every syncPeriod, and programmed as a whole every hour", async (t) => {
  const parts = await setUp(t);
  await begin(parts);
  const { clock, mode, events } = parts;
  await clock.pass(60_000);
  assert.deepEqual(mode.take(), ["audit", "audit"]);
  mode.drifts = [{ what: "map ip portolan services: 3 elements missing" }];
  await clock.pass(30_000);
  assert.deepEqual(mode.take(), ["audit", `replace ${key}`]);
  assert.equal(events.length, 1);
  mode.drifts = [];
  await clock.pass(3_600_000);
  const calls = mode.take();
  assert.equal(calls.filter((call) => call === "audit").length, 119);
  assert.equal(calls.at(-1), `replace ${key}`);
});

test("a new address of the machine and a new zone of the node are taken over without a restart", async (t) => {
  const parts = await setUp(t);
  await begin(parts);
  const { source, clock, mode, machine, health } = parts;
  machine.changed();
  await clock.pass(0);
  assert.deepEqual(mode.take(), []);
  machine.addresses = [...machine.addresses, parseAddress("192.168.0.2")];
  machine.changed();
  await clock.pass(0);
  assert.deepEqual(mode.take(), [`replace ${key}`]);
  const hinted = web.endpoints.map((endpoint) => ({ ...endpoint, zoneHints: ["b"] }));
  const other = slice(["10.1.0.9"], { name: "web-2" }).endpoints.map((endpoint) => ({ ...endpoint, zoneHints: ["a"] }));
  source.push("endpointslices", upsert(slice([], { endpoints: [...hinted, ...other] })));
  await clock.pass(0);
  assert.deepEqual(mode.take(), [`apply ${key}`]);
  source.push("nodes", upsert({ ...node, zone: "b" }));
  await clock.pass(0);
  assert.deepEqual(mode.take(), [`apply ${key}`]);
  source.push("nodes", { type: "delete", object: node });
  await clock.pass(0);
  assert.equal(health.nodeEligible, false);
});

test("stale connections are searched for the UDP services that a change touched, and health checks follow the kernel", async (t) => {
  const parts = await setUp(t);
  await begin(parts);
  const { source, clock, mode, stale, checks } = parts;
  assert.equal(stale.length, 0);
  const dns = service({
    name: "dns",
    clusterIPs: ["10.96.0.10"],
    ports: [port(53, "", "UDP", 30053)],
    type: "LoadBalancer",
    externalTrafficPolicy: "Local",
    healthCheckNodePort: 31000,
  });
  const ports = [{ name: "", protocol: "UDP" as const, port: 53 }];
  const slices = slice(["10.1.0.7 @here"], { name: "dns-1", service: "dns", ports });
  mode.failures = 1;
  source.push("services", upsert(dns));
  source.push("endpointslices", upsert(slices));
  await clock.pass(0);
  assert.equal(stale.length + checks.length, 0);
  await clock.pass(500);
  assert.equal(stale.length, 1);
  assert.deepEqual([...(stale[0]?.[0]?.serving ?? [])], ["10.1.0.7"]);
  assert.equal(checks[0]?.get("shop/dns")?.localEndpoints, 1);
  source.push("endpointslices", upsert(slice(["10.1.0.2"])));
  await clock.pass(0);
  assert.equal(stale.length, 1);
});

test("a search for stale connections that failed is made again with the next comparison", async (t) => {
  const parts = await setUp(t);
  await begin(parts);
  const { source, clock, stale, tracker } = parts;
  const ports = [{ name: "", protocol: "UDP" as const, port: 53 }];
  tracker.failures = 1;
  source.push("services", upsert(service({ name: "dns", clusterIPs: ["10.96.0.10"], ports: [port(53, "", "UDP")] })));
  source.push("endpointslices", upsert(slice(["10.1.0.7"], { name: "dns-1", service: "dns", ports })));
  await clock.pass(0);
  assert.equal(stale.length, 1);
  await clock.pass(29_999);
  assert.equal(stale.length, 1);
  await clock.pass(1);
  assert.equal(stale.length, 2);
  await clock.pass(30_000);
  assert.equal(stale.length, 2);
});

test("repairs and failures are counted from 0 on", async (t) => {
  const parts = await setUp(t);
  await begin(parts);
  for (const name of ["portolan_drift_repairs_total", "portolan_sync_failures_total"]) {
    assert.equal(parts.metric(`${name}{mode="nftables"}`), 0);
  }
  assert.equal(parts.metric('kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"}'), 0);
});
