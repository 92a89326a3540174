/**
 * How long proxy modes need: for a first load, for one change, for a comparison with the kernel.
 * `node bench/modes.ts [SERVICES...]` prints a table; it needs root, and works in a network namespace of its own.
 */
import * as ffi from "../src/kernel/ffi.ts";
import { type Address, addressFromBytes } from "../src/net/address.ts";
import { parsePrefix } from "../src/net/prefix.ts";
import { iptablesFactory } from "../src/proxy/modes/iptables/index.ts";
import type { ModeFactory } from "../src/proxy/modes/mode.ts";
import { type Decision, decisionKey } from "../src/service/decision.ts";
import { clusterIPOutcomes } from "../src/service/outcomes.ts";
import type { NodeSettings } from "../src/service/settings.ts";

/** Milliseconds of one mode with so many services of three endpoints each. */
export interface ModeFigures {
  readonly services: number;
  /** Into an empty kernel. */
  readonly load: number;
  /** Again, when all is there. */
  readonly resync: number;
  readonly audit: number;
  /** Medians of some changes. */
  readonly endpointAdded: number;
  readonly endpointGone: number;
  readonly serviceAdded: number;
  readonly serviceGone: number;
}

const settings: NodeSettings = {
  masqueradeBit: 14,
  families: {
    IPv4: {
      detector: { kind: "prefixes", prefixes: [parsePrefix("10.0.0.0/8")] },
      nodePortAddresses: { kind: "all", loopback: false },
      serviceCIDRs: [],
    },
  },
};

/**
 * Measures one mode in the network namespace of this thread, which it leaves clean.
 *
 * @param services at most 65,000.
 * @param repetitions of each kind of change.
 */
export async function measureMode(factory: ModeFactory, services: number, repetitions = 9): Promise<ModeFigures> {
  const signal = AbortSignal.timeout(600_000);
  const decisions = new Map(Array.from({ length: services }, (_, i) => entry(i, 3)));
  const desired = { settings, decisions };
  const mode = await factory.create();
  try {
    const load = await time(() => mode.replace(desired, signal));
    const resync = await time(() => mode.replace(desired, signal));
    const audit = await time(async () => {
      const drifts = await mode.audit(signal);
      if (drifts.length > 0) throw new Error(`${factory.name}: ${drifts[0]?.what}`);
    });
    const times: Record<"endpointAdded" | "endpointGone" | "serviceAdded" | "serviceGone", number[]> = {
      endpointAdded: [],
      endpointGone: [],
      serviceAdded: [],
      serviceGone: [],
    };
    for (let i = 0; i < repetitions; i++) {
      const at = Math.floor(((i + 0.5) * services) / repetitions);
      const [key] = entry(services, 3);
      times.endpointAdded.push(await time(() => mode.apply(new Map([entry(at, 4)]), signal)));
      times.endpointGone.push(await time(() => mode.apply(new Map([entry(at, 3)]), signal)));
      times.serviceAdded.push(await time(() => mode.apply(new Map([entry(services, 3)]), signal)));
      times.serviceGone.push(await time(() => mode.apply(new Map([[key, undefined]]), signal)));
    }
    return {
      services,
      load,
      resync,
      audit,
      endpointAdded: median(times.endpointAdded),
      endpointGone: median(times.endpointGone),
      serviceAdded: median(times.serviceAdded),
      serviceGone: median(times.serviceGone),
    };
  } finally {
    mode.close();
    await factory.cleanup();
  }
}

/** Service `number` with so many endpoints, as the entry of a map of decisions. */
function entry(number: number, endpoints: number): [string, Decision] {
  const service = { namespace: "bench", name: `service-${number}`, port: "http", protocol: "TCP" } as const;
  const outcomes = clusterIPOutcomes("cluster", { masqueradeAll: false, detector: true });
  const address = addressOf(172, 16, number);
  const decision: Decision = {
    service,
    family: "IPv4",
    frontEnds: [{ kind: "ClusterIP", address, port: 80, outcomes }],
    cluster: Array.from({ length: endpoints }, (_, i) => ({
      address: addressOf(10, i, number),
      port: 8080,
      local: false,
    })),
    local: [],
    affinitySeconds: 0,
  };
  return [decisionKey(service, "IPv4"), decision];
}

function addressOf(first: number, second: number, number: number): Address {
  return addressFromBytes(Uint8Array.of(first, second, number >> 8, number & 255));
}

async function time(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

if (import.meta.main) {
  ffi.unshare(ffi.CLONE.newnet);
  const sizes = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [100, 1000, 5000];
  for (const variant of ["legacy", "nft"] as const) {
    console.log(`iptables, variant ${variant}, milliseconds`);
    const rows: ModeFigures[] = [];
    for (const size of sizes) rows.push(await measureMode(iptablesFactory(variant), size));
    console.table(
      rows.map((row) =>
        Object.fromEntries(Object.entries(row).map(([key, value]) => [key, Math.round(value * 10) / 10])),
      ),
    );
  }
}
