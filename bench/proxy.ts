/**
 * The service proxy in nftables mode: first load, each kind of change, memory, connection latency.
 * `npm run bench -- proxy [SERVICES...]` prints a table and writes bench/results/proxy.json. It needs root and works in
 * network namespaces of its own; each size has a process of its own.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { createNamespace, deleteNamespace, inNamespace } from "../src/kernel/namespace.ts";
import type { ProxyFigures } from "./proxy/measure.ts";

const sizes = process.argv.slice(2).map(Number);
const figures: ProxyFigures[] = [];
for (const services of sizes.length > 0 ? sizes : [1000, 10_000, 30_000]) {
  process.stderr.write(`measuring with ${services} services ...\n`);
  figures.push(await measureIn(`ptl-bench-${process.pid}`, services));
}
print(figures);
const folder = join(import.meta.dirname, "results");
mkdirSync(folder, { recursive: true });
const machine = { cpu: cpus()[0]?.model, cpus: cpus().length, kernel: release(), node: process.version };
writeFileSync(
  join(folder, "proxy.json"),
  `${JSON.stringify({ date: new Date().toISOString(), machine, figures }, null, 2)}\n`,
);

async function measureIn(namespace: string, services: number): Promise<ProxyFigures> {
  createNamespace(namespace);
  try {
    const child = inNamespace(namespace, () =>
      fork(join(import.meta.dirname, "proxy", "measure.ts"), [String(services)], {
        // As the launcher does: compiled code is kept, and the young generation is small.
        execArgv: ["--expose-gc", "--max-semi-space-size=8", "--disable-warning=ExperimentalWarning"],
        env: { ...process.env, NODE_COMPILE_CACHE: join(import.meta.dirname, "..", ".toolchain", "compile-cache") },
      }),
    );
    const failed = once(child, "exit").then(([status]) => {
      throw new Error(`the measuring process ended with status ${status}`);
    });
    const [measured] = (await Promise.race([once(child, "message"), failed])) as [ProxyFigures];
    failed.catch(() => {});
    return measured;
  } finally {
    deleteNamespace(namespace);
  }
}

function print(all: readonly ProxyFigures[]): void {
  const row = (name: string, value: (figures: ProxyFigures) => string) => [name, ...all.map(value)];
  const change = (kind: keyof ProxyFigures["changes"]) =>
    row(`${kind}: p50, p99 (ms)`, ({ changes }) => `${changes[kind].p50.toFixed(3)}  ${changes[kind].p99.toFixed(3)}`);
  const rows = [
    row("services, 3 endpoints each", ({ services }) => String(services)),
    row("first load (ms)", ({ load }) => load.toFixed(0)),
    row("restart on the same state (ms)", ({ restart }) => restart.toFixed(0)),
    change("endpoint changed"),
    change("one endpoint more"),
    change("one endpoint less"),
    change("new service"),
    change("removed service"),
    row("agent, resident after load (MB)", ({ rss }) => (rss / 1e6).toFixed(0)),
    row("agent, peak (MB)", ({ peakRss }) => (peakRss / 1e6).toFixed(0)),
    row("kernel memory (MB)", ({ kernelMemory }) => (kernelMemory / 1e6).toFixed(1)),
    row("new connection to the first service, p50 (us)", ({ connect }) => connect.first.toFixed(1)),
    row("new connection to the last service, p50 (us)", ({ connect }) => connect.last.toFixed(1)),
    row("last / first", ({ connect }) => (connect.last / connect.first).toFixed(3)),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0))) ?? [];
  for (const cells of rows) {
    console.log(
      cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("   "),
    );
  }
}
