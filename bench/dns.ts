/**
 * Queries per second and CPU time per query of `portolan dns`, asked by dnsperf, with a large cluster.
 * `--peer NAME=HOST:PORT` asks another server the same; `--seconds N` is the time of each run.
 */
import { execFileSync, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

/** What one kind of query cost. */
export interface DnsFigures {
  readonly server: string;
  readonly queries: string;
  readonly perSecond: number;
  /** Microseconds of CPU time for each query, user and system; undefined for servers of others. */
  readonly cpu: number | undefined;
  /** Milliseconds. */
  readonly averageLatency: number;
  readonly lost: number;
}

/** What {@link benchDns} measured beside that. */
export interface DnsResult {
  readonly figures: readonly DnsFigures[];
  /** Bytes that the server kept in memory with the cluster known: before and after the queries. */
  readonly rss: { readonly before: number; readonly after: number };
  /** Milliseconds of latency at half the load of the first figures. */
  readonly halfLoadAverage: number;
}

/** What to measure. */
export interface DnsBenchOptions {
  readonly services: number;
  readonly endpoints: number;
  /** Of each run. */
  readonly seconds: number;
  /** Other servers, as `NAME=HOST:PORT`. */
  readonly peers: readonly string[];
}

const main = join(import.meta.dirname, "../src/cli/main.ts");
const port = 15353;

/** Starts a server with a cluster and asks it. Needs dnsperf (Debian: `apt-get install dnsperf`). */
export async function benchDns(options: DnsBenchOptions): Promise<DnsResult> {
  const directory = mkdtempSync(join(tmpdir(), "ptl-bench-dns-"));
  const api = fork(join(import.meta.dirname, "dns/server.ts"), [String(options.services), String(options.endpoints)]);
  const [apiPort] = await once(api, "message");
  writeFileSync(join(directory, "Corefile"), corefile(Number(apiPort)));
  const server = spawn(process.execPath, [main, "dns", "-conf", join(directory, "Corefile")], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  try {
    await ready();
    const files = writeQueries(directory, options.services);
    const pid = server.pid ?? 0;
    const before = rssOf(pid);
    const figures: DnsFigures[] = [];
    for (const [queries, file, ...mode] of files) {
      figures.push(ask("portolan", "127.0.0.1", port, queries, file, options.seconds, mode, pid));
    }
    const half = Math.floor((figures[0]?.perSecond ?? 0) / 2);
    const [, clusterFile] = files[0] ?? ["", ""];
    const calm = ask("portolan", "127.0.0.1", port, "", clusterFile, options.seconds, ["-Q", String(half)], pid);
    for (const peer of options.peers) {
      const [name = "", host = "", peerPort = ""] = peer.split(/[=:]/);
      for (const [queries, file, ...mode] of files) {
        figures.push(ask(name, host, Number(peerPort), queries, file, options.seconds, mode, undefined));
      }
    }
    return { figures, rss: { before, after: rssOf(pid) }, halfLoadAverage: calm.averageLatency };
  } finally {
    server.kill();
    api.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The Corefile of a cluster as kubeadm writes it; external names come from a zone of this server itself. */
function corefile(apiPort: number): string {
  return `.:${port} {
    errors
    ready 127.0.0.1:18281
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      endpoint http://127.0.0.1:${apiPort}
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
      ttl 30
      startup_timeout 60s
    }
    prometheus 127.0.0.1:19253
    forward . 127.0.0.1:${port + 1}
    cache 30 {
      disable success cluster.local
      disable denial cluster.local
    }
    reload
    loadbalance
  }
  .:${port + 1} {
    bind 127.0.0.1
    erratic {
      drop 0
    }
  }
`;
}

async function ready(): Promise<void> {
  for (let i = 0; i < 600; i++) {
    const response = await fetch("http://127.0.0.1:18281/ready").catch(() => undefined);
    if (response?.status === 200) return;
    await delay(100);
  }
  throw new Error("the server did not become ready");
}

/** Kinds of queries, the files with them, and flags of dnsperf. */
function writeQueries(directory: string, services: number): readonly (readonly [string, string, ...string[]])[] {
  const write = (name: string, line: (i: number) => string) => {
    const file = join(directory, name);
    writeFileSync(file, Array.from({ length: services }, (_, i) => line(i)).join("\n"));
    return file;
  };
  const zone = (i: number) => `ns-${i % 100}.svc.cluster.local`;
  const cluster = write("cluster", (i) => `svc-${i}.${zone(i)} A`);
  return [
    ["cluster names", cluster],
    ["names that do not exist", write("missing", (i) => `none-${i}.${zone(i)} A`)],
    ["endpoints, SRV", write("srv", (i) => `_http._tcp.svc-${i}.${zone(i)} SRV`)],
    ["cached external names", write("external", (i) => `www${i % 1000}.example.org A`)],
    ["cluster names over TCP", cluster, "-m", "tcp"],
  ];
}

function ask(
  server: string,
  host: string,
  at: number,
  queries: string,
  file: string,
  seconds: number,
  mode: readonly string[],
  pid: number | undefined,
): DnsFigures {
  const flags = ["-s", host, "-p", String(at), "-d", file, "-l", String(seconds), "-c", "8", "-q", "400", ...mode];
  const before = pid === undefined ? 0 : cpuOf(pid);
  const output = execFileSync("dnsperf", flags, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const used = pid === undefined ? undefined : cpuOf(pid) - before;
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  const completed = number(/Queries completed:\s+(\d+)/);
  return {
    server,
    queries,
    perSecond: Math.round(number(/Queries per second:\s+([\d.]+)/)),
    cpu: used === undefined ? undefined : Math.round((used / completed) * 100) / 100,
    averageLatency: number(/Average Latency \(s\):\s+([\d.]+)/) * 1000,
    lost: number(/Queries lost:\s+(\d+)/),
  };
}

/** Microseconds of CPU time that a process has used. The kernel counts in hundredths of a second. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function rssOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      services: { type: "string", default: "10000" },
      endpoints: { type: "string", default: "50000" },
      seconds: { type: "string", default: "5" },
      peer: { type: "string", multiple: true, default: [] },
    },
  });
  const result = await benchDns({
    services: Number(values.services),
    endpoints: Number(values.endpoints),
    seconds: Number(values.seconds),
    peers: values.peer,
  });
  console.table(result.figures);
  const { before, after } = result.rss;
  const mega = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MB`;
  console.log(`memory: ${mega(before)} with the cluster known, ${mega(after)} after the queries`);
  console.log(`average latency at half load: ${result.halfLoadAverage.toFixed(3)} ms`);
}
