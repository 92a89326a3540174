/**
 * What snapshots and walks of large nodes cost: taking, writing and reading a snapshot, the first walk and the next.
 * `npm run bench -- trace [MODE SERVICES]...` prints a table. It needs root, and works in a network namespace of its own.
 */
import { gzipSync } from "node:zlib";
import * as ffi from "../src/kernel/ffi.ts";
import { addAddress, openRoute, setLink } from "../src/kernel/route/index.ts";
import { parseAddress } from "../src/net/address.ts";
import { iptablesFactory } from "../src/proxy/modes/iptables/index.ts";
import type { ModeFactory } from "../src/proxy/modes/mode.ts";
import { nftables } from "../src/proxy/modes/nftables/index.ts";
import { capture, formatSnapshot, parseSnapshot } from "../src/trace/snapshot/index.ts";
import { type Question, walk } from "../src/trace/walk/index.ts";
import { entry, settings } from "./modes.ts";

const factories: Readonly<Record<string, ModeFactory>> = {
  nftables,
  "iptables-nft": iptablesFactory("nft"),
  "iptables-legacy": iptablesFactory("legacy"),
};

/** Milliseconds that passed, and those in which this process had a processor: on a busy machine they differ. */
interface Lap {
  readonly passed: number;
  readonly used: number;
}

/** Sizes in MB (10^6 bytes). */
interface Figures {
  readonly mode: string;
  readonly services: number;
  readonly captured: Lap;
  readonly written: Lap;
  readonly document: number;
  readonly compressed: number;
  readonly loaded: Lap;
  readonly firstWalk: Lap;
  readonly nextWalk: Lap;
  /** Of this process, at the end. */
  readonly heap: number;
}

async function measure(name: string, services: number): Promise<Figures> {
  const factory = factories[name];
  if (factory === undefined) throw new Error(`${name}: one of ${Object.keys(factories).join(", ")}`);
  const decisions = new Map(Array.from({ length: services }, (_, i) => entry(i, 3)));
  const mode = await factory.create();
  try {
    await mode.replace({ settings, decisions }, AbortSignal.timeout(900_000));
    let start = performance.now();
    let usage = process.cpuUsage();
    const lap = (): Lap => {
      const { user, system } = process.cpuUsage(usage);
      const passed = performance.now() - start;
      usage = process.cpuUsage();
      start = performance.now();
      return { passed, used: (user + system) / 1000 };
    };
    const taken = await capture();
    const captured = lap();
    const text = formatSnapshot(taken);
    const written = lap();
    const compressed = gzipSync(text, { level: 1 }).length / 1e6;
    lap();
    const snapshot = parseSnapshot(text, "snapshot");
    const loaded = lap();
    walk(snapshot, questionTo(services >> 1));
    const firstWalk = lap();
    walk(snapshot, questionTo(services - 1));
    const nextWalk = lap();
    globalThis.gc?.();
    const heap = process.memoryUsage().heapUsed / 1e6;
    return {
      mode: name,
      services,
      captured,
      written,
      document: text.length / 1e6,
      compressed,
      loaded,
      firstWalk,
      nextWalk,
      heap,
    };
  } finally {
    mode.close();
    await factory.cleanup();
  }
}

/** A packet of this node to the cluster IP of a service. */
function questionTo(service: number): Question {
  const [, decision] = entry(service, 3);
  const [frontEnd] = decision.frontEnds;
  if (frontEnd?.kind !== "ClusterIP") throw new Error(`service ${service} has no cluster IP`);
  const destination = frontEnd.address;
  return { packet: { family: "IPv4", destination, protocol: 6, destinationPort: 80 } };
}

if (import.meta.main) {
  ffi.unshare(ffi.CLONE.newnet);
  using socket = openRoute();
  setLink(socket, 1, { up: true });
  for (const [address, prefixLength] of [
    ["10.255.255.254", 8],
    ["172.31.255.254", 12],
  ] as const) {
    addAddress(socket, { interface: 1, address: parseAddress(address), prefixLength });
  }
  const given = process.argv.slice(2);
  const wanted =
    given.length > 0
      ? Array.from({ length: given.length >> 1 }, (_, i) => [given[2 * i] ?? "", Number(given[2 * i + 1])] as const)
      : ([
          ["nftables", 30_000],
          ["iptables-nft", 10_000],
          ["iptables-legacy", 10_000],
        ] as const);
  const rows: Figures[] = [];
  for (const [mode, services] of wanted) rows.push(await measure(mode, services));
  const shown = (value: string | number | Lap) =>
    typeof value === "object"
      ? `${Math.round(value.passed)} ms (${Math.round(value.used)} ms used)`
      : typeof value === "number"
        ? Math.round(value * 10) / 10
        : value;
  console.table(rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, shown(value)]))));
}
