/**
 * All proxy modes beside each other: first load, one change, comparison with the kernel, a new connection.
 * `npm run bench -- modes [SERVICES...]` prints a table, writes bench/results/modes.json and draws
 * docs/modes/comparison.svg. It needs root, and works in a network namespace of its own. Mode ipvs is measured in a virtual
 * machine (test/vm), which is slower, with mode iptables beside it: what counts there is how the two compare.
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
import { ipvsVm } from "../test/vm/ipvs.ts";
import { runInVm } from "../test/vm/vm.ts";
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

/** How the node of these benchmarks is configured. */
export const settings: NodeSettings = {
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

/** Service `number` of up to 65,000 with so many endpoints, as the entry of a map of decisions. */
export function entry(number: number, endpoints: number): [string, Decision] {
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
export async function answerEverywhere(): Promise<void> {
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

/** How many times as long as iptables (legacy) in the same machine mode ipvs took. */
type Ratios = Readonly<Record<keyof ModeFigures, number>>;

/** The name of mode ipvs in the chart, where it is not measured on the same machine as the others. */
const derived = "ipvs (as it compares in a VM)";

/** Measures in a virtual machine. */
async function measureInVm(sizes: readonly number[]): Promise<readonly NamedFigures[]> {
  const argv = [
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    "bench/modes/guest.ts",
    ...sizes.map(String),
  ];
  const { status, output, errors, log } = await runInVm(argv, { ...ipvsVm(), memory: 2048, timeout: 3_600_000 });
  if (status !== 0) throw new Error(`the virtual machine did not measure to the end: ${errors}\n${log}`);
  return output.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as NamedFigures] : []));
}

/** Mode ipvs beside iptables (legacy) of the same machine and size. */
function ratiosOf(figures: readonly NamedFigures[]): readonly Ratios[] {
  return figures
    .filter(({ mode }) => mode === "ipvs")
    .map((ipvs) => {
      const legacy = figures.find(({ mode, services }) => mode !== "ipvs" && services === ipvs.services);
      const keys = Object.keys(ipvs).filter((key) => key !== "mode" && key !== "services") as (keyof ModeFigures)[];
      const values = keys.map((key) => [key, ipvs[key] / (legacy?.[key] ?? Number.NaN)]);
      return { ...Object.fromEntries(values), services: ipvs.services } as Ratios;
    });
}

/** What mode ipvs would take here, if it compared with iptables (legacy) as it does in the virtual machine. */
function derive(figures: readonly NamedFigures[], ratios: readonly Ratios[], key: keyof ModeFigures) {
  return ratios.flatMap((ratio) => {
    const legacy = figures.find((each) => each.mode === "iptables (legacy)" && each.services === ratio.services);
    return legacy === undefined ? [] : [{ x: ratio.services, y: legacy[key] * ratio[key] }];
  });
}

/** Figures as a table to print. */
function table(rows: readonly (ModeFigures | Ratios | NamedFigures)[]): void {
  const rounded = (value: unknown) => (typeof value === "number" ? Math.round(value * 1000) / 1000 : value);
  console.table(
    rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, rounded(value)]))),
  );
}

function draw(figures: readonly NamedFigures[], ratios: readonly Ratios[]): string {
  const panels = [
    ["first load, ms", "load"],
    ["one endpoint more, ms", "endpointAdded"],
    ["new connection to the last service, ms", "connectLast"],
  ] as const;
  return drawCharts(
    panels.map(([title, key]) => ({
      title,
      series: [
        ...variants.map(([name]) => ({
          name,
          points: figures.filter(({ mode }) => mode === name).map((each) => ({ x: each.services, y: each[key] })),
        })),
        // A connection takes so little that the two in the virtual machine, minutes apart, compare by chance.
        { name: derived, points: key === "connectLast" ? [] : derive(figures, ratios, key) },
      ],
    })),
    "services, 3 endpoints each",
  );
}

if (import.meta.main) {
  ffi.unshare(ffi.CLONE.newnet);
  await answerEverywhere();
  const sizes = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [100, 1000, 5000, 10_000];
  const figures: NamedFigures[] = [];
  for (const size of sizes) {
    for (const [mode, factory] of variants) {
      process.stderr.write(`measuring ${mode} with ${size} services ...\n`);
      figures.push({ mode, ...(await measureMode(factory, size)) });
    }
  }
  process.stderr.write("measuring ipvs and iptables (legacy) in a virtual machine ...\n");
  const inVm = await measureInVm(sizes);
  const ratios = ratiosOf(inVm);
  table(figures);
  process.stdout.write("In the virtual machine:\n");
  table(inVm);
  process.stdout.write("ipvs there, in units of iptables (legacy) there:\n");
  table(ratios);
  const folder = join(import.meta.dirname, "results");
  mkdirSync(folder, { recursive: true });
  const machine = { cpu: cpus()[0]?.model, cpus: cpus().length, kernel: release(), node: process.version };
  const report = {
    date: new Date().toISOString(),
    unit: "milliseconds",
    machine,
    figures,
    virtualMachine: { kernel: "user-mode Linux", figures: inVm, ipvsToIptablesLegacy: ratios },
  };
  writeFileSync(join(folder, "modes.json"), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(import.meta.dirname, "..", "docs", "modes", "comparison.svg"), draw(figures, ratios));
  process.exit();
}
