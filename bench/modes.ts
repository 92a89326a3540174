/**
 * All proxy modes beside each other: first load, one change, comparison with the kernel, a new connection.
 * `npm run bench -- modes [SERVICES...]` prints a table, writes bench/results/modes.json and draws
 * docs/modes/comparison.svg. It needs root, and works in a network namespace of its own.
 */
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { cpus, release } from "node:os";
import { join } from "node:path";
import * as ffi from "../src/kernel/ffi.ts";
import { addAddress, openRoute, setLink } from "../src/kernel/route/index.ts";
import { type Address, addressFromBytes, parseAddress } from "../src/net/address.ts";
import { parsePrefix } from "../src/net/prefix.ts";
import { iptablesFactory } from "../src/proxy/modes/iptables/index.ts";
import type { ModeFactory } from "../src/proxy/modes/mode.ts";
import { nftables } from "../src/proxy/modes/nftables/index.ts";
import { userspace } from "../src/proxy/modes/userspace/index.ts";
import { type Decision, decisionKey } from "../src/service/decision.ts";
import { clusterIPOutcomes } from "../src/service/outcomes.ts";
import type { NodeSettings } from "../src/service/settings.ts";
import { drawCharts } from "./modes/chart.ts";

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
  /** From connect() to the first byte from an endpoint of the first service, and of the last one. */
  readonly connectFirst: number;
  readonly connectLast: number;
}

const endpointPort = 8080;

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
    const [connectFirst, connectLast] = await connectionTimes(addressOf(172, 16, 0), addressOf(172, 16, services - 1));
    return {
      services,
      load,
      resync,
      audit,
      endpointAdded: median(times.endpointAdded),
      endpointGone: median(times.endpointGone),
      serviceAdded: median(times.serviceAdded),
      serviceGone: median(times.serviceGone),
      connectFirst,
      connectLast,
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
      port: endpointPort,
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

const connections = 300;

/** Connects to two addresses by turns, so that whatever else the machine does meets both alike. @returns medians. */
async function connectionTimes(first: Address, last: Address): Promise<readonly [number, number]> {
  const times: [number[], number[]] = [[], []];
  for (let i = 0; i < connections; i++) {
    for (const [which, host] of [first, last].entries()) {
      const begin = performance.now();
      const socket = connect({ host, port: 80 });
      await once(socket, "data");
      times[which]?.push(performance.now() - begin);
      socket.destroy();
    }
  }
  return [median(times[0]), median(times[1])];
}

/** Makes every address of services and endpoints one of this machine, and answers on all endpoints. */
async function answerEverywhere(): Promise<void> {
  using socket = openRoute();
  setLink(socket, 1, { up: true });
  for (const [address, prefixLength] of [
    ["10.255.255.254", 8],
    ["172.31.255.254", 12],
  ] as const) {
    addAddress(socket, { interface: 1, address: parseAddress(address), prefixLength });
  }
  const server = createServer((connection) => {
    connection.on("error", () => {});
    connection.end("!");
  }).listen(endpointPort, "0.0.0.0");
  await once(server, "listening");
}

const variants: readonly (readonly [name: string, factory: ModeFactory])[] = [
  ["nftables", nftables],
  ["iptables (nft)", iptablesFactory("nft")],
  ["iptables (legacy)", iptablesFactory("legacy")],
  ["userspace", userspace],
];

type NamedFigures = ModeFigures & { readonly mode: string };

function draw(figures: readonly NamedFigures[]): string {
  const panels = [
    ["first load, ms", "load"],
    ["one endpoint more, ms", "endpointAdded"],
    ["new connection to the last service, ms", "connectLast"],
  ] as const;
  return drawCharts(
    panels.map(([title, key]) => ({
      title,
      series: variants.map(([name]) => ({
        name,
        points: figures.filter(({ mode }) => mode === name).map((each) => ({ x: each.services, y: each[key] })),
      })),
    })),
    "services, 3 endpoints each",
  );
}

if (import.meta.main) {
  ffi.unshare(ffi.CLONE.newnet);
  await answerEverywhere();
  const sizes = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [100, 1000, 5000];
  const figures: NamedFigures[] = [];
  for (const size of sizes) {
    for (const [mode, factory] of variants) {
      process.stderr.write(`measuring ${mode} with ${size} services ...\n`);
      figures.push({ mode, ...(await measureMode(factory, size)) });
    }
  }
  console.table(
    figures.map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([key, value]) => [
          key,
          typeof value === "number" ? Math.round(value * 100) / 100 : value,
        ]),
      ),
    ),
  );
  const folder = join(import.meta.dirname, "results");
  mkdirSync(folder, { recursive: true });
  const machine = { cpu: cpus()[0]?.model, cpus: cpus().length, kernel: release(), node: process.version };
  const report = { date: new Date().toISOString(), unit: "milliseconds", machine, figures };
  writeFileSync(join(folder, "modes.json"), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(import.meta.dirname, "..", "docs", "modes", "comparison.svg"), draw(figures));
  process.exit();
}
